"""Encodes the collection with one tokenizer, from its files and without network."""

import argparse
from pathlib import Path

from ablations import cli
from ablations.data import collection, tokenizer, tokens
from ablations.files import read_json
from ablations.sources import manifest


def main(arguments: argparse.Namespace) -> None:
    """Reads the collection, writes its tokens."""
    used = tokenizer.named(arguments.tokenizer, arguments.files and arguments.files.parent)
    found = collection.read(arguments.texts)
    ids = used.encode(found.texts)
    cli.log.info("%s texts, the longest has %s tokens", len(ids), max(map(len, ids)))
    about = tokens.About(
        tokenizer=arguments.tokenizer,
        vocab_size=used.vocab_size,
        padding_id=used.padding_id,
        closing=used.closing,
        classes=read_json(arguments.classes, tuple[str, ...]),
        dataset_sha256=manifest.sha256(arguments.collection),
    )
    tokens.write(arguments.output, tokens.Tokens(about, ids, found.labels, found.cuts))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--tokenizer", required=True, help="gpt2, bytes, or any name of another")
    parser.add_argument("--files", type=Path, nargs="?", help="the manifest of its files")
    parser.add_argument("--texts", type=Path, required=True, help="…/texts.csv")
    parser.add_argument("--classes", type=Path, required=True, help="…/classes.json")
    parser.add_argument(
        "--collection", type=Path, required=True, help="…/collection.json; its checksum is kept"
    )
    parser.add_argument("--output", type=Path, required=True, help="a .safetensors file")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
