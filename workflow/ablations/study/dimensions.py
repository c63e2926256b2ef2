"""The shape of a model, as the configuration, row files and manifests state it."""

import sys
from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct, structs

from ablations.errors import Message

Positive = Annotated[int, Meta(ge=1)]


class Dimensions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The shape of a model.

    `type`: config.json's model_type. `encoder`: whether it reads texts in both directions.
    `block_weights`: the numbers of one block, for estimates; None: a GPT-2's, 12 n_embd².
    """

    n_layer: Positive
    n_head: Positive
    n_embd: Positive
    n_positions: Positive
    vocab_size: Positive
    type: str = "gpt2"
    encoder: bool = False
    block_weights: Positive | None = None

    def __post_init__(self) -> None:
        # left out of files if it is the very default: so "gpt2" must be one and the same string
        structs.force_setattr(self, "type", sys.intern(self.type))

    @property
    def is_gpt2(self) -> bool:
        """Whether it is of GPT-2's architecture, for which there is an engine of its own."""
        return self.type == "gpt2"


# Those that every model states, as a GPT-2's config.json names them.
NAMES = tuple(field.name for field in structs.fields(Dimensions) if field.required)


def width_errors(dimensions: Dimensions) -> Iterator[Message]:
    """What is wrong with a width that is not a multiple of the number of heads."""
    if dimensions.n_embd % dimensions.n_head:
        yield (
            f"n_embd: {dimensions.n_embd} is out of range; allowed: a multiple of n_head, which is"
            f" {dimensions.n_head}"
        )
