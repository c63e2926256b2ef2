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
from ablations.model import checkpoint
from ablations.study.cut import TrunkManifest, TrunkSettings
from ablations.training.hidden_states import Cache, frozen


def main(arguments: argparse.Namespace) -> None:
    """Fills the cache, then writes the manifest."""
    settings = read_json(arguments.settings, TrunkSettings)
    machine = device.choose(settings.precision, arguments.threads)
    weights = arguments.checkpoint and arguments.checkpoint.parent
    found = sequences(tokens.read(arguments.tokens), settings.input)
    manifest = TrunkManifest(
        settings=settings,
        checkpoint_sha256=weights and checkpoint.read_manifest(weights).sha256,
        sequences={split: each.sha256 for split, each in found.items()},
        code=read_json(arguments.code, code.Code).sha256,
    )
    if device.cache_gb() > 0:
        layers = frozen(manifest, machine)
        with device.out_of_memory(device.TOO_SMALL):
            Cache(arguments.cache, device.cache_gb()).outputs(layers, weights, found, machine)
    write_json(arguments.output, manifest)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--settings", type=Path, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--code", type=Path, required=True, help="which code this is, as JSON")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
