#!/usr/bin/env python3
"""How much faster other models' last block trains than in a loop that recomputes everything.

    .venv/bin/python bench/other_models.py               two shapes; about half an hour on two cores
    .venv/bin/python bench/other_models.py --size nano   some seconds

Pythia-160M's and SmolLM2-135M's shapes, with random weights and texts, and GPT-2's ids. Parts are
timed as in bench.py and scaled up to the counts of whole runs; the jobs' starts are not counted.
Each number is the median over the rounds, in which all parts take turns.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import bench
from ablations.files import write_json
from ablations.machine.device import Device
from ablations.study.dimensions import Dimensions
from ablations.study.settings import Settings

FOLDS = 5
VOCABULARY = 50304  # GPT-2's ids; the tables of the two models are about as long
SHARED = {"vocab_size": VOCABULARY, "max_position_embeddings": 2048, "dtype": "float32"}
SHAPES: dict[str, dict[str, Any]] = {
    "nano": {
        **{"model_type": "gpt_neox", "hidden_size": 32, "num_hidden_layers": 4},
        **{"num_attention_heads": 4, "intermediate_size": 128},
    },
    "pythia-160m": {
        **{"model_type": "gpt_neox", "hidden_size": 768, "num_hidden_layers": 12},
        **{"num_attention_heads": 12, "intermediate_size": 3072},
    },
    "smollm2-135m": {
        **{"model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30},
        **{"num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536},
    },
}


def row_of(shape: dict[str, Any], precision: str) -> Settings:
    """The baseline's row for a model of this shape."""
    dimensions = Dimensions(
        n_layer=shape["num_hidden_layers"],
        n_head=shape["num_attention_heads"],
        n_embd=shape["hidden_size"],
        n_positions=SHARED["max_position_embeddings"],
        vocab_size=VOCABULARY,
        type=shape["model_type"],
    )
    baseline = bench.rows(["small"] * 4, precision)["baseline"]
    return bench.changed(baseline, dimensions=dimensions)


def lines(name: str, rounds: int, machine: Device) -> list[list[object]]:
    """What is compared, our seconds, the loop's, and their ratio."""
    row, tokens = row_of(SHAPES[name], machine.precision), bench.random_messages()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        write_json(folder / "config.json", SHARED | SHAPES[name])
        trunk = bench.Trunk(row, tokens, machine, folder)
        tail = bench.Tail(row, tokens, machine, folder)
        loop = bench.Loop(row, "transformers", tokens, machine, folder)
    parts = {"trunk": trunk.whole, "tail": tail.seconds, "plain": loop.seconds}
    seconds = bench.medians(parts, rounds)
    one, many = trunk.share * seconds["trunk"] + seconds["tail"], FOLDS * seconds["tail"]
    found = [("one run", one, seconds["plain"])]
    found += [(f"{FOLDS} folds", seconds["trunk"] + many, FOLDS * seconds["plain"])]
    return [[name, what, ours, theirs, theirs / ours] for what, ours, theirs in found]


def main() -> None:
    """The command line."""
    parser = bench.options(__doc__)
    parser.add_argument("--size", choices=SHAPES, help="one shape (both that are not nano)")
    arguments, machine = bench.float32(parser)
    names = [arguments.size] if arguments.size else [name for name in SHAPES if name != "nano"]
    found = [line for name in names for line in lines(name, arguments.rounds, machine)]
    headings = ["model", "last block", "ours, s", "recomputing, s", "faster"]
    numbers = ("", "", ".1f", ".1f", ".2f")
    print(tabulate(found, headings, tablefmt="github", floatfmt=numbers))


if __name__ == "__main__":
    main()
