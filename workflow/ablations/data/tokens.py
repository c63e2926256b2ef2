"""Token ids of the collection, in one small safetensors file.

The ids of all texts one after another (`ids` int32), where each text begins and the last ends
(`offsets` int64 [texts + 1]), `labels` (int64 [texts]), and how the texts are cut, by the columns
of texts.csv (`cuts/<column>` int8 [texts]). Written by ablations.data.encode, read by training.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ablations.data.collection import Cut, Numbers, ever_trained, lines
from ablations.errors import UserError
from ablations.files import as_json, whole
from ablations.study.dataset import SPLITS, column

Ids = npt.NDArray[np.int32]

# All metadata are one JSON text: safetensors writes several keys in no fixed order.
METADATA = "tokens"


class About(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the file says about its tokens.

    `vocab_size`: the highest id of a text or of padding, and one; `padding_id`: the tokenizer's
    padding token, else its <|endoftext|>; `closing`: how many ids at each text's end the tokenizer
    added ([SEP], </s>); `classes`: names in the order of their labels; `dataset_sha256`: the
    checksum of the files that the texts are from.
    """

    tokenizer: str
    vocab_size: int
    padding_id: int
    classes: tuple[str, ...]
    dataset_sha256: str
    closing: int = 0


@dataclass(frozen=True)
class Tokens:
    """The texts of the collection as token ids, an int32 array each, and how they are cut.

    `labels` is an int64 array [texts], `cuts` are those of the Collection.
    """

    about: About
    ids: list[Ids]
    labels: Numbers
    cuts: dict[str, Cut]

    def lines(self, fold: int | None, train_size: int | None = None) -> dict[str, Numbers]:
        """The lines of a fold's texts by split, with the first `train_size` training texts."""
        found = lines(self.cuts[column(fold)])
        return found | {"train": found["train"][:train_size]}

    @property
    def trained(self) -> list[Ids]:
        """The texts that are training texts of a fold, with several folds all."""
        return [self.ids[line] for line in np.flatnonzero(ever_trained(self.cuts))]

    def refuse_fewer(self, vocab_size: int) -> None:
        """Raises UserError where a model with so many embeddings lacks that of an id."""
        if vocab_size < self.about.vocab_size:
            raise UserError(
                f"vocab_size: the model has {vocab_size} embeddings, and the tokenizer"
                f" {self.about.tokenizer} {self.about.vocab_size} tokens"
            )

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
            length = max(1, *map(len, self.trained))
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
        for line, ids in enumerate(self.ids):
            if not 1 <= len(ids) <= n_positions:
                cut = self.cuts.get(column(None))
                of_split = "" if cut is None else f" ({SPLITS[cut[line]]})"
                raise UserError(
                    f"context_length: variable: text {line} of texts.csv{of_split} has {len(ids)}"
                    f" tokens; allowed without padding: 1 to {n_positions}, the model's positions"
                    " (texts are counted from 0)"
                )
        return max(map(len, self.ids))


CUTS = "cuts/"


def write(path: Path, tokens: Tokens) -> None:
    """Writes the file, whole or not at all; equal tokens give equal bytes."""
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "ids": np.concatenate(tokens.ids, dtype=np.int32),
        "offsets": np.cumsum([0, *map(len, tokens.ids)], dtype=np.int64),
        "labels": tokens.labels,
        **{f"{CUTS}{name}": cut for name, cut in tokens.cuts.items()},
    }
    with whole(path) as temporary:
        save_file(tensors, temporary, metadata={METADATA: as_json(tokens.about)})


def read(path: Path) -> Tokens:
    """Reads the file that `write` wrote; raises UserError if it is missing or something else."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = msgspec.json.decode((file.metadata() or {})[METADATA], type=About)
            ids = np.split(file.get_tensor("ids"), file.get_tensor("offsets")[1:-1])
            names = [key for key in file.keys() if key.startswith(CUTS)]  # noqa: SIM118
            cuts = {name.removeprefix(CUTS): file.get_tensor(name) for name in names}
            return Tokens(about, ids, file.get_tensor("labels"), cuts)
    # msgspec's errors are ValueErrors
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path} is no file of tokens ({error}); delete it and run again to encode it again"
        ) from None
