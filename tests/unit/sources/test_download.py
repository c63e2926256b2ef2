"""What would fail again is asked for once: a second try only takes time and a server's patience."""

from pathlib import Path

import pytest

from ablations.errors import UserError
from ablations.sources import download
from hub_server import Fault, HubServer


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_for_good_is_not_asked_again(status: int, tmp_path: Path) -> None:
    with HubServer() as server:
        server.files["file.zip"] = b"content"
        server.faults.append(Fault("file.zip", "status", status=status))
        with pytest.raises(UserError, match=f"^HTTP {status} "):
            download.fetch(f"{server.url}/file.zip", "file.zip", None, tmp_path)
        assert len(server.asked_for("file.zip")) == 1


def test_a_wrong_file_is_not_asked_for_again(tmp_path: Path) -> None:
    with HubServer() as server:
        server.files["file.zip"] = b"another"
        with pytest.raises(UserError, match="is not the expected file"):
            download.fetch(f"{server.url}/file.zip", "file.zip", "0" * 64, tmp_path)
        assert len(server.asked_for("file.zip")) == 1
