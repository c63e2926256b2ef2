"""GPT-2 as a list of layers that can be cut anywhere: the trunk before the cut, the tail after.

    0  Embeddings      (B, T) token ids → (B, T, C)
    1  Block           (B, T, C) → (B, T, C)
    …
    L  LastBlock       (B, T, C) → (B, C), at one position alone
    L+1  FinalNorm     (B, C) → (B, C)
    L+2  Head          (B, C) → (B, K) logits

B messages, T tokens, C width, H heads, D = C / H, L blocks, K classes. A causal model's output at
one position does not depend on the positions after it. So to classify the token at position p means
T = p + 1 and reading the last position; the last block computes one query, that of this position.
Where the output at every position is needed, for their mean, layer L is a Block like the others,
and FinalNorm averages, (B, T, C) → (B, C). The head is linear, so the mean of its outputs is its
output for the mean.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": pre-norm blocks,
tanh-GELU, learned positions. No dropout. Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large
Language Models".
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ablations.model import checkpoint
from ablations.study.dimensions import Dimensions

EPSILON = 1e-5  # LayerNorm's, as GPT-2 has it


@dataclass(frozen=True)
class Reading:
    """How layers read a batch of sequences, which are padded on the right to the longest.

    `lengths` (B,): tokens of each sequence; None if all have T. `positions` (B,): the position of
    each that is classified; None if it is the last of all T. With a causal mask it is always the
    last of its sequence. `single`: every sequence of the whole run is one token. (It is not enough
    that all sequences of one batch are. Then some weights must get gradients of zero, since AdamW
    counts these steps too.)
    """

    causal: bool = True
    lengths: Tensor | None = None
    positions: Tensor | None = None
    single: bool = False

    def to(self, device: torch.device) -> "Reading":
        """The same on a device."""
        lengths, positions = (
            x if x is None else x.to(device) for x in (self.lengths, self.positions)
        )
        return replace(self, lengths=lengths, positions=positions)

    def visible(self, tokens: int) -> Tensor | None:
        """Which of the first `tokens` positions are not padding, bool (B, T); None if all."""
        if self.lengths is None:
            return None
        return torch.arange(tokens, device=self.lengths.device) < self.lengths[:, None]


class Layers(nn.ModuleList):
    """Some of the layers, one after another."""

    def forward(self, x: Tensor, reading: Reading) -> Tensor:  # noqa: D102
        for layer in self:
            x = layer(x, reading)
        return x


class Embeddings(nn.Module):
    """Token plus position."""

    def __init__(self, dimensions: Dimensions) -> None:
        super().__init__()
        self.token = nn.Embedding(dimensions.vocab_size, dimensions.n_embd)
        self.position = nn.Embedding(dimensions.n_positions, dimensions.n_embd)

    def forward(self, ids: Tensor, _: Reading) -> Tensor:  # noqa: D102
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

    def forward(self, x: Tensor, reading: Reading) -> Tensor:  # noqa: D102
        x = x + self.attend(self.norm_1(x), reading)
        return x + self.mlp(self.norm_2(x))

    def attend(self, x: Tensor, reading: Reading) -> Tensor:
        """Self-attention, (B, T, C) → (B, T, C)."""
        if reading.single:  # the softmax of a single score is 1
            return self.output(self.value(x))

        def heads(y: Tensor) -> Tensor:  # (B, T, C) → (B, H, T, D)
            return y.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        # a causal mask also hides the padding on the right from every position that is read
        visible = None if reading.causal else reading.visible(x.shape[1])
        query, key, value = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        if x.device.type == "cpu" and query.dtype == torch.bfloat16:
            # there the gradient of attention takes four times as long as in float32
            query, key, value = query.float(), key.float(), value.float()
        with torch.autocast(x.device.type, enabled=False):
            mixed = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=None if visible is None else visible[:, None, None],
                is_causal=reading.causal,
            )
        return self.output(mixed.transpose(1, 2).flatten(2))

    def mlp(self, x: Tensor) -> Tensor:
        """(…, C) → (…, C)."""
        return self.contract(F.gelu(self.expand(x), approximate="tanh"))


class LastBlock(Block):
    """The last block, whose output is needed at one position alone.

    With one query per message, attention needs neither keys nor values at the other positions:
    q·(W_k n_t) = (W_kᵀ q)·n_t, and Σ a_t W_v n_t = W_v Σ a_t n_t. The key's bias adds the same
    number to every score, which softmax ignores. The first norm's scale and shift move out of the
    sums in the same way. So no weight is applied at all T positions, only two products without
    weights.
    """

    def forward(self, x: Tensor, reading: Reading) -> Tensor:
        """(B, T, C) → (B, C)."""
        if reading.single:
            return super().forward(x, reading)[:, 0]
        read = _at(x, reading.positions) + self.output(self._mix(x, reading))
        return read + self.mlp(self.norm_2(read))

    def _mix(self, x: Tensor, reading: Reading) -> Tensor:
        """The attention-weighted values of the read position's query, (B, T, C) → (B, C)."""
        scale, shift = self.norm_1.weight, self.norm_1.bias
        n = F.layer_norm(x, x.shape[-1:], eps=EPSILON)  # (B, T, C), without scale and shift
        query = self.query(_at(n, reading.positions) * scale + shift)
        query = query.unflatten(-1, (self.heads, -1))  # (B, H, D)
        probe = _by_heads_transposed(self.key, query) * scale  # (B, H, C)
        scores = probe @ n.transpose(1, 2) / math.sqrt(query.shape[-1])  # (B, H, T)
        visible = reading.visible(x.shape[1])
        if visible is not None:
            scores = scores.masked_fill(~visible[:, None], -math.inf)
        mean = scores.softmax(-1) @ n * scale + shift  # (B, H, C); the weights sum to 1
        return _by_heads(self.value, mean) + self.value.bias


def _at(x: Tensor, positions: Tensor | None) -> Tensor:
    """(B, T, C) → (B, C), the vectors at these positions."""
    if positions is None:
        return x[:, -1]
    return x[torch.arange(len(x), device=x.device), positions]


def _by_heads_transposed(linear: nn.Linear, x: Tensor) -> Tensor:
    """Each head's own rows of the weight, transposed, times its vector, (B, H, D) → (B, H, C)."""
    found = torch.einsum("bhd,hdc->bhc", x, linear.weight.unflatten(0, (x.shape[1], -1)))
    if isinstance(linear, LoraLinear):
        b = linear.b.unflatten(1, (x.shape[1], -1))  # (R, H, D)
        found = found + linear.alpha * (torch.einsum("bhd,rhd->bhr", x, b) @ linear.a.T)
    return found


def _by_heads(linear: nn.Linear, x: Tensor) -> Tensor:
    """Each head's own rows of the weight times its vector, (B, H, C) → (B, H D); without bias."""
    weight = linear.weight.unflatten(0, (x.shape[1], -1))  # (H, D, C)
    found = weight @ x.permute(1, 2, 0)  # (H, D, B): the weight's gradient keeps its layout
    found = found.permute(2, 0, 1).flatten(1)
    if isinstance(linear, LoraLinear):
        b = linear.b.unflatten(1, (x.shape[1], -1))
        found = found + linear.alpha * torch.einsum("bhr,rhd->bhd", x @ linear.a, b).flatten(1)
    return found


class FinalNorm(nn.LayerNorm):
    """The norm before the head; for several positions the mean over those that are not padding."""

    def forward(self, x: Tensor, reading: Reading) -> Tensor:  # type: ignore[override]
        """(B, C) or (B, T, C) → (B, C)."""
        normed = super().forward(x)
        if x.ndim == 2:
            return normed
        visible = reading.visible(x.shape[1])
        if visible is None or reading.lengths is None:
            return normed.mean(1)
        return normed.masked_fill(~visible[..., None], 0).sum(1) / reading.lengths[:, None]


class Head(nn.Module):
    """The classification head: Linear(width, classes) after manual_seed(seed)."""

    def __init__(self, dimensions: Dimensions, classes: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(dimensions.n_embd, classes)

    def forward(self, x: Tensor, _: Reading) -> Tensor:
        """(B, C) → (B, K)."""
        return self.linear(x)


class LoraLinear(nn.Linear):
    """A linear layer with a low-rank update: its output plus alpha × (x A B).

    A [in, rank] is drawn by PyTorch's kaiming_uniform_. For this shape it uses the rank as the
    fan-in, so its bound is 1/√rank. B [rank, out] is zero.
    """

    def __init__(self, linear: nn.Linear, rank: int, alpha: float) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.alpha = alpha
        self.a = nn.Parameter(torch.empty(linear.in_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.b = nn.Parameter(torch.zeros(rank, linear.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        frozen, low = super().forward(x), (x @ self.a).flatten(0, -2)
        # one pass over the large output, where a product, its multiple and a sum are three
        return torch.addmm(frozen.flatten(0, -2), low, self.b, alpha=self.alpha).view_as(frozen)


def add_lora(layers: Layers, rank: int, alpha: float) -> None:
    """Gives every linear layer a low-rank update; of the other weights only the head's train.

    Must be called right after the head was drawn: the A are drawn next, in the order of the layers.
    """
    layers.requires_grad_(False)
    for layer in layers:
        for name, module in list(layer.named_children()):
            if isinstance(module, nn.Linear):
                setattr(layer, name, LoraLinear(module, rank, alpha))
        if isinstance(layer, Head):
            layer.requires_grad_(True)


def _draw(dimensions: Dimensions, every_position: bool) -> Iterator[nn.Module]:
    """The layers before the head, one at a time, in the order in which the recipe draws them."""
    yield Embeddings(dimensions)
    for _ in range(dimensions.n_layer - 1):
        yield Block(dimensions)
    yield Block(dimensions) if every_position else LastBlock(dimensions)
    yield FinalNorm(dimensions.n_embd, eps=EPSILON)


def random_layers(
    dimensions: Dimensions, seed: int, start: int, stop: int, every_position: bool = False
) -> Layers:
    """Layers start … stop-1 with random weights: PyTorch's initialisers after manual_seed(seed).

    PyTorch's modules draw weight, then bias, in the order in which they are made, as the recipe
    does. Layers before `start` are drawn too, one at a time, and not kept.
    """
    torch.manual_seed(seed)
    drawn = zip(range(stop), _draw(dimensions, every_position), strict=False)
    return Layers([layer for i, layer in drawn if i >= start])


def pretrained_layers(
    dimensions: Dimensions, folder: Path, start: int, stop: int, every_position: bool = False
) -> Layers:
    """Layers start … stop-1 of a checkpoint folder; reads no tensor of another layer."""
    with torch.device("meta"):
        drawn = enumerate(_draw(dimensions, every_position))
        layers = [layer for i, layer in drawn if start <= i < stop]
    for i, layer in enumerate(layers, start):
        names = checkpoint_names(i, dimensions)
        # a copy: a tensor may be the file itself, mapped into memory
        read = checkpoint.read(folder, names.values())
        tensors = {name: tensor.clone() for name, tensor in read}
        state = {own: tensors[name] for own, name in names.items()}
        if isinstance(layer, Block):
            state = _from_conv1d(state)
        layer.load_state_dict(state, assign=True)
    return Layers(layers)


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


def checkpoint_tensors(layers: Layers, dimensions: Dimensions) -> dict[str, Tensor]:
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
