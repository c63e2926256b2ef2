"""The parts of gpu.py that run the workflow itself: as a user does, and for what its jobs use."""

import argparse
import contextlib
import copy
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

import bench
from ablations import files
from ablations.study import needs, paths, settings
from ablations.study.cut import Trunk

SHAPE = ("n_layer", "n_head", "n_embd", "n_positions")
PRETRAIN = {"steps": 100, "batch_size": 8, "learning_rate": 3e-3, "seed": 123}
SEED = bench.SEED

Found = dict[str, Any]


def workflow(o: argparse.Namespace, results: Any) -> None:
    """As a user calls it, on nano checkpoints that it makes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = study(o, folder, ["nano"] * 4, random=False)
        results.add({"what": "from nothing"}, from_nothing, folder, command)
        results.add({"what": "again"}, again, command)
        for row in ("baseline", "all-layers"):
            if of_run(folder, row, paths.METRICS).exists():
                results.add({"what": "killed", "row": row}, killed, folder, command, row)


def estimates(o: argparse.Namespace, results: Any) -> None:
    """Of every job that computes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = study(o, folder, o.sizes, random=True)
        results.add({"what": "from nothing"}, from_nothing, folder, command)
        jobs = {
            f"train/{path.stem}/seed-{SEED}": needs.of_run(settings.read(path))
            for path in sorted(folder.glob("results/rows/*.json"))
        } | {
            f"trunks/{path.name.removesuffix('.settings.json')}": needs.of_trunk(
                files.read_json(path, Trunk)
            )
            for path in sorted(folder.glob("results/trunks/*.settings.json"))
        }
        for job, need in jobs.items():
            results.add({"job": job}, asked_and_used, need, folder / f"benchmarks/{job}.tsv")


def study(o: argparse.Namespace, folder: Path, sizes: list[str], random: bool) -> list[str]:
    """Writes a study of models of these sizes; returns the command that runs it."""
    config = copy.deepcopy(bench.STUDY)
    roles = dict(zip(config["models"], bench.ROLES, strict=True))
    chosen = {"baseline", *(o.rows or bench.PUBLISHED)}
    del config["cache_dir"], config["references"]
    config["title"] = f"A benchmark with stand-ins of these sizes: {', '.join(sizes)}"
    config["training"]["epochs"] = o.epochs
    config["models"] = {
        role: {"pretrain": PRETRAIN} | {name: getattr(bench.SIZES[size], name) for name in SHAPE}
        for role, size in zip(bench.ROLES, sizes, strict=True)
    }
    config["rows"] = [row for row in config["rows"] if row["id"] in chosen]
    for row in config["rows"]:
        del row["published"]
        row |= {"model": roles[row["model"]]} if "model" in row else {}
        row |= {"weights": "random"} if random else {}
    asked = config.pop("comparisons")
    if not random:  # which makes some of the rows the same
        both = ("baseline", "variant")
        config["comparisons"] = [q for q in asked if {q[each] for each in both} <= chosen]
    if o.mirror:
        config["mirror"] = str(o.mirror.resolve())
    else:
        generated = {"messages": 1100, "seed": 0}
        config["dataset"] = {"generated": generated, "split": config["dataset"]["split"]}
        config["tokenizer"] = "bytes"
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--configfile", str(path), "--cores", "1"]
    command += ["--resources", "gpu=1", "--directory", str(folder)]
    return [*command, "--snakefile", str(bench.ROOT / "Snakefile")]  # a target may follow


def environment(**extra: str) -> dict[str, str]:
    """Jobs find this Python first."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path} | extra


def called(command: Sequence[str]) -> str:
    """What a command says; raises RuntimeError with the end of it where it fails."""
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stdout + done.stderr)[-3000:])
    return done.stdout + done.stderr


def of_run(folder: Path, row: str, pattern: str) -> Path:
    """A file of a run."""
    return paths.at(folder / paths.RESULTS, pattern, row=row, run=paths.run(SEED, None))


def from_nothing(folder: Path, command: list[str]) -> Found:
    """The whole study."""
    called(command)
    kept = "training_time_seconds trunk_time_seconds peak_memory_bytes device precision accuracy"
    runs = {}
    for path in sorted(folder.glob("results/runs/*/*/metrics.json")):
        metrics = json.loads(path.read_text())
        runs[metrics["row"]] = {name: metrics[name] for name in kept.split()}
    lines = (folder / "results/table.csv").read_text().splitlines()
    answers = (folder / "results/comparisons.csv").read_text().splitlines()
    return {"runs": runs, "table_rows": len(lines) - 1, "answers": len(answers) - 1}


def again(command: list[str]) -> Found:
    """The same command, when all is done."""
    return {"nothing_to_be_done": "Nothing to be done" in called(command)}


def killed(folder: Path, command: list[str], row: str) -> Found:
    """A finished run once more; killed, with all of Snakemake, a third of the way."""
    results, state = of_run(folder, row, paths.METRICS).parent, of_run(folder, row, paths.STATE)
    target = of_run(Path(), row, paths.PREDICTIONS)  # relative, as Snakemake calls it
    before = results.rename(folder / f"before-{row}")
    process = subprocess.Popen(
        [*command, target],
        env=environment(ABLATIONS_SAVE_SECONDS="0.05"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None and not state.exists():
        time.sleep(0.005)
    metrics = json.loads((before / "metrics.json").read_text())
    time.sleep((metrics["training_time_seconds"] - metrics["trunk_time_seconds"]) / 3)
    saved = state.exists()
    end(process)
    if not saved:
        raise RuntimeError("it ended before it saved a state")
    called([*command, "--unlock"])
    called([*command, target])
    log = of_run(folder, row, paths.RUN_LOG).read_text()
    step = re.search(r"going on after step (\d+)", log)
    old, new = (each / "predictions.csv" for each in (before, results))
    one, other = (pd.read_csv(each).filter(like="logit_").to_numpy() for each in (old, new))
    return {
        "resumed_after_step": step and int(step[1]),
        "same_bytes": old.read_bytes() == new.read_bytes(),
        "largest_logit_difference": float(np.abs(one - other).max()),
    }


def end(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def asked_and_used(need: needs.Needs, benchmark: Path) -> Found:
    """What a queue would be asked for, and what Snakemake saw: seconds, and main memory in MB."""
    with benchmark.open(newline="") as file:
        (line,) = csv.DictReader(file, delimiter="\t")
    return {
        "asked": vars(need) | {"minutes": need.minutes},
        "used": {name: line[name] for name in ("s", "max_rss", "max_pss")},
    }
