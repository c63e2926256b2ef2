"""Where a row cuts the model into trunk and tail, and what the trunk's output depends on.

Does not import torch, because the planning of many rows uses this too. The numbers here are
positions in the list of layers in gpt2.py.
"""

from msgspec import Struct

from ablations.study.dimensions import Dimensions
from ablations.study.settings import Input, Settings


class TrunkSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What decides a trunk's hidden states besides checkpoint, texts and code."""

    model: str
    dimensions: Dimensions
    weights: str
    seed: int | None  # of random weights
    input: Input
    depth: int
    precision: str


class TrunkManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trunk's job computed, and from what; the hidden states themselves are not part of it.

    `sequences`: a checksum for each split; `code`: that of the code that computes hidden states.
    """

    settings: TrunkSettings
    checkpoint_sha256: str | None
    sequences: dict[str, str]
    code: str


def first_trained(trainable_layers: str, n_layer: int) -> int:
    """The first layer in which a row trains something; it also does in all layers after it."""
    return {
        "all": 0,
        "lora": 0,
        "last_two_blocks": n_layer - 1,
        "last_block": n_layer,
        "last_layer": n_layer + 2,
    }[trainable_layers]


def trunk_depth(trainable_layers: str, n_layer: int) -> int:
    """How many leading layers form the trunk: frozen, with an output at every position.

    The last block has one output per message, so a row that freezes it too (last_layer) shares the
    trunk of last_block.
    """
    return min(first_trained(trainable_layers, n_layer), n_layer)


def trunk_settings(row: Settings, seed: int) -> TrunkSettings | None:
    """What decides the hidden states of a run; None without a trunk."""
    depth = trunk_depth(row.trainable_layers, row.dimensions.n_layer)
    if depth == 0:
        return None
    return TrunkSettings(
        model=row.model,
        dimensions=row.dimensions,
        weights=row.weights,
        seed=seed if row.weights == "random" else None,
        input=row.input,
        depth=depth,
        precision=row.training.precision,
    )


def trunk_name(settings: TrunkSettings, model_slug: str) -> str:
    """A trunk's file name: it describes the trunk, and differs where the settings differ."""
    read = settings.input
    parts = [model_slug, settings.weights]
    parts += [] if settings.seed is None else [f"seed-{settings.seed}"]
    parts += [read.trainable_token, str(read.context_length)]
    parts += [] if read.causal_mask else ["no-mask"]
    parts += ["average"] if read.average_embeddings else []
    parts += [f"depth-{settings.depth}", settings.precision]
    return ".".join(parts)
