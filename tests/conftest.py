"""What all tests share: settings of this machine, and the optional reference folder."""

from pathlib import Path

import hypothesis
import pytest

from commands import SHARED

# No test depends on how busy the machine is.
hypothesis.settings.register_profile("without a deadline", deadline=None)
hypothesis.settings.load_profile("without a deadline")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Reference results and the real collection, where they are next to the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs the reference folder ../shared, which is not here")
    return SHARED
