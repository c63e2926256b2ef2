"""The files of a tokenizer and what they say of its ids, without the libraries that use them."""

import json
from pathlib import Path
from typing import Any

from ablations import files
from ablations.errors import Message, UserError
from ablations.study.folder import CONFIG

# whole; byte pairs; WordPiece; SentencePiece; and what goes with any of them
TOKENIZER, IDS, MERGES, WORDS = "tokenizer.json", "vocab.json", "merges.txt", "vocab.txt"
SENTENCEPIECE = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "spm.model")
SETTINGS, SPECIAL, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
TOKENIZER_FILES = (TOKENIZER, IDS, MERGES, WORDS, *SENTENCEPIECE, SETTINGS, SPECIAL, ADDED)
END_OF_TEXT = "<|endoftext|>"
# GPT-2's merges.txt as its authors published it; tiktoken pins the same checksum.
GPT2_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"


def of(folder: Path) -> list[Path]:
    """The files of a folder that make its tokenizer; none where it has no tokenizer.

    config.json is one of them: it says which class reads the others. Raises UserError for one that
    stands for a file that Git LFS holds.
    """
    names = (*TOKENIZER_FILES, CONFIG)
    found = [folder / name for name in names if files.is_file(folder / name)]
    kinds = ({TOKENIZER}, {IDS, MERGES}, {WORDS}, *({name} for name in SENTENCEPIECE))
    present = {path.name for path in found}
    for path in found:
        files.refuse_pointer(path)
    return found if any(kind <= present for kind in kinds) else []


def settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json says; nothing where it is missing."""
    return files.read_keys(folder / SETTINGS) if files.is_file(folder / SETTINGS) else {}


def special_tokens(folder: Path) -> set[str]:
    """The special tokens that a tokenizer's settings name: in a text, their spelling is text."""
    named = settings(folder)
    stated = files.read_keys(folder / SPECIAL) if files.is_file(folder / SPECIAL) else {}
    found = {token["content"] for token in _added(named) if token.get("special")}
    for key, value in [*named.items(), *stated.items()]:
        if key.endswith(("_token", "_special_tokens")):
            for token in value if isinstance(value, list) else [value]:
                content = token.get("content") if isinstance(token, dict) else token
                found |= {content} if isinstance(content, str) else set()
    return found


def added_words(folder: Path) -> dict[str, int]:
    """The ids of words that were added to a tokenizer and are not special."""
    special = {END_OF_TEXT, *special_tokens(folder)}
    listed = files.read_keys(folder / ADDED) if files.is_file(folder / ADDED) else {}
    listed |= {token["content"]: token["id"] for token in _added(settings(folder))}
    return {word: id for word, id in listed.items() if word not in special}


def _added(settings: dict[str, Any]) -> list[dict[str, Any]]:
    found = settings.get("added_tokens_decoder") or {}
    return [{**token, "id": int(id)} for id, token in found.items()]


def vocab_size(folder: Path) -> int:
    """The number of ids that texts can have: the highest and one. Raises UserError if unknown.

    Special tokens beyond them count for nothing, unless the tokenizer itself puts them to a text.
    """
    found = of(folder)
    if not found:
        raise UserError(f"{folder} {no_tokenizer()}, relative to {Path.cwd()}")
    for path in found:
        if why := files.unreadable(path):
            raise UserError(f"{path} cannot be read: {why}")
    if found[0].name in SENTENCEPIECE:
        raise UserError(
            f"{folder} holds a SentencePiece model alone; expected {TOKENIZER}, which"
            f" AutoTokenizer.from_pretrained('{folder}').save_pretrained('…') makes of it"
            " (pip install transformers sentencepiece protobuf)"
        )
    try:
        ids, special = _ids(found[0])
        ids |= added_words(folder)
        return int(max(ids[token] for token in ids.keys() - (special - {END_OF_TEXT}))) + 1
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{found[0]} is no tokenizer, which gives each token an id"
            f" ({type(error).__name__}: {error})"
        ) from None


def no_tokenizer() -> Message:
    """The end of a sentence about a folder without one."""
    return f"holds no tokenizer; expected {TOKENIZER}, or {IDS} and {MERGES}, or {WORDS}"


def _ids(path: Path) -> tuple[dict[str, int], set[str]]:
    """Each token's id, and the special ones that no text gets."""
    if path.name == WORDS:
        words = path.read_text(encoding="utf-8").splitlines()
        return {word: id for id, word in enumerate(words)}, special_tokens(path.parent)
    content = files.read_keys(path, expected="an id for each token")
    if path.name == IDS:
        return content, special_tokens(path.parent)
    vocab, added = content["model"]["vocab"], content.get("added_tokens") or []
    if isinstance(vocab, list):  # Unigram's, each with a score
        vocab = {piece: id for id, (piece, _) in enumerate(vocab)}
    put = json.dumps(content.get("post_processor"))
    special = {token["content"] for token in added if token.get("special")}
    special -= {token for token in special if json.dumps(token) in put}
    return vocab | {token["content"]: token["id"] for token in added}, special
