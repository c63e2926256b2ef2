"""How one user's jobs share a machine: each takes a GPU of its own; on a CPU it knows of others.

Everything rests on file locks in a folder of this machine. The operating system drops a lock when
its process ends, however it ends, so a crashed job frees its GPU and there is nothing to clean up.
Snakemake cannot do it: it counts GPUs, but does not say which one a job got.
"""

import fcntl
import os
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ablations.cli import log


def folder() -> Path:
    """Where the locks lie; on a cluster each node has its own temporary folder."""
    path = Path(tempfile.gettempdir()) / f"ablations-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def claim(gpus: Sequence[str], poll_seconds: float = 1.0) -> tuple[int, FileLock]:
    """Waits until one of these GPUs (by names that are unique in the machine) is nobody's.

    Returns its index and the lock, which holds as long as the process lives and keeps it.
    """
    locks = [FileLock(folder() / f"{gpu.replace('/', '-')}.gpu") for gpu in gpus]
    waiting = False
    while True:
        for index, lock in enumerate(locks):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            log.info("takes GPU %d of %d", index, len(locks))
            return index, lock
        if not waiting:
            log.info("waits: every visible GPU (%d) is taken by another job", len(locks))
            waiting = True
        time.sleep(poll_seconds)


class Company:
    """Whether other jobs ran on this machine's cores at any time since this object was made."""

    def __init__(self) -> None:
        """Says to others, as long as the process lives, that it is here."""
        self._folder = folder()
        self._arrival = uuid.uuid4().hex
        self._presence = os.open(self._folder / "present", os.O_RDWR | os.O_CREAT, 0o600)
        with FileLock(self._folder / "arrivals.lock"):
            try:  # fails where anyone is here
                fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._found_others = False
            except BlockingIOError:
                self._found_others = True
            fcntl.flock(self._presence, fcntl.LOCK_SH)
            # A name and not a count: one that was half written by a killed job is nobody's.
            self._latest.write_text(self._arrival)

    def others(self) -> bool:
        """True if someone was here before, or has come since, whether or not they have left."""
        with FileLock(self._folder / "arrivals.lock"):
            try:
                return self._found_others or self._latest.read_text() != self._arrival
            except FileNotFoundError:  # temporary folders get cleaned: nobody can tell any more
                return True

    @property
    def _latest(self) -> Path:
        """Names the one who came last."""
        return self._folder / "latest-arrival"
