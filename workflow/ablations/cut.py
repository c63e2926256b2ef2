"""Where a row cuts the model into trunk and tail, and what the trunk's output depends on.

Free of torch, because planning a hundred rows asks these questions too. See model.py for the list
of layers that the numbers here count.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Dimensions:
    """The shape of a GPT-2."""

    n_layer: int
    n_head: int
    n_embd: int
    n_positions: int
    vocab_size: int


def first_trained(trainable_layers: str, n_layer: int) -> int:
    """The first layer that a row trains; all after it are trained too."""
    return {
        "all": 0,
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


def trunk_settings(row: Mapping[str, Any], seed: int) -> dict[str, Any] | None:
    """What decides the hidden states of a run besides checkpoint and tokens; None without a trunk.

    `row` is a row file's content. The first token's output depends on no other token, so there the
    context length plays no part.
    """
    depth = trunk_depth(row["trainable_layers"], row["dimensions"]["n_layer"])
    if depth == 0:
        return None
    last = row["trainable_token"] == "last"
    return {
        "model": row["model"],
        "dimensions": row["dimensions"],
        "weights": row["weights"],
        "seed": seed if row["weights"] == "random" else None,
        "trainable_token": row["trainable_token"],
        "context_length": row["context_length"] if last else None,
        "depth": depth,
        "precision": row["training"]["precision"],
    }


def trunk_name(settings: Mapping[str, Any], model_slug: str) -> str:
    """A file name for a trunk that tells what it is, and differs where the settings differ."""
    weights = settings["weights"]
    if settings["seed"] is not None:
        weights += f"-seed-{settings['seed']}"
    parts = (
        model_slug,
        weights,
        settings["trainable_token"],
        settings["context_length"],
        f"depth-{settings['depth']}",
        settings["precision"],
    )
    return ".".join(str(part) for part in parts if part is not None)
