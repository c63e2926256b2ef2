"""A vocabulary of GPT-2's kind, byte-level byte-pair encoding, as transformers' files hold it.

vocab.json gives the id of each token. merges.txt lists the pairs that are merged into one token, in
order. Both write a byte that cannot be printed as another character. tokenizer.json holds the same
and whatever else a tokenizer does; this must be what GPT-2's tokenizer does.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiktoken import Encoding
from tiktoken_ext.openai_public import r50k_pat_str  # type: ignore[import-untyped]

from ablations.errors import UserError
from ablations.files import as_json, read_keys, write_text
from ablations.study.folder import (
    ADDED,
    END_OF_TEXT,
    IDS,
    MERGES,
    SETTINGS,
    SPECIAL,
    TOKENIZER,
    special_tokens,
    tokenizer_files,
)

VERSION = "#version: 0.2\n"
# The files of other kinds of tokenizers, and the name of the kind.
OTHERS = {
    "vocab.txt": "WordPiece",
    "spiece.model": "SentencePiece",
    "tokenizer.model": "SentencePiece",
    "sentencepiece.bpe.model": "SentencePiece",
}
FILES = (TOKENIZER, IDS, MERGES, SETTINGS, SPECIAL, ADDED, *OTHERS)
# Vocabulary.sha256 of GPT-2's own vocabulary.
GPT2_SHA256 = "24f67a7e5d63b90744496ca7f5bfd7eb83ef84583cfe2d615b056d3e70506488"
CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")
# What tokenizer.json may say about the parts that change ids; a key may also be absent.
PLAIN: dict[str, tuple[object, ...]] = {
    "type": ("BPE",),
    "dropout": (None, 0, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (False,),
    "ignore_merges": (False,),
}


def _spelling() -> dict[str, int]:
    """The character for each byte: the same if it can be printed, else a character from 256 on.

    As in OpenAI's encoder.py and in every later tokenizer of this kind.
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
    """Every token's id, and the merges in order, each as two tokens with a space between."""

    ids: dict[str, int]
    merges: tuple[str, ...]

    @property
    def encoded(self) -> dict[str, int]:
        """The tokens that a text can become, and <|endoftext|>; without other special ones."""
        made = {merge.replace(" ", "") for merge in self.merges}
        kept = made | BYTES.keys() | {END_OF_TEXT}
        return {token: number for token, number in self.ids.items() if token in kept}

    @property
    def sha256(self) -> str:
        """A checksum; equal for two vocabularies that encode every text alike."""
        content = as_json([sorted(self.encoded.items()), self.merges])
        return hashlib.sha256(content.encode()).hexdigest()

    def encoding(self, name: str) -> Encoding:
        """The encoding of texts with this vocabulary, under this name."""
        tokens = self.encoded
        end = tokens.pop(END_OF_TEXT)
        return Encoding(
            name,
            # tiktoken's form of GPT-2's pattern, which a million line breaks do not overflow
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
    """The vocabulary of two files; raises UserError where they do not hold one."""
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
    """The vocabulary of these ids and merges; raises UserError where it is not of GPT-2's kind.

    `where` and `pairs` name their files. tiktoken knows a merge by its result and applies the
    lowest id first, so the ids must rise in the order of the merges.
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
                f"{pairs}: merge {number}, {merge!r:.80}, does not make a token of {where} from two"
                " others, as in GPT-2's byte-level byte-pair encoding"
            )
        if result <= before:
            raise UserError(
                f"{where}: the ids of merged tokens do not rise in the order of {pairs} (merge"
                f" {number}, {merge!r:.80}), as they do in GPT-2's byte-pair encoding"
            )
        before = result
    return Vocabulary(ids, merges)


def of_folder(folder: Path, name: str | None = None) -> Vocabulary | None:
    """The vocabulary in a folder, such as a model's; None where there is none.

    Raises UserError, with the reason, for a tokenizer that is not of GPT-2's kind. `name`: what
    messages call the folder, if not by its path.
    """
    try:
        return _of_folder(folder)
    except UserError as error:
        raise UserError(str(error).replace(str(folder), name or str(folder))) from None


def _of_folder(folder: Path) -> Vocabulary | None:
    others = [name for name in OTHERS if (folder / name).is_file()]
    found = tokenizer_files(folder)
    if others and not found:
        raise UserError(
            f"{folder / others[0]} belongs to a {OTHERS[others[0]]} tokenizer; expected one of"
            " GPT-2's kind, byte-level byte-pair encoding"
        )
    if not found:
        return None
    _check_settings(folder / SETTINGS)
    _check_added(folder)
    if found[0].name == IDS:
        return read(*found)
    return _of_tokenizer(found[0])


def _check_settings(path: Path) -> None:
    settings = read_keys(path) if path.is_file() else {}
    kind = settings.get("tokenizer_class", CLASSES[0])
    if kind not in CLASSES:
        raise UserError(f"{path}: tokenizer_class is {kind!r:.80}, expected {CLASSES[0]}")
    for key in ("add_prefix_space", "do_lower_case", "add_bos_token", "add_eos_token"):
        if settings.get(key):
            raise UserError(f"{path}: {key} is {settings[key]!r:.80}, expected false, as GPT-2 has")
    for wrong in _added_words((settings.get("added_tokens_decoder") or {}).values()):
        raise UserError(f"{path}: {wrong}")


def _check_added(folder: Path) -> None:
    """Raises UserError for words that were added in the layout before transformers 4.34."""
    path = folder / ADDED
    special = {*special_tokens(folder), END_OF_TEXT}
    words = read_keys(path) if path.is_file() else {}
    for wrong in _added_words({"content": word, "special": word in special} for word in words):
        raise UserError(f"{path}: {wrong}")


def _of_tokenizer(path: Path) -> Vocabulary:
    """The vocabulary of a tokenizer.json that does nothing but what GPT-2's does."""
    found = read_keys(path)
    if wrong := next(_differences(found), None):
        raise UserError(f"{path} is not of GPT-2's kind, byte-level byte-pair encoding: {wrong}")
    merges = [
        merge if isinstance(merge, str) else " ".join(map(str, merge))
        for merge in found["model"]["merges"]
    ]
    added = {
        token["content"]: token["id"]
        for token in found.get("added_tokens") or ()
        if token.get("content") == END_OF_TEXT
    }
    return checked(found["model"]["vocab"] | added, merges, str(path), str(path))


def _differences(found: Mapping[str, Any]) -> Iterator[str]:
    model = found.get("model")
    if not isinstance(model, dict):
        yield "it has no model"
        return
    for key, allowed in PLAIN.items():
        if key in model and model[key] not in allowed:
            stated = json.dumps(model[key])
            yield f"its model's {key} is {stated:.80}, expected {json.dumps(allowed[0])}"
    if not isinstance(model.get("vocab"), dict) or not isinstance(model.get("merges"), list):
        yield "its model has no vocab and merges"
    if found.get("normalizer") is not None:
        yield "it has a normalizer, which changes texts"
    before = found.get("pre_tokenizer")
    if not isinstance(before, dict) or before.get("type") != "ByteLevel":
        yield f"its pre_tokenizer is {json.dumps(before):.80}, expected ByteLevel"
    elif before.get("add_prefix_space") or before.get("use_regex") is False:
        yield "its pre_tokenizer adds a space before a text, or does not split it as GPT-2's does"
    yield from _added_words(found.get("added_tokens") or ())
    after = found.get("post_processor")
    if not _leaves_ids(after):
        yield (
            "its post_processor adds tokens to each text, as GPT-2's does not:"
            f" {json.dumps(after):.120}"
        )


def _added_words(tokens: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with added tokens; special ones are none of a text's, since text is text."""
    words = [token.get("content") for token in tokens if not token.get("special")]
    if words:
        shown = ", ".join(f"{word!r:.40}" for word in words[:3])
        more = f" and {len(words) - 3} more" if len(words) > 3 else ""
        yield (
            f"it has added tokens that are not special ({shown}{more}), and texts are encoded by"
            " merges alone; expected none, as GPT-2 has"
        )


def _leaves_ids(after: Any) -> bool:
    """Whether a post_processor gives the ids of a text as they are."""
    match after:
        case None | {"type": "ByteLevel"}:
            return True
        case {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}]}:
            return True
        case {"type": "Sequence", "processors": [*parts]}:
            return all(map(_leaves_ids, parts))
    return False


def check_pairs(vocabulary: Vocabulary, where: str) -> None:
    """Raises UserError where tiktoken, which knows a merge by its result, would merge differently.

    It merges alike if each token, merged by the merges before its own, becomes its own pair. Proof:
    in a text, no merge crosses the bounds of what becomes that token, so within these bounds the
    merges are the same.
    """
    ranks = {tuple(merge.split(" ")): rank for rank, merge in enumerate(vocabulary.merges)}
    for pair, own in ranks.items():
        parts = list("".join(pair))
        while len(parts) > 2:
            two = itertools.pairwise(parts)
            rank, i = min((ranks.get(each, own), i) for i, each in enumerate(two))
            if rank >= own:
                break
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
        if tuple(parts) != pair:
            raise UserError(
                f"{where}: merge {own + 1}, {' '.join(pair)!r:.80}, cannot follow from the merges"
                " before it, as it does in byte-pair encoding"
            )


def write(vocabulary: Vocabulary, folder: Path) -> None:
    """Writes vocab.json and merges.txt."""
    ids = dict(sorted(vocabulary.ids.items(), key=lambda item: item[1]))
    write_text(folder / IDS, json.dumps(ids, ensure_ascii=False) + "\n")
    write_text(folder / MERGES, VERSION + "".join(f"{merge}\n" for merge in vocabulary.merges))
