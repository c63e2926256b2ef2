"""Computes the hidden states of one trunk into the cache, for all the runs that share it.

    python -m ablations.trunk --settings results/trunks/ID.settings.json --tokens … --output …

The output is a small manifest that says what was computed from what, never the hidden states'
own bits: those live in the cache and may be deleted.
"""

import argparse
import json
from pathlib import Path

from ablations import cli, device, tokens
from ablations.files import write_text
from ablations.hidden_states import Trunk, cache_gb, token_ids


def main(arguments: argparse.Namespace) -> None:
    """Fills the cache, then writes the manifest."""
    settings = json.loads(arguments.settings.read_text())
    machine = device.choose(settings["precision"], arguments.threads)
    trunk = Trunk(settings, arguments.checkpoint, arguments.tokens, machine, arguments.cache)
    ids = token_ids(tokens.read(arguments.tokens), settings)
    if cache_gb() > 0:
        with device.out_of_memory(device.TOO_SMALL):
            trunk.outputs(ids, cache_gb())
    shapes = {
        split: [*split_ids.shape, trunk.dimensions.n_embd] for split, split_ids in ids.items()
    }
    manifest = settings | {"inputs": trunk.identity, "shapes": shapes}
    write_text(arguments.output, json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ablations.trunk", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
