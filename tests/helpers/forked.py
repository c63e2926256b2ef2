"""A client of fork_server.py; run as a program it is the `python` of jobs.

`python forked.py SOCKET ARGUMENTS …` does what `python ARGUMENTS …` does. Snakemake and programs of
the library are forked, anything else is started.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence


class Program:
    """A program that the server behind this socket has forked."""

    def __init__(
        self,
        server: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: str,
        streams: Sequence[int],
    ) -> None:
        """Starts it; `streams` are descriptors of stdin, stdout and stderr."""
        request = {"arguments": arguments, "environment": dict(environment), "folder": folder}
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.connect(server)
        socket.send_fds(self.connection, [b"\n"], streams)
        self.connection.sendall(json.dumps(request).encode() + b"\n")
        self.answers = self.connection.makefile("r", encoding="ascii")
        self.pid = int(self.answers.readline())

    def signal(self, number: int) -> None:
        """Sends it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, or the signal that ended it as a negative number; or TimeoutError."""
        self.connection.settimeout(timeout)
        return int(self.answers.readline())


FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


def main(server: str, *arguments: str) -> None:
    """What the `python` of jobs does."""
    known = arguments[:1] == ("-m",) and arguments[1].startswith(("ablations.", "snakemake"))
    # which only a new interpreter reads
    if not known or "PYTHONHASHSEED" in os.environ:
        os.execv(sys.executable, [sys.executable, *arguments])
    folder = os.getcwd()  # noqa: PTH109 (pathlib takes as long as all the rest)
    program = Program(server, arguments[1:], os.environ, folder, (0, 1, 2))
    for number in FORWARDED:
        signal.signal(number, lambda number, _: program.signal(number))
    status = program.wait()
    for number in FORWARDED:
        signal.signal(number, signal.SIG_DFL)
    if status < 0:
        os.kill(os.getpid(), -status)
    sys.exit(status)


if __name__ == "__main__":
    main(*sys.argv[1:])
