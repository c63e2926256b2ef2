"""The `python` that jobs of tests have: its programs behave as those that Python starts."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import programs

# In a package with the library's name.
SAYS = """
import atexit, os, sys, tempfile, threading, time
print(sys.argv[1:], os.environ["OWN"], os.getcwd(), sys.path[:2], tempfile.gettempdir())
print([name for name in sys.modules if name.startswith(("ablations", "huggingface_hub"))])
print(sys.stdin.read(), __name__, __spec__.name, threading.active_count())
print("said on stderr", file=sys.stderr)
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread ends"))).start()
atexit.register(print, "at exit")
"""
WAITS = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(99)"


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations/__init__.py").touch()
    for name, ending in (("ends", ""), ("exits", "sys.exit(3)"), ("fails", "sys.exit('no')")):
        (tmp_path / f"ablations/{name}.py").write_text(SAYS + ending)
    (tmp_path / "ablations/waits.py").write_text(WAITS)
    (tmp_path / "ablations/raises.py").write_text("raise ValueError('of a program')")

    def start(forked: bool, *arguments: str) -> subprocess.Popen[str]:
        path = str(programs.binaries() if forked else Path(sys.executable).parent)
        own = {"PATH": path, "PYTHONPATH": str(tmp_path), "OWN": "of this", "TMPDIR": str(tmp_path)}
        return subprocess.Popen(
            [shutil.which("python", path=path) or "", *arguments],
            cwd=tmp_path,
            env=os.environ | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.mark.parametrize("program", ["ends", "exits", "fails"])
def test_a_program_has_what_it_would_have_from_its_start(
    start: Callable[..., subprocess.Popen[str]], program: str
) -> None:
    found = []
    for forked in (False, True):
        process = start(forked, "-m", f"ablations.{program}", "--a", "b c")
        found.append((*process.communicate("from stdin"), process.returncode))
    assert found[0] == found[1]
    assert "from stdin" in found[0][0] and found[0][0].endswith("a thread ends\nat exit\n")


def test_an_error_is_told(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(True, "-m", "ablations.raises")
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.startswith("Traceback") and said.endswith("\nValueError: of a program\n")


def test_other_programs_are_started(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(True, "-c", "import sys; print('torch' in sys.modules, sys.executable)")
    assert process.communicate()[0] == f"False {sys.executable}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_it(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path, number: int
) -> None:
    process = start(True, "-m", "ablations.waits")
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == (1 if number == signal.SIGINT else -number)
    program = int((tmp_path / "pid").read_text())
    while psutil.pid_exists(program):
        time.sleep(0.01)
