"""Several jobs, and several workflows, at once: on the GPUs, in one folder, over one cache."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import tiny
from ablations.model import gpt2
from ablations.study.dimensions import Dimensions
from commands import ROOT, environment, program, snakemake
from hub_server import REVISION, HubServer

# Replaces Python in the jobs: makes their outputs; those that need a GPU first wait until as
# many of them as AT_ONCE says are there.
PYTHON = """#!/bin/sh
program=$2
while [ $# -gt 0 ]; do
  case $1 in
    --output) output=$2 ;;
    --output-dir)
      output="$2/texts.csv $2/classes.json $2/notes.json" ;;
  esac
  shift
done
if [ "$program" = ablations.model.pretrain ]; then
  touch "$BARRIER/$$"
  tries=0
  while [ "$(ls "$BARRIER" | wc -l)" -lt "$AT_ONCE" ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || exit 1
    sleep 0.1
  done
fi
touch $output
"""


# Snakemake, which takes what PATH calls python for the Python that it runs in.
START = """
import shutil, sys
sys.executable = shutil.which("python")
from snakemake.cli import main
main()
"""


def command(directory: Path, *arguments: object) -> list[str]:
    start = [sys.executable, "-c", START, "--snakefile", ROOT / "Snakefile"]
    return [str(part) for part in [*start, "--directory", directory, *arguments]]


# --- GPUs


def models(count: int) -> dict[str, object]:
    return {f"nano-{number}": tiny.MODEL for number in range(count)}


def standing_in(folder: Path, at_once: int) -> dict[str, str]:
    """The environment in which PYTHON replaces Python."""
    python = folder / "bin/python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    (folder / "barrier").mkdir(exist_ok=True)
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    return {"PATH": path, "BARRIER": str(folder / "barrier"), "AT_ONCE": str(at_once)}


def test_as_many_jobs_run_at_once_as_gpus_are_named(tmp_path: Path) -> None:
    """Each waits for the other three, so that they end only if they run together."""
    config = tiny.config(tmp_path, models=models(4), rows=[tiny.ROWS[0] | {"model": "nano-0"}])
    targets = [f"results/checkpoints/{name}/manifest.json" for name in models(4)]
    options = ["--cores", 16, "--resources", "gpu=4", "--configfile", config]
    snakemake(tmp_path, *targets, *options, timeout=120, **standing_in(tmp_path, at_once=4))


@pytest.mark.parametrize(
    ("options", "threads"),
    [
        (["--cores", 6], "6"),
        (["--cores", 6, "--resources", "gpu=4"], "1"),
    ],
)
def test_jobs_that_run_at_once_share_the_cores(
    tmp_path: Path, options: list[object], threads: str
) -> None:
    config = tiny.config(tmp_path)
    run = "results/runs/random/seed-123/metrics.json"
    shown = snakemake(
        tmp_path, run, "--dry-run", "--printshellcmds", *options, "--configfile", config
    ).stdout
    assert re.findall(r"ablations\.training\.run .* --threads (\d+) ", shown) == [threads]


# --- workflows


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A workflow in the middle of a job that ends only when the barrier is full: never."""
    config = tiny.config(tmp_path)
    process = subprocess.Popen(
        command(tmp_path, *TARGET, "--configfile", config),
        cwd=ROOT,
        env=environment(**standing_in(tmp_path, at_once=2)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not list((tmp_path / "barrier").iterdir()) and process.poll() is None:
        time.sleep(0.05)
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


TARGET = ["results/checkpoints/nano/manifest.json", "--cores", 1]


def test_a_second_workflow_in_one_folder_is_refused_and_a_lock_left_behind_explained(
    running: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    again = [tmp_path, *TARGET, "--configfile", tmp_path / "config.yaml"]
    said = program("study.plan", "--directory", tmp_path).stderr
    assert f"{tmp_path} is locked: another run is working there" in said
    refused = snakemake(*again, check=False, timeout=60)
    assert running.poll() is None
    assert refused.returncode == 1 and "Traceback" not in refused.stdout
    assert "Directory cannot be locked" in refused.stdout and str(tmp_path) in refused.stdout
    left = "the remaining lock was likely caused by a kill signal or a power loss. It can be"
    assert f"{left} removed with the --unlock argument" in re.sub(r"\s+", " ", refused.stdout)

    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    snakemake(*again, "--unlock")
    snakemake(*again, **standing_in(tmp_path, at_once=1))
    assert (tmp_path / "results/checkpoints/nano/manifest.json").is_file()
    assert program("study.plan", "--directory", tmp_path).returncode == 0


SHAPE = {"n_layer": 1, "n_head": 2, "n_embd": 4, "n_positions": 8, "vocab_size": 257}


def test_workflows_in_two_folders_share_one_hub_cache(tmp_path: Path) -> None:
    torch.manual_seed(0)
    stored = save(
        {name: torch.randn(s) for name, s in gpt2.tensor_shapes(Dimensions(**SHAPE)).items()}
    )
    files = {"config.json": json.dumps(SHAPE).encode(), "model.safetensors": stored}
    source = {"repo": "someone/tiny", "revision": REVISION}
    shape = {key: SHAPE[key] for key in ("n_layer", "n_head", "n_embd", "n_positions")}
    with HubServer() as server:
        server.add_repo("someone/tiny", REVISION, files)
        hub = {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": server.url}

        def fetch(number: int) -> bytes:
            folder = tmp_path / str(number)
            config = tiny.config(
                folder, models={"nano": source | shape}, rows=[tiny.ROWS[0] | {"context_length": 4}]
            )
            snakemake(folder, *TARGET, "--configfile", config, timeout=120, **hub)
            return (folder / "results/checkpoints/nano/model.safetensors").read_bytes()

        with ThreadPoolExecutor() as pool:
            assert list(pool.map(fetch, range(2))) == [stored] * 2
        assert len(server.asked_for("model.safetensors")) == 1
