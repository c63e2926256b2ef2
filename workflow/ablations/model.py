"""GPT-2 as a sequence of layers that can be cut anywhere: the trunk before the cut, the tail after.

    0  Embeddings      (B, T) token ids → (B, T, C)
    1  Block           (B, T, C) → (B, T, C)
    …
    L  LastBlock       (B, T, C) → (B, C), at the last position alone
    L+1  LayerNorm     (B, C) → (B, C)
    L+2  Linear        (B, C) → (B, 2), the classification head

B messages, T tokens, C width, H heads, D = C / H, L blocks. A causal model's output at one position
does not depend on the positions after it, so classifying the token at position p means T = p + 1
and reading the last position; in the last block nothing but that position's query is computed.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": pre-norm blocks,
tanh-GELU, learned positions. No dropout.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations import weights
from ablations.cut import Dimensions

EPSILON = 1e-5  # LayerNorm's, as GPT-2 has it
CLASSES = 2


class Embeddings(nn.Module):
    """Token plus position."""

    def __init__(self, dimensions: Dimensions) -> None:
        super().__init__()
        self.token = nn.Embedding(dimensions.vocab_size, dimensions.n_embd)
        self.position = nn.Embedding(dimensions.n_positions, dimensions.n_embd)

    def forward(self, ids: Tensor) -> Tensor:  # noqa: D102
        return self.token(ids) + self.position.weight[: ids.shape[1]]  # (B, T, C)


class Block(nn.Module):
    """One transformer block at every position."""

    def __init__(self, dimensions: Dimensions) -> None:
        super().__init__()
        width = dimensions.n_embd
        self.heads = dimensions.n_head
        self.norm_1 = nn.LayerNorm(width, eps=EPSILON)
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm_2 = nn.LayerNorm(width, eps=EPSILON)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = x + self.attend(self.norm_1(x))
        return x + self.mlp(self.norm_2(x))

    def attend(self, x: Tensor) -> Tensor:
        """Causal self-attention, (B, T, C) → (B, T, C)."""
        if x.shape[1] == 1:  # softmax of one score is 1
            return self.output(self.value(x))

        def heads(y: Tensor) -> Tensor:  # (B, T, C) → (B, H, T, D)
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            heads(self.query(x)), heads(self.key(x)), heads(self.value(x)), is_causal=True
        )
        return self.output(mixed.transpose(1, 2).flatten(2))

    def mlp(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C)."""
        return self.contract(F.gelu(self.expand(x), approximate="tanh"))


class LastBlock(Block):
    """The last block, whose output is needed at the last position alone.

    With one query per message, attention needs neither keys nor values at the other positions:
    q·(W_k n_t) = (W_kᵀ q)·n_t, and Σ a_t W_v n_t = W_v Σ a_t n_t. The key's bias adds the same
    number to every score, which softmax ignores; the first norm's scale and shift move out of the
    sums in the same way, so nothing that is trained touches all T positions but two products.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) → (B, C)."""
        if x.shape[1] == 1:
            return super().forward(x)[:, 0]
        last = x[:, -1] + self.output(self._mix(x))
        return last + self.mlp(self.norm_2(last))

    def _mix(self, x: Tensor) -> Tensor:
        """The attention-weighted values of the last position's query, (B, T, C) → (B, C)."""
        scale, shift = self.norm_1.weight, self.norm_1.bias
        n = F.layer_norm(x, x.shape[-1:], eps=EPSILON)  # (B, T, C), without scale and shift
        query = self.query(n[:, -1] * scale + shift).unflatten(-1, (self.heads, -1))  # (B, H, D)
        key = self.key.weight.unflatten(0, (self.heads, -1))  # (H, D, C)
        value = self.value.weight.unflatten(0, (self.heads, -1))
        probe = torch.einsum("bhd,hdc->bhc", query, key) * scale
        scores = probe @ n.transpose(1, 2) / math.sqrt(query.shape[-1])  # (B, H, T)
        mean = scores.softmax(-1) @ n * scale + shift  # (B, H, C); the weights sum to 1
        mixed = value @ mean.permute(1, 2, 0)  # (H, D, B): the weight's gradient keeps its layout
        return mixed.permute(2, 0, 1).flatten(1) + self.value.bias


def _draw(dimensions: Dimensions) -> Iterator[nn.Module]:
    """The layers before the head, one at a time, in the order in which the recipe draws them."""
    yield Embeddings(dimensions)
    for _ in range(dimensions.n_layer - 1):
        yield Block(dimensions)
    yield LastBlock(dimensions)
    yield nn.LayerNorm(dimensions.n_embd, eps=EPSILON)


def random_layers(dimensions: Dimensions, seed: int, start: int, stop: int) -> nn.Sequential:
    """Layers start … stop-1 with random weights: PyTorch's initialisers after manual_seed(seed).

    PyTorch's modules draw weight, then bias, in the order of their creation, which is the recipe's.
    Layers before `start` are drawn too, one at a time, and dropped.
    """
    torch.manual_seed(seed)
    return nn.Sequential(
        *[layer for i, layer in zip(range(stop), _draw(dimensions), strict=False) if i >= start]
    )


def pretrained_layers(dimensions: Dimensions, folder: Path, start: int, stop: int) -> nn.Sequential:
    """Layers start … stop-1 of a checkpoint folder; reads no tensor of another layer."""
    with torch.device("meta"):
        layers = [layer for i, layer in enumerate(_draw(dimensions)) if start <= i < stop]
    for i, layer in enumerate(layers, start):
        names = checkpoint_names(i, dimensions)
        # our own copy: a tensor may be the file itself, mapped into memory
        tensors = {name: read.clone() for name, read in weights.read(folder, names.values())}
        state = {own: tensors[name] for own, name in names.items()}
        if isinstance(layer, Block):
            state = _from_conv1d(state)
        layer.load_state_dict(state, assign=True)
    return nn.Sequential(*layers)


def head(dimensions: Dimensions, seed: int) -> nn.Linear:
    """A new classification head: Linear(width, 2) after manual_seed(seed)."""
    torch.manual_seed(seed)
    return nn.Linear(dimensions.n_embd, CLASSES)


# --- the Hugging Face layout: names, and projections stored [in, out], query, key and value as one


_PROJECTIONS = {
    "query_key_value": "attn.c_attn",
    "output": "attn.c_proj",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}


def checkpoint_names(layer: int, dimensions: Dimensions) -> dict[str, str]:
    """Our parameter names of a layer → its names in a checkpoint."""
    if layer == 0:
        return {"token.weight": "wte.weight", "position.weight": "wpe.weight"}
    own, prefix = {"norm_1": "ln_1", "norm_2": "ln_2"} | _PROJECTIONS, f"h.{layer - 1}."
    if layer == dimensions.n_layer + 1:
        own, prefix = {"": "ln_f"}, ""
    return {
        f"{name}.{kind}".lstrip("."): f"{prefix}{theirs}.{kind}"
        for name, theirs in own.items()
        for kind in ("weight", "bias")
    }


def checkpoint_tensors(layers: nn.Sequential, dimensions: Dimensions) -> dict[str, Tensor]:
    """All layers before the head as a checkpoint's tensors: the inverse of pretrained_layers."""
    tensors: dict[str, Tensor] = {}
    for i, layer in enumerate(layers):
        state = layer.state_dict()
        if isinstance(layer, Block):
            state = _to_conv1d(state)
        names = checkpoint_names(i, dimensions)
        tensors |= {name: state[own].detach().contiguous() for own, name in names.items()}
    return tensors


def _from_conv1d(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, tensor in state.items():
        module, kind = name.rsplit(".", 1)
        if module in _PROJECTIONS and kind == "weight":
            tensor = tensor.t()
        if module == "query_key_value":
            for part, rows in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                out[f"{part}.{kind}"] = rows.contiguous()
        else:
            out[name] = tensor.contiguous()
    return out


def _to_conv1d(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = dict(state)
    for kind in ("weight", "bias"):
        parts = [out.pop(f"{part}.{kind}") for part in ("query", "key", "value")]
        out[f"query_key_value.{kind}"] = torch.cat(parts)
    for module in _PROJECTIONS:
        out[f"{module}.weight"] = out[f"{module}.weight"].t()
    return out
