"""A row's layers: those that stay frozen, and its tail with a new head and LoRA.

`folder` is a checkpoint's, `seed` the run's: of the head, LoRA's A, and a row's random weights.
GPT-2s have an engine of their own; all other models are transformers'.
"""

from pathlib import Path

from torch import Generator

from ablations.model import gpt2, parts
from ablations.model.layers import Head, Layers, draw
from ablations.model.lora import add_lora
from ablations.study import cut
from ablations.study.dimensions import Dimensions
from ablations.study.settings import Settings


def layers(
    dimensions: Dimensions,
    folder: Path | None,
    seed: int | None,
    start: int | None = None,
    stop: int = cut.HEAD,
    *,
    causal: bool = True,
    averaged: bool = False,
) -> Layers:
    """Layers start … stop-1, else all before the head.

    `seed`: of random weights, for which a GPT-2 needs no folder; None: the folder's weights.
    """
    start = cut.embeddings(dimensions.n_layer) if start is None else start
    if dimensions.is_gpt2:
        weights = folder if seed is None else seed
        assert weights is not None
        return gpt2.layers(dimensions, weights, start, stop, averaged)
    if start == stop:
        return Layers([])
    assert folder is not None
    how = {"causal": causal, "averaged": averaged}
    return Layers([parts.part(dimensions, folder, seed, start, stop, **how)])


def frozen(row: Settings, folder: Path | None, seed: int, start: int | None = None) -> Layers:
    """The frozen layers, all or from `start` on."""
    return _of_row(row, folder, seed, start, cut.first_trained(row))


def tail(row: Settings, folder: Path | None, seed: int, classes: int) -> Layers:
    """The layers from the first that trains on. The head is drawn from the seed, LoRA's A after."""
    layers = _of_row(row, folder, seed, cut.first_trained(row), cut.HEAD)
    head, generator = Head(row.dimensions.n_embd, classes), Generator().manual_seed(seed)
    draw(head, generator)
    layers.append(head)
    if row.trainable_layers == "lora":
        add_lora(layers, row.lora_rank, row.lora_alpha, generator)
    return layers


def whole(row: Settings, folder: Path | None, seed: int) -> Layers:
    """All layers but the head, as they are before training."""
    return _of_row(row, folder, seed, None, cut.HEAD)


def _of_row(row: Settings, folder: Path | None, seed: int, start: int | None, stop: int) -> Layers:
    drawn = seed if row.weights == "random" else None
    how = {"causal": row.causal_mask, "averaged": row.average_embeddings}
    return layers(row.dimensions, folder, drawn, start, stop, **how)
