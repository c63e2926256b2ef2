"""The finished demo, which takes a minute: run once for all tests, in all of their processes."""

from pathlib import Path

import pytest
from filelock import FileLock

import demos


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A copy of the repository in which the demo has run, with one seed; never to be changed."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    root = shared / "demo/repository"
    with FileLock(shared / "demo.lock"):
        if not (root / "output").exists():
            demos.finished(root)
    return root


@pytest.fixture
def moved(demo: Path, tmp_path: Path) -> Path:
    """The finished demo, moved elsewhere with its repository, to be changed at will."""
    root = tmp_path / "another" / "folder"
    demos.copy_study(demo, root)
    return root
