"""Token ids of the three splits, in one small safetensors file.

For each split: the ids of all texts one after another (`<split>.ids` int32), where each text
begins and the last ends (`<split>.offsets` int64 [texts + 1]), and `<split>.labels` (int64
[texts]). Written by ablations.data.encode, read by training.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ablations.errors import UserError
from ablations.files import as_json, whole

Ids = npt.NDArray[np.int32]

# All metadata are one JSON text: safetensors writes several keys in no fixed order.
METADATA = "tokens"


class About(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the file says about its tokens.

    `classes`: names in the order of their labels; `padding_id`: the tokenizer's <|endoftext|>;
    `dataset_sha256`: the collection's checksum.
    """

    tokenizer: str
    vocab_size: int
    padding_id: int
    classes: tuple[str, ...]
    dataset_sha256: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """The texts of each split as token ids.

    `ids` holds an int32 array per text, `labels` an int64 array [texts].
    """

    about: About
    ids: dict[str, list[Ids]]
    labels: dict[str, npt.NDArray[np.int64]]

    def context_tokens(self, context_length: str | int, n_positions: int) -> int:
        """Tokens per input after padding, for a model with this number of positions.

        Without padding (`variable`) it is the number of tokens of the longest text. Raises
        UserError where the model has too few positions.
        """
        if context_length == "model_context_length":
            return n_positions
        if context_length == "variable":
            return self._longest_unpadded(n_positions)
        if context_length == "longest_training_example":
            # at least one token of padding, since a model cannot read an empty input
            length = max(1, *(len(ids) for ids in self.ids["train"]))
            found = f"{context_length}: the longest training text has {length} tokens"
        else:
            length = int(context_length)
            found = str(length)
        if length > n_positions:
            raise UserError(
                f"context_length: {found}, but the model has {n_positions} positions; allowed:"
                f" model_context_length or a number up to {n_positions}; longer texts are cut"
            )
        return length

    def _longest_unpadded(self, n_positions: int) -> int:
        """Tokens of the longest text; refuses a text that needs padding or is too long."""
        for split, texts in self.ids.items():
            for number, ids in enumerate(texts, start=1):
                if not 1 <= len(ids) <= n_positions:
                    raise UserError(
                        f"context_length: variable: text {number} of {split}.csv has {len(ids)}"
                        f" tokens; allowed without padding: 1 to {n_positions}, the model's"
                        " positions"
                    )
        return max(len(ids) for texts in self.ids.values() for ids in texts)


def write(path: Path, tokens: Tokens) -> None:
    """Writes the file, whole or not at all; equal tokens give equal bytes."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for split, texts in tokens.ids.items():
        tensors[f"{split}.ids"] = np.concatenate(texts, dtype=np.int32)
        tensors[f"{split}.offsets"] = np.cumsum([0, *map(len, texts)], dtype=np.int64)
        tensors[f"{split}.labels"] = tokens.labels[split]
    metadata = {METADATA: as_json(tokens.about)}
    with whole(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read(path: Path) -> Tokens:
    """Reads the file that `write` wrote; raises UserError if it is missing or something else."""
    with _opened(path) as (file, about):
        labels = {split: file.get_tensor(f"{split}.labels") for split in about.splits}
        ids = {
            split: np.split(
                file.get_tensor(f"{split}.ids"), file.get_tensor(f"{split}.offsets")[1:-1]
            )
            for split in about.splits
        }
        return Tokens(about, ids, labels)


def read_about(path: Path) -> About:
    """The file's metadata, without its tokens; raises UserError as `read` does."""
    with _opened(path) as (_, about):
        return about


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, About]]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield file, msgspec.json.decode((file.metadata() or {})[METADATA], type=About)
    # msgspec's errors are ValueErrors
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is no file of tokens ({error}); delete it and run again to encode it again"
        ) from None
