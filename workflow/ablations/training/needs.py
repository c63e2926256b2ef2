"""What a job will need at most, for a cluster's queue: memory of the machine, and time.

Rough on purpose: from the model's shape and what the row trains, the largest terms alone. Nothing
else depends on these numbers, and a job that needs more is given more when it is tried again.
"""

from dataclasses import dataclass

from ablations.model.cut import TrunkSettings, first_trained
from ablations.study.dimensions import Dimensions
from ablations.study.settings import Input, Settings

# What the queue cannot know before the messages are there: those of the SMS Spam Collection.
MESSAGES = 1494
LONGEST_TRAINING_EXAMPLE = 120

FLOAT = 4  # bytes
# Python and PyTorch, with CUDA's libraries and context; Snakemake, three processes in each job.
FIXED_MB = 4000
# Of a weight that is only read: itself, and the checkpoint's file mapped into memory.
FLOATS_PER_WEIGHT = 2
# Of a trained weight: besides those, its gradient and AdamW's two moments. (With a GPU these are
# there, and here when the state is saved.)
FLOATS_PER_TRAINED_WEIGHT = FLOATS_PER_WEIGHT + 3
# What the backward pass of a block needs per token, in units of the width: two norms, query, key,
# value, the attention's output and its projection, the two times four of the MLP, and its output.
WIDTHS_PER_TOKEN = 16

# Start, and reading a checkpoint from a slow network disk.
FIXED_MINUTES = 15
# A GPU does ten times as much or more, two CPU cores a tenth.
FLOATING_POINT_OPERATIONS_PER_MINUTE = 60e12
# Forward and twice that backward, and as much again as one forward pass for evaluations.
PASSES_PER_EPOCH = 4


@dataclass(frozen=True)
class Needs:
    """What to ask of a cluster."""

    memory_mb: int
    minutes: int
    operations: float = 0.0  # of which the minutes are made, beside the start


def of_run(row: Settings) -> Needs:
    """A training run's. With its trunk's work, since the cache may have lost it."""
    trained = first_trained(row.trainable_layers, row.dimensions.n_layer)
    return _needs(
        row.dimensions,
        trained,
        _tokens(row.input),
        row.training.batch_size,
        row.training.epochs,
    )


def of_trunk(settings: TrunkSettings) -> Needs:
    """A trunk's."""
    nothing = first_trained("last_layer", settings.dimensions.n_layer)
    return _needs(settings.dimensions, nothing, _tokens(settings.input), batch=0, epochs=0)


def of_pretraining(dimensions: Dimensions, batch: int, steps: int) -> Needs:
    """A stand-in's that the workflow pretrains."""
    return _needs(dimensions, 0, dimensions.n_positions, batch, steps * batch / MESSAGES)


def _needs(
    dimensions: Dimensions,
    first_trained: int,
    tokens: int,
    batch: int,
    epochs: float,
) -> Needs:
    """For a model whose layers from `first_trained` on are trained, as cut.py counts them."""
    width = dimensions.n_embd
    embeddings = (dimensions.vocab_size + dimensions.n_positions) * width
    block = 12 * width**2
    trained_blocks = max(0, dimensions.n_layer + 1 - max(first_trained, 1))
    frozen_blocks = dimensions.n_layer - trained_blocks
    trained_weights = trained_blocks * block + (embeddings if first_trained == 0 else 0)

    weights = embeddings + dimensions.n_layer * block
    floats = FLOATS_PER_WEIGHT * (weights - trained_weights)
    floats += FLOATS_PER_TRAINED_WEIGHT * trained_weights
    floats += WIDTHS_PER_TOKEN * trained_blocks * batch * tokens * width
    if first_trained > 0:  # the hidden states, so that the system need not read them twice
        floats += MESSAGES * tokens * width

    passes = frozen_blocks + PASSES_PER_EPOCH * epochs * trained_blocks
    operations = passes * MESSAGES * tokens * 2 * block
    return Needs(
        memory_mb=FIXED_MB + round(floats * FLOAT / 1e6),
        minutes=FIXED_MINUTES + round(operations / FLOATING_POINT_OPERATIONS_PER_MINUTE),
        operations=operations,
    )


def _tokens(read: Input) -> int:
    """How many tokens of a message the model reads, at most."""
    if read.trainable_token == "first" and read.causal_mask and not read.average_embeddings:
        return 1
    match read.context_length:
        case "longest_training_example":
            return min(LONGEST_TRAINING_EXAMPLE, read.n_positions)
        case int(length):
            return length
        case _:
            return read.n_positions
