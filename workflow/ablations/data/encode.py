"""Encodes the collection with a byte-level byte-pair encoding, from files and without network.

`gpt2` is GPT-2's, from its two vocabulary files; `bytes` has a token for each of the 256 bytes and
<|endoftext|>, and needs no file; `own` is the user's. Each is a Vocabulary (vocabulary.py).
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tiktoken import Encoding

from ablations import cli
from ablations.data import collection, tokens, vocabulary
from ablations.errors import UserError
from ablations.files import read_json
from ablations.sources import manifest
from ablations.study.folder import IDS, MERGES


def encoding(tokenizer: str, folder: Path | None = None) -> Encoding:
    """The encoding of this name; raises UserError as `words` does."""
    return words(tokenizer, folder).encoding(tokenizer)


def words(tokenizer: str, folder: Path | None = None) -> vocabulary.Vocabulary:
    """The vocabulary of `bytes`, or of `gpt2` or `own` from the two files in a folder.

    Raises UserError where they are missing, or are not GPT-2's.
    """
    if tokenizer == "bytes":
        return vocabulary.of_bytes()
    if folder is None:
        raise UserError(f"the tokenizer {tokenizer} needs the manifest of its files")
    if tokenizer == "gpt2":
        return _gpt2(folder / "encoder.json", folder / "vocab.bpe")
    return vocabulary.read(folder / IDS, folder / MERGES)


def _gpt2(ids: Path, merges: Path) -> vocabulary.Vocabulary:
    try:
        words = vocabulary.read(ids, merges)
        if words.sha256 != vocabulary.GPT2_SHA256:
            raise UserError("other tokens")
    except UserError as error:
        raise UserError(
            f"{merges} and {ids} are not GPT-2's vocabulary ({error}); delete them and run again to"
            " fetch them again"
        ) from None
    return words


def encode(encoding: Encoding, texts: Iterable[str]) -> list[tokens.Ids]:
    """The ids of each text. <|endoftext|> inside a text is not special."""
    return [np.array(encoding.encode_ordinary(text), np.int32) for text in texts]


def main(arguments: argparse.Namespace) -> None:
    """Reads the collection, writes its tokens."""
    files = arguments.files and arguments.files.parent
    used = encoding(arguments.tokenizer, files)
    found = collection.read(arguments.texts)
    ids = encode(used, found.texts)
    cli.log.info("%s texts, the longest has %s tokens", len(ids), max(map(len, ids)))
    about = tokens.About(
        tokenizer=used.name,
        vocab_size=used.n_vocab,
        padding_id=used.eot_token,
        classes=read_json(arguments.classes, tuple[str, ...]),
        dataset_sha256=manifest.sha256(arguments.collection),
    )
    tokens.write(arguments.output, tokens.Tokens(about, ids, found.labels, found.cuts))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--tokenizer", choices=["gpt2", "bytes", "own"], required=True)
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
