"""Encodes the three splits with a tiktoken encoding, from files and without network.

`gpt2` is GPT-2's byte-pair encoding, built from its two vocabulary files; `bytes` has a token for
each of the 256 bytes and <|endoftext|>, and needs no file; `own` is the user's (vocabulary.py).
"""

import argparse
import os
from array import array
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tiktoken import Encoding
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tiktoken_ext.openai_public import r50k_pat_str  # type: ignore[import-untyped]

from ablations import cli
from ablations.data import tokens, vocabulary
from ablations.data.split import read_split_in_parts
from ablations.errors import UserError
from ablations.files import read_json
from ablations.sources import manifest
from ablations.study.dataset import SPLITS
from ablations.study.folder import IDS, MERGES

Ids = npt.NDArray[np.int32]

END_OF_TEXT = "<|endoftext|>"


def byte_encoding() -> Encoding:
    """256 byte tokens; <|endoftext|> is 256."""
    return Encoding(
        "bytes",
        pat_str=r"[\s\S]+",
        mergeable_ranks={bytes([byte]): byte for byte in range(256)},
        special_tokens={END_OF_TEXT: 256},
        explicit_n_vocab=257,
    )


def gpt2_encoding(vocabulary: Path) -> Encoding:
    """GPT-2's 50,257 tokens from `vocab.bpe` and `encoder.json` in this folder.

    Raises UserError if one is missing or they are not GPT-2's.
    """
    merges, ids = vocabulary / "vocab.bpe", vocabulary / "encoder.json"
    # tiktoken caches local files too, by name alone; it would read another version from there
    os.environ["TIKTOKEN_CACHE_DIR"] = ""
    try:
        return Encoding(
            "gpt2",
            # tiktoken's form of GPT-2's pattern, which a million line breaks do not overflow
            pat_str=r50k_pat_str,
            mergeable_ranks=data_gym_to_mergeable_bpe_ranks(str(merges), str(ids)),
            special_tokens={END_OF_TEXT: 50256},
            explicit_n_vocab=50257,
        )
    except (OSError, ValueError, KeyError, AttributeError, AssertionError) as error:
        raise UserError(
            f"{merges} and {ids} are not GPT-2's vocabulary ({error!r}); delete them and"
            " run again to fetch them again"
        ) from None


def encode(encoding: Encoding, texts: list[str]) -> list[Ids]:
    """The ids of each text. <|endoftext|> inside a text is not special."""
    return [np.array(ids, dtype=np.int32) for ids in encoding.encode_ordinary_batch(texts)]


def main(arguments: argparse.Namespace) -> None:
    """Reads the splits, writes their tokens."""
    if arguments.tokenizer == "bytes":
        encoding = byte_encoding()
    elif not arguments.vocabulary_dir:
        raise UserError(
            f"--tokenizer {arguments.tokenizer} needs --vocabulary-dir, the folder of its two files"
        )
    elif arguments.tokenizer == "gpt2":
        encoding = gpt2_encoding(arguments.vocabulary_dir)
    else:
        folder = arguments.vocabulary_dir
        words = vocabulary.read(folder / IDS, folder / MERGES)
        encoding = words.encoding("own")
    ids: dict[str, list[Ids]] = {}
    labels = {}
    for split in SPLITS:
        ids[split], numbers = [], array("q")
        for some, texts in read_split_in_parts(arguments.data_dir / f"{split}.csv"):
            ids[split] += encode(encoding, texts)
            numbers.extend(some)
        labels[split] = np.array(numbers, dtype=np.int64)
        longest = max(map(len, ids[split]))
        cli.log.info("%s: %s texts, the longest has %s tokens", split, len(numbers), longest)
    about = tokens.About(
        tokenizer=encoding.name,
        vocab_size=encoding.n_vocab,
        padding_id=encoding.eot_token,
        classes=read_json(arguments.data_dir / "classes.json", tuple[str, ...]),
        dataset_sha256=manifest.sha256(manifest.read(arguments.collection)),
        splits=SPLITS,
    )
    tokens.write(arguments.output, tokens.Tokens(about, ids, labels))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--tokenizer", choices=["gpt2", "bytes", "own"], required=True)
    parser.add_argument("--vocabulary-dir", type=Path, help="holds the tokenizer's two files")
    parser.add_argument(
        "--data-dir", type=Path, required=True, help="holds the three CSV files and classes.json"
    )
    parser.add_argument(
        "--collection", type=Path, required=True, help="…/collection.json; its checksum is kept"
    )
    parser.add_argument("--output", type=Path, required=True, help="a .safetensors file")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
