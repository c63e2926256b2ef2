"""Token ids of the three splits, and how they become a model's inputs.

One small safetensors file: per split the ids of all messages one after another
(`<split>.ids` int32), where each begins and the last ends (`<split>.offsets` int64 [messages + 1])
and `<split>.labels` (int64 [messages]). Written by ablations.encode, read by training.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ablations.errors import UserError
from ablations.files import whole

# Metadata travel as one JSON text: safetensors writes several keys in an order that varies.
METADATA = "tokens"


@dataclass(frozen=True)
class Tokens:
    """The messages of each split as token ids.

    `ids` holds an int32 array per message, `labels` an int64 array [messages] (0 ham, 1 spam);
    `padding_id` is the tokenizer's <|endoftext|>, `dataset_sha256` the collection's checksum.
    """

    tokenizer: str
    vocab_size: int
    padding_id: int
    dataset_sha256: str
    ids: dict[str, list[npt.NDArray[np.int32]]]
    labels: dict[str, npt.NDArray[np.int64]]

    def context_tokens(self, context_length: str | int, n_positions: int) -> int:
        """Tokens per input after padding, for a model with so many positions.

        `longest_training_example`, `model_context_length` or a number. Raises UserError where the
        model has too few positions.
        """
        if context_length == "model_context_length":
            return n_positions
        if context_length == "longest_training_example":
            # one token of padding where every message is empty: a model needs something to read
            length = max(1, *(len(ids) for ids in self.ids["train"]))
            found = f"{context_length}: the longest training message has {length} tokens"
        else:
            length = int(context_length)
            found = str(length)
        if length > n_positions:
            raise UserError(
                f"context_length: {found}, but the model has {n_positions} positions; allowed:"
                f" model_context_length or a number up to {n_positions}, which cut longer messages"
            )
        return length

    def padded(self, split: str, length: int) -> npt.NDArray[np.int64]:
        """A split's ids [messages, length]: cut to the length, padded on the right."""
        inputs = np.full((len(self.ids[split]), length), self.padding_id, dtype=np.int64)
        for line, ids in zip(inputs, self.ids[split], strict=True):
            line[: len(ids)] = ids[:length]
        return inputs


def write(path: Path, tokens: Tokens) -> None:
    """Writes the file, whole or not at all; the same tokens give the same bytes."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for split, messages in tokens.ids.items():
        ends = np.cumsum([len(ids) for ids in messages], dtype=np.int64)
        tensors[f"{split}.ids"] = np.concatenate(messages, dtype=np.int32)
        tensors[f"{split}.offsets"] = np.concatenate([np.zeros(1, np.int64), ends])
        tensors[f"{split}.labels"] = tokens.labels[split]
    metadata = {
        "tokenizer": tokens.tokenizer,
        "vocab_size": tokens.vocab_size,
        "padding_id": tokens.padding_id,
        "dataset_sha256": tokens.dataset_sha256,
        "splits": list(tokens.ids),
    }
    with whole(path) as temporary:
        save_file(tensors, temporary, metadata={METADATA: json.dumps(metadata, sort_keys=True)})


def read(path: Path) -> Tokens:
    """Reads the file that `write` wrote; raises UserError if it is missing or anything else."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {})[METADATA])
            splits = metadata.pop("splits")
            labels = {split: file.get_tensor(f"{split}.labels") for split in splits}
            ids = {
                split: np.split(
                    file.get_tensor(f"{split}.ids"), file.get_tensor(f"{split}.offsets")[1:-1]
                )
                for split in splits
            }
        return Tokens(**metadata, ids=ids, labels=labels)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is no file of tokens ({error}); delete it and run again to encode it anew"
        ) from None
