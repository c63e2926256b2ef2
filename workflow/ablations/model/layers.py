"""What layers of any model share: how they read, the head, and how their weights are drawn.

B texts, T tokens, C width, K classes. The layers before the head are gpt2.py's.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor, nn


@dataclass(frozen=True)
class Reading:
    """How layers read a batch of sequences, which are padded on the right to the longest.

    `lengths` (B,): tokens of each sequence; None if all have T. `positions` (B,): the position of
    each that is classified; None if it is the last of all T. With a causal mask it is always the
    last of its sequence. `single`: every sequence of the whole run is one token. (It is not enough
    that all sequences of one batch are. Then some weights must get gradients of zero, since AdamW
    counts these steps too.) `ids` (B, T): of the batch, where what is read are states, and the
    layers are transformers': their forward looks at ids too.
    """

    causal: bool = True
    lengths: Tensor | None = None
    positions: Tensor | None = None
    single: bool = False
    ids: Tensor | None = None

    def to(self, device: torch.device) -> "Reading":
        """The same on a device."""
        lengths, positions, ids = (
            x if x is None else x.to(device) for x in (self.lengths, self.positions, self.ids)
        )
        return replace(self, lengths=lengths, positions=positions, ids=ids)

    def visible(self, tokens: int) -> Tensor | None:
        """Which of the first `tokens` positions are not padding, bool (B, T); None if all."""
        if self.lengths is None:
            return None
        return torch.arange(tokens, device=self.lengths.device) < self.lengths[:, None]

    def mean(self, x: Tensor) -> Tensor:
        """(B, T, C) → (B, C), the mean over what is not padding."""
        visible = self.visible(x.shape[1])
        if visible is None or self.lengths is None:
            return x.mean(1)
        return x.masked_fill(~visible[..., None], 0).sum(1) / self.lengths[:, None]


def at(x: Tensor, positions: Tensor | None) -> Tensor:
    """(B, T, C) → (B, C), the vectors at these positions; the last ones if None."""
    if positions is None:
        return x[:, -1]
    return x[torch.arange(len(x), device=x.device), positions]


class Layers(nn.ModuleList):
    """Some of the layers, one after another."""

    def forward(self, x: Tensor, reading: Reading) -> Tensor:  # noqa: D102
        for layer in self:
            x = layer(x, reading)
        return x

    def trained(self) -> dict[str, nn.Parameter]:
        """What trains of layers that end with the head, as `-1.linear.weight`."""
        return {
            f"{number - len(self)}.{name}": parameter
            for number, layer in enumerate(self)
            for name, parameter in layer.named_parameters()
            if parameter.requires_grad
        }


class Head(nn.Module):
    """The classification head; without values until it is drawn or read."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes, device="meta")

    def forward(self, x: Tensor, _: Reading) -> Tensor:
        """(B, C) → (B, K)."""
        return self.linear(x)


def draw(module: nn.Module, generator: Generator) -> None:
    """Gives a module PyTorch's default initial values, drawn in the order of its parts."""
    module.to_empty(device="cpu")
    for part in module.modules():
        if isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, generator=generator)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()  # ones and zeros
        elif isinstance(part, nn.Linear):
            nn.init.kaiming_uniform_(part.weight, a=math.sqrt(5), generator=generator)
            bound = 1 / math.sqrt(part.in_features)
            nn.init.uniform_(part.bias, -bound, bound, generator=generator)
