"""A tokenizer: what makes ids of texts. GPT-2's and that of bytes are tiktoken's, any other is
transformers' own with the model's files.

The spelling of a special token within a text is text. What a model's tokenizer puts before and
after each text (BOS, [CLS], [SEP]) is part of its ids.
"""

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from ablations import files
from ablations.data import byte_pairs
from ablations.data.tokens import Ids
from ablations.errors import UserError
from ablations.study import tokenizer_files
from ablations.study.folder import CONFIG
from ablations.study.tokenizer_files import END_OF_TEXT, MERGES, TOKENIZER

AT_A_TIME = 1024  # texts
# Texts that tell tokenizers apart, beside the spellings of their own tokens.
PROBES = ("", " ", "a", "A  b\n\tc's 1234", "é é ﬁ Å", "🙂你好\0", END_OF_TEXT, "[SEP] </s> ▁x")


@dataclass(frozen=True)
class Tokenizer:
    """What makes ids of texts.

    `vocab_size`: the highest id of a text or of padding, and one. `padding`: how the token of
    `padding_id` is spelt. `closing`: how many ids at the
    end of each text are no part of it. `batch` gives the ids of some texts, `pieces` how each token
    is spelt.
    """

    vocab_size: int
    padding_id: int
    padding: str
    batch: Callable[[list[str]], Iterable[Sequence[int]]]
    pieces: Callable[[], Iterable[str]]
    closing: int = 0

    def encode(self, texts: Iterable[str]) -> list[Ids]:
        """The ids of each text."""
        every = list(texts)
        parts = (every[first : first + AT_A_TIME] for first in range(0, len(every), AT_A_TIME))
        return [np.array(ids, np.int32) for part in parts for ids in self.batch(part)]


def of_merges(merges: Sequence[str]) -> Tokenizer:
    """GPT-2's tokenizer; that of bytes, where there are none."""
    found = byte_pairs.encoding(merges)
    return Tokenizer(
        vocab_size=found.n_vocab,
        padding_id=found.eot_token,
        padding=END_OF_TEXT,
        batch=lambda texts: [found.encode_ordinary(text) for text in texts],
        pieces=lambda: [token.decode(errors="ignore") for token in found.token_byte_values()],
    )


def named(name: str, folder: Path | None) -> Tokenizer:
    """The tokenizer `bytes`, `gpt2` by the merges.txt in a folder, or another by its files there.

    Raises UserError where they are missing or wrong.
    """
    if name == "bytes":
        return of_merges(())
    if folder is None:
        raise UserError(f"the tokenizer {name} needs the manifest of its files")
    if name == "gpt2":
        return of_merges(byte_pairs.read(folder / MERGES))
    return of_folder(folder, str(folder))


def of_folder(folder: Path, name: str) -> Tokenizer:
    """That of a model's folder; messages call the folder by `name`.

    Raises UserError, with the reason, where transformers cannot read it, or only in a form that
    takes the spelling of a special token for the token.
    """
    if merges := byte_pairs.of_gpt2(folder):
        return of_merges(merges)
    try:
        found = _loaded(folder)
        if not found.is_fast:
            raise UserError(
                f"transformers has it in Python alone ({type(found).__name__}), where a special"
                f" token cannot be told from its spelling; expected {TOKENIZER}, or files from"
                " which transformers makes it"
            )
        return _of_library(found, _deaf(json.loads(found.backend_tokenizer.to_str())))
    except Exception as error:  # whatever the files of strangers make these libraries raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{name}: its tokenizer cannot be read: {reason}") from None


def _loaded(folder: Path) -> Any:
    """transformers' tokenizer of a folder, without the network and without code of the model."""
    import transformers  # which takes seconds, and which GPT-2's jobs do without

    kind: Any = transformers.AutoTokenizer
    options: dict[str, Any] = {}
    told = {"tokenizer_class", "auto_map"} & tokenizer_files.settings(folder).keys()
    if not told and not files.is_file(folder / CONFIG):
        if files.is_file(folder / TOKENIZER):
            kind = transformers.PreTrainedTokenizerFast
        else:
            options = {"tokenizer_type": "gpt2" if files.is_file(folder / MERGES) else "bert"}
    return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


def _deaf(content: dict[str, Any]) -> Any:
    """A tokenizer.json as a tokenizer to which the spelling of a special token is text.

    What is no byte-pair encoding finds such a token in its vocabulary too, as it finds words. So
    there the token gets a spelling that no text has. Byte pairs may be merged to its spelling, if
    texts are not split before: without the last merge they are not.
    """
    from tokenizers import Tokenizer as Library

    model, added = content["model"], content["added_tokens"]
    special = [token["content"] for token in added if token["special"]]
    if model["type"] == "BPE":
        model["merges"] = [pair for pair in model["merges"] if _merged(pair) not in special]
    if model["type"] != "BPE" or model.get("ignore_merges"):
        new = {token: f"{uuid4().hex}{number}" for number, token in enumerate(special)}
        for token in added:
            token["content"] = new.get(token["content"], token["content"])
        if isinstance(model["vocab"], dict):
            model["vocab"] = {new.get(token, token): id for token, id in model["vocab"].items()}
        else:
            model["vocab"] = [[new.get(token, token), score] for token, score in model["vocab"]]
        if model.get("unk_token"):
            model["unk_token"] = new.get(model["unk_token"], model["unk_token"])
    made = Library.from_str(json.dumps(content | {"truncation": None, "padding": None}))
    made.encode_special_tokens = True
    return made


def _merged(pair: str | list[str]) -> str:
    """What a merge puts out; older files have both sides in one text."""
    return "".join(pair.split(" ") if isinstance(pair, str) else pair)


def _of_library(found: Any, backend: Any) -> Tokenizer:
    """By transformers' tokenizer, and what encodes for it."""
    ids: dict[str, int] = found.get_vocab()
    special = {str(token) for token in found.added_tokens_decoder.values() if token.special}
    one = backend.encode("a")
    beside = [bool(mask) for mask in one.special_tokens_mask]
    put = {id for id, is_put in zip(one.ids, beside, strict=True) if is_put}
    of_texts = {id for token, id in ids.items() if token not in special}
    if not of_texts:  # the class reads other files than there are
        raise UserError(f"{type(found).__name__} finds no tokens in its files")
    size = 1 + max(of_texts | put)
    end = ids.get(END_OF_TEXT) if found.eos_token_id is None else found.eos_token_id
    padding = found.pad_token_id
    # a padding token beyond all others may have been added without a larger embedding
    if padding is None or (padding >= size and end is not None):
        padding = min(put, default=0) if end is None else end
    return Tokenizer(
        vocab_size=max(size, padding + 1),
        padding_id=padding,
        padding=found.convert_ids_to_tokens(padding),
        batch=lambda texts: [each.ids for each in backend.encode_batch_fast(texts)],
        pieces=lambda: backend.decode_batch([[id] for id in sorted(ids.values())]),
        closing=[*reversed(beside), False].index(False),
    )


def alike(one: Tokenizer, other: Tokenizer) -> bool:
    """Whether they give the same ids to hostile texts, and to their tokens in a random order."""
    pieces = sorted({*one.pieces(), *other.pieces()})
    random.Random(0).shuffle(pieces)
    texts = [*PROBES, *("".join(pieces[first : first + 8]) for first in range(0, len(pieces), 8))]
    pairs = zip(one.encode(texts), other.encode(texts), strict=True)
    return all(np.array_equal(own, others) for own, others in pairs)
