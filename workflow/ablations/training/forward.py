"""Frozen layers: what they read, and what they put out, a batch at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ablations.cli import progress
from ablations.data.collection import Numbers
from ablations.data.sequences import Sequences
from ablations.machine.device import Device
from ablations.model.layers import Layers
from ablations.training.inputs import Inputs, Layout, batches, by_sequence


@dataclass(frozen=True)
class HiddenStates:
    """What frozen layers put out for the collection, and what it cost."""

    inputs: Inputs
    seconds: float = 0.0
    shared: bool = False


@torch.no_grad()
def forward(
    layers: Layers, inputs: Inputs, parts: list[Numbers], machine: Device
) -> Iterator[Tensor]:
    """Runs frozen layers over these parts of the texts, one by one; outputs on the CPU."""
    for part in progress(parts, "batch of texts"):
        x, reading = inputs.read(torch.from_numpy(part))
        with machine.autocast():
            yield layers(x.to(machine.torch), reading.to(machine.torch)).float().cpu()


def freeze(layers: Layers, machine: Device) -> Layers:
    """Frozen layers on the device, their matrices converted to its precision once."""
    layers.requires_grad_(False)
    if machine.precision == "bfloat16":
        for module in layers.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    return layers.to(machine.torch)


def features(layers: Layers, before: HiddenStates, width: int, machine: Device) -> HiddenStates:
    """The output of layers that give one vector [width] for each text."""
    begin, inputs = machine.clock(), before.inputs
    outputs = vectors(layers, inputs, width, machine)
    seconds = before.seconds + machine.clock() - begin
    return HiddenStates(Inputs(outputs, None, inputs.causal), seconds, before.shared)


def vectors(layers: Layers, inputs: Inputs, width: int, machine: Device) -> Tensor:
    """What layers put out that give one vector for each text, [texts, width] on the CPU."""
    found = torch.empty(len(inputs), width)  # allocated first, as in Loop.logits
    parts = list(batches(inputs.lengths()))
    for part, output in zip(parts, forward(layers, inputs, parts, machine), strict=True):
        found[torch.from_numpy(part)] = output
    return found


def token_ids(sequences: Sequences, causal: bool) -> Inputs:
    """The sequences' ids as inputs."""
    layout = Layout.of(sequences)
    return Inputs(stored_ids(sequences, layout), layout, causal)


def stored_ids(sequences: Sequences, layout: Layout) -> Tensor:
    """The sequences' ids, as Inputs holds them."""
    return by_sequence(torch.from_numpy(sequences.ids.astype(np.int64)), layout.length)
