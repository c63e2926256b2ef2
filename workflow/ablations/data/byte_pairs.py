"""GPT-2's byte-pair encoding as its files hold it, and the encoding of bytes, which merges nothing.

merges.txt lists the pairs of tokens that become one, in order; vocab.json gives each token its id.
Both write a byte that cannot be printed as another character.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tiktoken import Encoding
from tiktoken_ext.openai_public import r50k_pat_str  # type: ignore[import-untyped]

from ablations import files
from ablations.errors import UserError
from ablations.study import tokenizer_files
from ablations.study.tokenizer_files import END_OF_TEXT, GPT2_SHA256, IDS, MERGES, TOKENIZER

VERSION = "#version: 0.2\n"
CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend")
# Settings that change a text's ids where they are set.
CHANGING = ("add_prefix_space", "do_lower_case", "add_bos_token", "add_eos_token")


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


def ids(merges: Sequence[str]) -> dict[str, int]:
    """Every token's id: GPT-2's of its merges; without merges each byte is its own id."""
    if not merges:
        return BYTES | {END_OF_TEXT: 256}
    tokens = [*BYTES, *(merge.replace(" ", "") for merge in merges), END_OF_TEXT]
    return {token: number for number, token in enumerate(tokens)}


def encoding(merges: Sequence[str]) -> Encoding:
    """GPT-2's encoding of texts, or that of bytes."""
    found = ids(merges)
    end = found.pop(END_OF_TEXT)
    ranks = {bytes(BYTES[each] for each in token): number for token, number in found.items()}
    # tiktoken's form of GPT-2's pattern, which a million line breaks do not overflow
    special = {END_OF_TEXT: end}
    return Encoding("", pat_str=r50k_pat_str, mergeable_ranks=ranks, special_tokens=special)


def read(path: Path) -> tuple[str, ...]:
    """GPT-2's merges; raises UserError where the file is missing or holds others."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    merges = tuple(text.removeprefix(VERSION).splitlines())
    if _sha256(merges) != GPT2_SHA256:
        raise UserError(
            f"{path} does not hold GPT-2's merges; delete the manifest beside it and run again to"
            " fetch them again"
        )
    return merges


def write(merges: Sequence[str], folder: Path) -> None:
    """Writes vocab.json and merges.txt."""
    found = dict(sorted(ids(merges).items(), key=lambda item: item[1]))
    files.write_text(folder / IDS, json.dumps(found, ensure_ascii=False) + "\n")
    files.write_text(folder / MERGES, _text(merges))


def _text(merges: Sequence[str]) -> str:
    return VERSION + "".join(f"{merge}\n" for merge in merges)


def _sha256(merges: Sequence[str]) -> str:
    return hashlib.sha256(_text(merges).encode()).hexdigest()


# --- whether a tokenizer is GPT-2's


def of_gpt2(folder: Path) -> tuple[str, ...] | None:
    """GPT-2's merges, where the files in a folder are plainly a tokenizer that encodes as GPT-2's.

    Else None; special tokens may be more, since no text becomes one.
    """
    settings = tokenizer_files.settings(folder)
    if any(settings.get(key) for key in CHANGING):
        return None
    if settings.get("tokenizer_class", CLASSES[0]) not in CLASSES:
        return None
    special = {END_OF_TEXT, *tokenizer_files.special_tokens(folder)}
    if files.is_file(folder / TOKENIZER):
        content = files.read_keys(folder / TOKENIZER)
        if any(_changes(content)):
            return None
        vocab, pairs = content["model"].get("vocab"), content["model"].get("merges")
        added = {token.get("content"): token.get("id") for token in content.get("added_tokens", ())}
        special |= added.keys()
    elif files.is_file(folder / IDS) and files.is_file(folder / MERGES):
        vocab, added = files.read_keys(folder / IDS), {}
        text = (folder / MERGES).read_text(encoding="utf-8", errors="replace")
        pairs = text.removeprefix(VERSION).splitlines()
    else:
        return None
    if not isinstance(vocab, dict) or not isinstance(pairs, list):
        return None
    merges = tuple(each if isinstance(each, str) else " ".join(map(str, each)) for each in pairs)
    vocab = vocab | added | tokenizer_files.added_words(folder)
    own = {token: id for token, id in vocab.items() if token not in special}
    own[END_OF_TEXT] = vocab.get(END_OF_TEXT)
    return merges if _sha256(merges) == GPT2_SHA256 and own == ids(merges) else None


def _changes(content: dict[str, Any]) -> Iterator[bool]:
    """What of a tokenizer.json changes the ids that merges alone would give."""
    model: Any = content.get("model")
    before: Any = content.get("pre_tokenizer")
    after: Any = content.get("post_processor") or {"type": "ByteLevel"}
    yield not isinstance(model, dict) or model.get("type", "BPE") != "BPE"
    yield any(model.get(key) for key in ("dropout", "ignore_merges", "end_of_word_suffix"))
    yield content.get("normalizer") is not None
    yield not isinstance(before, dict) or before.get("type") != "ByteLevel"
    yield bool(before.get("add_prefix_space")) or before.get("use_regex") is False
    yield not isinstance(after, dict) or bool(after.get("special_tokens"))
    yield after.get("type") not in ("ByteLevel", "TemplateProcessing")
    yield any(not token.get("special") for token in content.get("added_tokens", ()))
