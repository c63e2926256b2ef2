"""How one user's jobs share a machine: no two use the same GPU; on a CPU they notice each other.

This uses file locks in a folder of this machine. The operating system releases a lock when its
process ends, however it ends. So a crashed job frees its GPU, and there is nothing to clean up.
Snakemake cannot do this: it counts GPUs, but does not say which one a job got.
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
    """Where the locks are; on a cluster each node has its own temporary folder."""
    path = Path(tempfile.gettempdir()) / f"ablations-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def claim(gpus: Sequence[str]) -> tuple[int, FileLock]:
    """Waits until one of these GPUs is free; their names must be unique in the machine.

    Returns its index and its lock. The GPU is taken as long as the process keeps the lock object.
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
        time.sleep(1)


class OtherJobs:
    """Whether other jobs ran on this machine's cores at any time since this object was made."""

    def __init__(self) -> None:
        """From now on, other jobs can notice this one, until its process ends."""
        self._folder = folder()
        self._arrival = uuid.uuid4().hex
        self._presence = os.open(self._folder / "present", os.O_RDWR | os.O_CREAT, 0o600)
        with FileLock(self._folder / "arrivals.lock"):
            try:  # fails where another job is present
                fcntl.flock(self._presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._found_others = False
            except BlockingIOError:
                self._found_others = True
            fcntl.flock(self._presence, fcntl.LOCK_SH)
            # A name and not a count: a name that a killed job wrote by half is no job's name.
            self._latest.write_text(self._arrival)

    def others(self) -> bool:
        """Whether another job was present then or has started since, even if it has ended."""
        with FileLock(self._folder / "arrivals.lock"):
            try:
                return self._found_others or self._latest.read_text() != self._arrival
            except FileNotFoundError:  # the temporary folder was cleaned: unknown counts as yes
                return True

    @property
    def _latest(self) -> Path:
        """The file that names the job that started last."""
        return self._folder / "latest-arrival"
