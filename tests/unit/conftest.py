"""What several parts of the library are tested with."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import HubServer


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A server that is the hub for this process, with an empty cache in tmp_path / "hf"."""
    with HubServer() as server:
        server.be_the_hub(tmp_path / "hf/hub", monkeypatch)
        yield server
