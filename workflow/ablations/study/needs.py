"""What a job and a study need (memory, time), estimated before any text is read.

The estimate is rough: only the largest terms, from the model's shape and what the row trains.
Nothing else depends on these numbers, and a job that needs more gets more when it is tried again.
Memory and the minutes for a cluster's queue are larger than what was measured. Seconds are what two
CPU cores took (docs/performance.md); a GPU was not measured.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from ablations.study import cut
from ablations.study.config import Study
from ablations.study.dataset import PUBLISHED_MESSAGES, PUBLISHED_READING, Generated, Shares, Texts
from ablations.study.dimensions import Dimensions
from ablations.study.models import Model
from ablations.study.settings import Input, Settings

TRAINING_SHARE = 0.7

FLOAT = 4  # bytes
PROGRAM_MB = 500  # Python and PyTorch
FIXED_MB = 4000  # and CUDA's libraries and context, and Snakemake's three processes
# A trained weight: itself, its gradient and AdamW's two moments. (With a GPU they are in the GPU's
# memory, and in the CPU's while the state is saved.) The checkpoint's file is mapped in addition.
FLOATS_PER_TRAINED_WEIGHT = 4
# A saved state has all of these but the gradient, and a new one is written before the old one goes.
FLOATS_PER_SAVED_WEIGHT = 2 * 3
# What the backward pass of a block needs per token, in units of the width: two norms, the
# attention's output and the block's; and what its matrices put out, of a GPT-2 twelve: query, key,
# value and the projection, the two times four of the MLP.
WIDTHS_PER_TOKEN = 4
GPT2_BLOCK = 12

# Measured on two cores of an AMD EPYC: operations of a trunk and of training all layers; a step of
# the last block at one position, which moves each of its weights ten times; a job's start.
OPERATIONS_PER_SECOND = 150e9
SECONDS_PER_WEIGHT = 2.6e-9
JOB_SECONDS = 3.1
# A reference on one fold, the slowest of them: counting, and the steps of its regression.
REFERENCE_SECONDS_PER_TEXT = 1e-3

# For a queue: the start, and reading a checkpoint from a slow network disk. Then twice the time of
# a device that is seven times as fast as those cores. A GPU is at least as fast.
FIXED_MINUTES = 15
SECONDS_PER_MINUTE_OF_QUEUE = 60 * 7 / 2


@dataclass(frozen=True)
class Size:
    """How many texts there are, which share of them a run trains on, and their tokens.

    Without padding, the longest in training decides memory, the average one time.
    """

    count: int
    longest: int
    average: int
    training: float = TRAINING_SHARE

    def trained(self, row: Settings) -> int:
        """How many texts a row trains on."""
        texts = int(self.training * self.count)
        return min(row.train_size or texts, texts)


# The SMS Spam Collection's in GPT-2's tokens, split as published: balanced, and all of it. Before
# other texts are read, they are assumed to be like the first.
BALANCED = Size(PUBLISHED_MESSAGES, longest=120, average=31)
ALL = Size(5572, longest=257, average=23)
AS_PUBLISHED = structs.replace(PUBLISHED_READING, split=Shares(train=0.7, validation=0.1, seed=123))


@dataclass(frozen=True)
class Needs:
    """What to ask a cluster for, and the seconds that two CPU cores compute."""

    memory_mb: int
    resident_mb: int  # the part of it that is used on a CPU: no mapped files, CUDA or Snakemake
    seconds: float

    @property
    def minutes(self) -> int:
        """The time to ask a queue for."""
        return FIXED_MINUTES + round(self.seconds / SECONDS_PER_MINUTE_OF_QUEUE)


def of_run(row: Settings, texts: Size = BALANCED) -> Needs:
    """The needs of a training run, with its trunk's work, since the cache may not hold that."""
    trunk = cut.trunk(row, seed=0)
    seconds = training_seconds(row, texts) + (trunk_seconds(trunk, texts) if trunk else 0)
    tokens = row.training.texts_at_once * _longest(row.input, texts)
    activations = _trained_blocks(row) * tokens * _activations(row.dimensions)
    states = hidden_states(trunk, texts) if trunk else 0
    return _needs(row.dimensions, trained_weights(row), activations, states, seconds)


def of_trunk(settings: cut.Trunk, texts: Size = BALANCED) -> Needs:
    """The needs of a trunk's job."""
    states, seconds = hidden_states(settings, texts), trunk_seconds(settings, texts)
    return _needs(settings.dimensions, 0, 0, states, seconds)


def of_pretraining(model: Model) -> Needs:
    """The needs of pretraining a stand-in."""
    assert model.pretrain
    shape, recipe = model.dimensions, model.pretrain.pretrain
    tokens = recipe.batch_size * shape.n_positions
    activations = shape.n_layer * tokens * _activations(shape)
    operations = 3 * recipe.steps * shape.n_layer * tokens * _per_token(shape, shape.n_positions)
    seconds = operations / OPERATIONS_PER_SECOND
    return _needs(shape, _all_weights(shape), activations, 0, seconds)


def _needs(shape: Dimensions, trained: int, activations: int, states: int, seconds: float) -> Needs:
    """The needs of a model with this number of trained weights; arguments are counts of floats."""
    frozen = _all_weights(shape) - trained
    mapped = _all_weights(shape) + states  # enough that nothing must be read twice
    resident = frozen + FLOATS_PER_TRAINED_WEIGHT * trained + activations
    return Needs(
        memory_mb=FIXED_MB + round((resident + mapped) * FLOAT / 1e6),
        resident_mb=PROGRAM_MB + round(resident * FLOAT / 1e6),
        seconds=seconds,
    )


def training_seconds(row: Settings, texts: Size) -> float:
    """The seconds of a run beside its trunk."""
    training, shape = row.training, row.dimensions
    blocks = _trained_blocks(row)
    # only GPT-2's engine computes the last block at the one position that is read
    all_positions = row.average_embeddings or not shape.is_gpt2
    lora = row.trainable_layers == "lora"
    # a step of a block at one position costs the time to move its weights; of others, to compute
    steps = training.epochs * max(1, texts.trained(row) // training.batch_size)
    passes = math.ceil(steps / training.batches_at_once)
    one_position = _block(shape) if blocks and not all_positions else 0
    everywhere = blocks if all_positions else max(0, blocks - 1)
    evaluations = math.ceil(steps / training.eval_every) + training.epochs
    read = steps * training.batch_size * (2 if lora else 3)  # forward, and backward twice that
    read += evaluations * 2 * training.eval_batches * training.batch_size + texts.count
    tail = everywhere * read * _operations(row.input, shape, texts)
    others = passes * SECONDS_PER_WEIGHT * max(0, trained_weights(row) - one_position)
    first = passes * SECONDS_PER_WEIGHT * one_position
    return first + max(tail / OPERATIONS_PER_SECOND, others)


def trunk_seconds(trunk: cut.Trunk, texts: Size) -> float:
    """The seconds of all texts through the trunk's blocks."""
    operations = _operations(trunk.input, trunk.dimensions, texts)
    return trunk.blocks * texts.count * operations / OPERATIONS_PER_SECOND


def reference_seconds(texts: Size) -> float:
    """The seconds of a reference on one fold."""
    return texts.count * REFERENCE_SECONDS_PER_TEXT


def expected(study: Study) -> tuple[Size, bool]:
    """The texts as far as they are known unread, and whether that is an assumption."""
    dataset, split = study.dataset, study.dataset.split
    share = (split and split.training) or TRAINING_SHARE
    if isinstance(dataset, Generated):
        return replace(BALANCED, count=dataset.generated.messages, training=share), False
    known = dataset.published and structs.replace(dataset.reading, balance=True) == AS_PUBLISHED
    found = ALL if dataset.published and not dataset.balance else BALANCED
    of_gpt2 = all(row.model.tokenizer == "gpt2" for row in study.rows)
    return replace(found, training=share), not (known and of_gpt2)


def count_to_cut(dataset: Texts | Generated) -> int | None:
    """How many texts are cut into splits; None where it is not known before they are read."""
    uncut = {"split": None, "stratify": False, "keep_together": False}
    as_read = structs.replace(dataset.reading, balance=True, **uncut)
    if not dataset.published or as_read != PUBLISHED_READING:
        return None
    return (BALANCED if dataset.reading.balance else ALL).count


def hidden_states(trunk: cut.Trunk, texts: Size) -> int:
    """The number of floats in a trunk's output."""
    return texts.count * _average(trunk.input, texts) * trunk.dimensions.n_embd


def shared(trunk: cut.Trunk, texts: Size) -> tuple[Any, ...]:
    """A key that is equal for trunks that share hidden states; see hidden_states.Frozen."""
    read = trunk.input
    tokens = (_longest(read, texts), _average(read, texts), read.causal_mask)
    return trunk.model, trunk.weights, trunk.seed, trunk.end, trunk.precision, *tokens


def trained_weights(row: Settings) -> int:
    """The weights that are trained; LoRA's, and those of norms and head, are too few to count."""
    if row.trainable_layers == "lora":
        return 0
    embeddings = _embeddings(row.dimensions) if row.trainable_layers == "all" else 0
    return _trained_blocks(row) * _block(row.dimensions) + embeddings


def file_bytes(model: Model) -> int:
    """The size of a checkpoint; GPT-2's hold masks for every block too."""
    if model.hub and model.hub.bytes:
        return model.hub.bytes
    shape = model.dimensions
    masks = shape.n_layer * shape.n_positions**2 if shape.is_gpt2 else 0
    return FLOAT * (_all_weights(shape) + masks)


def _trained_blocks(row: Settings) -> int:
    """The blocks in which something is trained."""
    return cut.blocks(cut.first_trained(row), cut.HEAD, row.dimensions.n_layer)


def _operations(read: Input, shape: Dimensions, texts: Size) -> float:
    """Floating-point operations of a block's forward pass over an average text."""
    tokens = _average(read, texts)
    return tokens * _per_token(shape, tokens)


def _per_token(shape: Dimensions, tokens: int) -> float:
    """Operations for a token: the block's matrices, and attention to half of the tokens."""
    return 2 * _block(shape) + 2 * tokens * shape.n_embd


def _block(shape: Dimensions) -> int:
    return shape.block_weights or GPT2_BLOCK * shape.n_embd**2


def _activations(shape: Dimensions) -> int:
    """Floats that the backward pass of a block needs per token."""
    return WIDTHS_PER_TOKEN * shape.n_embd + _block(shape) // shape.n_embd


def _embeddings(shape: Dimensions) -> int:
    """Others than GPT-2s mostly compute positions; where they have a table, it is a small one."""
    positions = shape.n_positions if shape.is_gpt2 else 0
    return (shape.vocab_size + positions) * shape.n_embd


def _all_weights(shape: Dimensions) -> int:
    return _embeddings(shape) + shape.n_layer * _block(shape)


def _longest(read: Input, texts: Size) -> int:
    """The most tokens of a text that the model reads."""
    if read.trainable_token == "first" and read.causal_mask and not read.average_embeddings:
        return 1
    match read.context_length:
        case "longest_training_example":
            return min(texts.longest, read.n_positions)
        case int(length):
            return length
        case _:
            return read.n_positions


def _average(read: Input, texts: Size) -> int:
    """The tokens that the model reads on average: the most, unless it reads no padding."""
    flexible = read.trainable_token == "flexible" and read.causal_mask
    if flexible or read.mask_padding or read.context_length == "variable":
        return min(texts.average, _longest(read, texts))
    return _longest(read, texts)
