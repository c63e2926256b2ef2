"""A row's layers: those that stay frozen, and its tail with a new head and LoRA.

`weights` are a checkpoint's folder, or the seed of random weights.
"""

from pathlib import Path

from torch import Generator

from ablations.model import gpt2
from ablations.model.layers import Head, Layers, draw
from ablations.model.lora import add_lora
from ablations.study import cut
from ablations.study.settings import Settings


def frozen(row: Settings, weights: Path | int, start: int | None = None) -> Layers:
    """The frozen layers, all or from `start` on."""
    stop = cut.first_trained(row)
    return gpt2.layers(row.dimensions, weights, start, stop, row.average_embeddings)


def tail(row: Settings, weights: Path | int, seed: int, classes: int) -> Layers:
    """The layers from the first that trains on. The head is drawn from the seed, LoRA's A after."""
    start = cut.first_trained(row)
    layers = gpt2.layers(row.dimensions, weights, start, cut.HEAD, row.average_embeddings)
    head, generator = Head(row.dimensions.n_embd, classes), Generator().manual_seed(seed)
    draw(head, generator)
    layers.append(head)
    if row.trainable_layers == "lora":
        add_lora(layers, row.lora_rank, row.lora_alpha, generator)
    return layers
