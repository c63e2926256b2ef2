"""Settings that are right one by one, but not with this model or with one another."""

from collections.abc import Iterator

from ablations.study.settings import Settings


def mistakes(found: Settings) -> Iterator[str]:
    """What is wrong with a row's settings together: a line for each mistake."""
    positions, length = found.dimensions.n_positions, found.context_length
    if found.trainable_layers == "last_two_blocks" and found.dimensions.n_layer < 2:
        yield (
            "trainable_layers: last_two_blocks needs a model with two blocks, and"
            f" {found.model} has one; allowed: last_layer, last_block, all, lora"
        )
    if isinstance(length, int) and length > positions:
        yield (
            f"context_length: {length} is out of range; allowed: at most {positions}, the"
            f" positions of {found.model}"
        )
    if length == "variable" and found.training.batch_size != 1:
        yield (
            "context_length: variable has no padding to make a batch of, and batch_size is"
            f" {found.training.batch_size}; allowed: batch_size 1 (accumulation_steps adds up"
            " several)"
        )
    if found.average_embeddings and found.trainable_token == "flexible":
        yield (
            "average_embeddings: True reads every position, and trainable_token: flexible"
            " names one; allowed: one of the two"
        )
