"""Starts Python programs without Python's start: a process that has imported what takes long forks.

`python fork_server.py FOLDER MODULE …` imports the modules and listens on FOLDER/socket until its
stdin ends. A client (forked.py) hands over standard streams, arguments, environment and working
directory, and gets the number of the new process, and its exit status when it ends.

What a program has from its start is its own: `sys.argv` and `sys.path`, environment, streams,
signals. The modules that are imported here read the environment that this process has; the seed of
`hash` is the same in all programs; and the most memory that was used includes these modules.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path
from typing import TextIO


def next_program(listener: socket.socket) -> list[str]:
    """In each program's own process: its arguments, once everything is as at its start."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the programs too
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the keepers
    while listener in select.select([listener, 0], [], [])[0]:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return keep(connection)
        connection.close()
    os._exit(0)


def keep(connection: socket.socket) -> list[str]:
    """Returns in the program's process; in this one waits for it and tells how it ended.

    A client that is gone, killed perhaps, takes the program with it.
    """
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    received = connection.makefile("r", encoding="ascii")
    request = json.loads(received.readline())
    program = os.fork()
    if program == 0:
        received.close()
        connection.close()
        return begin(streams, **request)
    try:
        for stream in streams:
            os.close(stream)
        connection.sendall(b"%d\n" % program)
        threading.Thread(target=end_with_client, args=(received, program), daemon=True).start()
        _, status = os.waitpid(program, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    finally:
        os._exit(0)


def end_with_client(received: TextIO, program: int) -> None:
    received.read()
    with contextlib.suppress(ProcessLookupError):  # it has ended, and its client after it
        os.kill(program, signal.SIGKILL)


def begin(
    streams: list[int], arguments: list[str], environment: dict[str, str], folder: str
) -> list[str]:
    """Makes this process that of the program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # though the tests may run under nohup
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=output is sys.stderr or output.isatty())
    tempfile.tempdir = None  # as TMPDIR now says
    imported = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:0] = [*([] if "PYTHONSAFEPATH" in environment else [folder]), *imported]
    sys.executable = shutil.which("python") or sys.executable  # as jobs are to run it
    return arguments


def leave() -> None:
    """Ends the process at once: the interpreter would take torch apart, which takes seconds."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    atexit.register(leave)  # the first that is registered, so the last that is called
    folder, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what is never freed is not copied for each program either
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(Path(folder, "socket")))
        server.listen(64)
        print("listening", flush=True)
        sys.argv = next_program(server)
    status = 0
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as exit:
        status = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        raise
    except BaseException:
        status = 1
        raise
