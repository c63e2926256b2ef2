"""LoRA, a low-rank update of every linear layer.

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models". B texts, R rank.
"""

import math
from collections.abc import Iterator

import torch
from torch import Generator, Tensor, nn

from ablations.errors import UserError
from ablations.model.layers import Layers
from ablations.model.parts import Part


class LoraLinear(nn.Linear):
    """A linear layer with a low-rank update: its output plus alpha × (x A B).

    A [in, rank] is drawn by PyTorch's kaiming_uniform_. For this shape it uses the rank as the
    fan-in, so its bound is 1/√rank. B [rank, out] is zero.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, generator: Generator) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias  # that may be none
        self.alpha = alpha
        self.a = nn.Parameter(torch.empty(linear.in_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5), generator=generator)
        self.b = nn.Parameter(torch.zeros(rank, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        frozen, low = super().forward(x), (x @ self.a).flatten(0, -2)
        # one pass over the large output, where a product, its multiple and a sum are three
        return torch.addmm(frozen.flatten(0, -2), low, self.b, alpha=self.alpha).view_as(frozen)

    def merged(self) -> nn.Linear:
        """The linear layer that puts out the same."""
        update = self.alpha * (self.a.double() @ self.b.double())  # [in, out]
        weight = (self.weight.double() + update.T).float()
        found = nn.Linear(self.in_features, self.out_features, device="meta")
        found.weight, found.bias = nn.Parameter(weight), self.bias
        return found


def add_lora(layers: Layers, rank: int, alpha: float, generator: Generator) -> None:
    """Gives every linear layer an update, drawn in order; of the rest only the head trains.

    Raises UserError where blocks have no linear layer.
    """
    layers.requires_grad_(False)
    for layer in layers:
        if isinstance(layer, Part) and not any(_linear(Layers([layer]))):
            raise UserError(
                f"trainable_layers: lora does not work with {layer.kind}: its blocks have no"
                " nn.Linear to update; allowed: a number of blocks, or all"
            )
    for parent, name, module in _linear(layers):
        setattr(parent, name, LoraLinear(module, rank, alpha, generator))
    layers[-1].requires_grad_(True)  # the head


def merge_lora(layers: Layers) -> None:
    """Puts a plain linear layer in the place of each that has an update."""
    for parent, name, module in _linear(layers):
        if isinstance(module, LoraLinear):
            setattr(parent, name, module.merged())


def _linear(layers: Layers) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """The linear layers of blocks and head, in order, each with its parent and its name there."""
    for layer in layers:
        for block in layer.blocks if isinstance(layer, Part) else [layer]:
            for parent in list(block.modules()):
                for name, module in list(parent.named_children()):
                    if isinstance(module, nn.Linear):
                        yield parent, name, module
