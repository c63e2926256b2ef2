"""Computes the hidden states of one trunk into the cache, for all runs that share it.

    python -m ablations.training.trunk --settings results/trunks/ID.settings.json --tokens …

The output is a small manifest that says what was computed, and from what. The hidden states
themselves are in the cache and may be deleted.
"""

import argparse
from pathlib import Path

from ablations import cli, code
from ablations.data import tokens
from ablations.data.sequences import sequences
from ablations.files import read_json, write_json
from ablations.machine import device
from ablations.machine.memory import out_of_memory
from ablations.model import checkpoint
from ablations.study.cut import Trunk
from ablations.training.hidden_states import Cache, TrunkManifest, frozen


def main(arguments: argparse.Namespace) -> None:
    """Fills the cache, then writes the manifest."""
    trunk = read_json(arguments.settings, Trunk)
    machine = device.choose(trunk.precision, arguments.threads)
    folder = arguments.checkpoint.parent if arguments.checkpoint else None
    found = sequences(tokens.read(arguments.tokens), trunk.input)
    manifest = TrunkManifest(
        checkpoint_sha256=checkpoint.read_manifest(folder).sha256 if folder else None,
        sequences=found.sha256,
        code=read_json(arguments.code, code.Code).sha256,
    )
    if arguments.cache_gb > 0:
        cache = Cache(arguments.cache, arguments.cache_gb)
        layers = frozen(trunk, manifest, folder, machine)
        with out_of_memory():
            cache.outputs(layers, folder, found, machine)
    write_json(arguments.output, manifest)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--code", type=Path, required=True, help="which code this is, as JSON")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--cache-gb", type=float, required=True, help="its limit in GB")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
