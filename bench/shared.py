#!/usr/bin/env python3
"""What one pass through the frozen layers serves: folds, depths, and LoRA in the last blocks.

    .venv/bin/python bench/shared.py               GPT-2 small; about ten minutes on two cores
    .venv/bin/python bench/shared.py --size nano   some seconds

Parts are timed as in bench.py (a batch of the trunk, some steps and an evaluation) and scaled up to
the counts of whole runs. Jobs' starts are counted too, as the time of importing what a job imports.
Random weights and texts; each number is the median over the rounds, in which all parts take turns.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import bench
from ablations.machine.device import Device
from ablations.study import cut

FOLDS = (5, 10)
SEEDS = 3
LATE = {"trainable_layers": "lora", "lora_blocks": 2}

Parts = dict[str, Callable[[], float]]


def start() -> float:
    """Seconds that a job needs before it computes."""
    begin, library = time.perf_counter(), str(Path(__file__).parents[1] / "workflow")
    command = [sys.executable, "-c", "import ablations.training.run"]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": library})
    return time.perf_counter() - begin


def parts(size: str, depths: range, machine: Device) -> Parts:
    """What is timed: the trunk of one last block, and of each row its tail and the plain loop."""
    tokens = bench.random_messages()
    baseline = bench.rows([size] * 4, machine.precision)["baseline"]
    options: dict[str, Any] = {str(n): {"trainable_layers": n} for n in depths} | {"late": LATE}
    rows = {name: bench.changed(baseline, row=name, **own) for name, own in options.items()}
    trunk = bench.Trunk(rows["1"], tokens, machine)
    found: Parts = {"start": start, "trunk": trunk.whole}
    for name, row in rows.items():
        found[f"tail {name}"] = bench.Tail(row, tokens, machine).seconds
        found[f"plain {name}"] = bench.Loop(row, "plain", tokens, machine).seconds
    found["trunk late"] = bench.Trunk(rows["late"], tokens, machine).whole
    assert cut.trunk(rows["late"], bench.SEED) == cut.trunk(rows["2"], bench.SEED)
    return found


def lines(seconds: Mapping[str, float], depths: range) -> list[list[object]]:
    """What is compared, its seconds, those of what it is compared with, and their ratio."""
    job, trunk = seconds["start"], seconds["trunk"]
    run = job + trunk + job + seconds["tail 1"]  # a job for the trunk, one for the tail
    found: list[list[object]] = []
    for folds in FOLDS:
        many = job + trunk + folds * (job + seconds["tail 1"])
        found.append([f"{folds} folds of the last block, against one run", many, run, many / run])
    # each deeper trunk goes on from the one before: together they are the deepest one's pass
    ours = len(depths) * job + trunk
    ours += sum(SEEDS * (job + seconds[f"tail {n}"]) for n in depths)
    theirs = sum(SEEDS * (job + seconds[f"plain {n}"]) for n in depths)
    what = f"depths 1 to {depths[-1]} with {SEEDS} seeds, against the plain loop"
    found.append([what, ours, theirs, ours / theirs])
    late = 2 * job + seconds["trunk late"] + seconds["tail late"]
    plain = job + seconds["plain late"]
    found.append(["LoRA in the last two blocks, against the plain loop", late, plain, late / plain])
    return found


def main() -> None:
    """The command line."""
    parser = bench.options(__doc__)
    parser.add_argument("--size", choices=bench.SIZES, default="small")
    parser.add_argument("--depths", type=int, help="the most blocks (half of them)")
    arguments, machine = bench.float32(parser)
    most = arguments.depths or bench.SIZES[arguments.size].n_layer // 2
    timed, depths = parts(arguments.size, range(1, most + 1), machine), range(1, most + 1)
    medians = bench.medians(timed, arguments.rounds)
    print({name: round(spent, 2) for name, spent in medians.items()}, file=sys.stderr)
    headings = ["what", "seconds", "against", "ratio"]
    print(
        tabulate(
            lines(medians, depths), headings, tablefmt="github", floatfmt=("", ".0f", ".0f", ".2f")
        )
    )


if __name__ == "__main__":
    main()
