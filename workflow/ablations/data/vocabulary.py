"""A vocabulary of GPT-2's kind, byte-level byte-pair encoding, as transformers' files hold it.

vocab.json gives each token's id and merges.txt the pairs that become one token, the first first.
Both spell a byte that cannot be seen as another character.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tiktoken import Encoding
from tiktoken_ext.openai_public import r50k_pat_str  # type: ignore[import-untyped]

from ablations.errors import UserError
from ablations.files import as_json, write_text

END_OF_TEXT = "<|endoftext|>"
IDS, MERGES = "vocab.json", "merges.txt"
VERSION = "#version: 0.2\n"


def _spelling() -> dict[str, int]:
    """The character that stands for each byte: itself where it can be seen, else one from 256 on.

    As in OpenAI's encoder.py and every tokenizer after it.
    """
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1)]
    seen += range(ord("®"), ord("ÿ") + 1)
    hidden = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {
        chr(256 + number): byte for number, byte in enumerate(hidden)
    }


BYTES = _spelling()


@dataclass(frozen=True)
class Vocabulary:
    """Every token's id, and the merges in their order, each two tokens with a blank between."""

    ids: dict[str, int]
    merges: tuple[str, ...]

    @property
    def encoded(self) -> dict[str, int]:
        """The tokens that text can become, and <|endoftext|>: no words that were added by hand."""
        made = {merge.replace(" ", "") for merge in self.merges}
        kept = made | BYTES.keys() | {END_OF_TEXT}
        return {token: number for token, number in self.ids.items() if token in kept}

    @property
    def sha256(self) -> str:
        """The same for two vocabularies that encode every text alike."""
        content = as_json([sorted(self.encoded.items()), self.merges])
        return hashlib.sha256(content.encode()).hexdigest()

    def encoding(self, name: str) -> Encoding:
        """What encodes text with it, under this name."""
        tokens = self.encoded
        end = tokens.pop(END_OF_TEXT)
        return Encoding(
            name,
            # GPT-2's pattern as tiktoken writes it, which a million line breaks do not overflow
            pat_str=r50k_pat_str,
            mergeable_ranks={
                bytes(BYTES[character] for character in token): number
                for token, number in tokens.items()
            },
            special_tokens={END_OF_TEXT: end},
        )


def of_bytes() -> Vocabulary:
    """A token for each of the 256 bytes; <|endoftext|> is 256."""
    return Vocabulary(BYTES | {END_OF_TEXT: 256}, ())


def read(ids: Path, merges: Path) -> Vocabulary:
    """The vocabulary of two files; raises UserError where they are no such files."""
    try:
        found = json.loads(ids.read_text(encoding="utf-8"))
        lines = merges.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise UserError(f"{ids} and {merges} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{ids} holds {found!r:.80}; expected an id for each token")
    pairs = [line for line in lines if line and not line.startswith("#version")]
    return checked(found, pairs, str(ids), str(merges))


def checked(ids: dict[str, int], merges: Iterable[str], where: str, pairs: str) -> Vocabulary:
    """A vocabulary of these; raises UserError, naming their files, where it cannot be GPT-2's kind.

    tiktoken knows a merge by its result and takes the lowest id first, so ids must rise with the
    merges.
    """
    merges = tuple(merges)
    missing = [token for token in (*BYTES, END_OF_TEXT) if type(ids.get(token)) is not int]
    if missing:
        raise UserError(
            f"{where} has no id for {missing[0]!r}; expected a token for each of the 256 bytes and"
            f" {END_OF_TEXT}, as in GPT-2's byte-level byte-pair encoding"
        )
    before = -1
    for number, merge in enumerate(merges, start=1):
        parts = merge.split(" ")
        result = ids.get("".join(parts))
        if len(parts) != 2 or type(result) is not int or any(part not in ids for part in parts):
            raise UserError(
                f"{pairs}: merge {number}, {merge!r:.80}, is not of two tokens of {where} into"
                " another, as in GPT-2's byte-level byte-pair encoding"
            )
        if result <= before:
            raise UserError(
                f"{where}: the ids of merged tokens do not rise in the order of {pairs} (merge"
                f" {number}, {merge!r:.80}), as they do in GPT-2's byte-pair encoding"
            )
        before = result
    return Vocabulary(ids, merges)


def write(vocabulary: Vocabulary, folder: Path) -> None:
    """Writes vocab.json and merges.txt."""
    ids = dict(sorted(vocabulary.ids.items(), key=lambda item: item[1]))
    write_text(folder / IDS, json.dumps(ids, ensure_ascii=False) + "\n")
    write_text(folder / MERGES, VERSION + "".join(f"{merge}\n" for merge in vocabulary.merges))
