"""GPT-2 as a list of layers that can be cut anywhere: the trunk before the cut, the tail after.

    −3 − L  Embeddings   (B, T) token ids → (B, T, C)
    −2 − L  Block        (B, T, C) → (B, T, C)
    …
    −3      LastBlock    (B, T, C) → (B, C), at one position alone
    −2      FinalNorm    (B, C) → (B, C)
    −1      Head         (B, C) → (B, K) logits

B texts, T tokens, C width, H heads, D = C / H, L blocks, K classes. A causal model's output at
one position does not depend on the positions after it. So to classify the token at position p means
T = p + 1 and reading the last position; the last block computes one query, that of this position.
Where the output at every position is needed, for their mean, layer −3 is a Block like the others,
and FinalNorm averages, (B, T, C) → (B, C). The head is linear, so the mean of its outputs is its
output for the mean.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners": pre-norm blocks,
tanh-GELU, learned positions. No dropout.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from msgspec import to_builtins
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from ablations import files
from ablations.model import checkpoint
from ablations.model.layers import Layers, Reading, at, draw
from ablations.model.lora import LoraLinear
from ablations.study import cut
from ablations.study.dimensions import Dimensions
from ablations.study.folder import CONFIG, WEIGHTS

EPSILON = 1e-5  # LayerNorm's, as GPT-2 has it


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
        read = at(x, reading.positions) + self.output(self._mix(x, reading))
        return read + self.mlp(self.norm_2(read))

    def _mix(self, x: Tensor, reading: Reading) -> Tensor:
        """The attention-weighted values of the read position's query, (B, T, C) → (B, C)."""
        scale, shift = self.norm_1.weight, self.norm_1.bias
        n = F.layer_norm(x, x.shape[-1:], eps=EPSILON)  # (B, T, C), without scale and shift
        query = self.query(at(n, reading.positions) * scale + shift)
        query = query.unflatten(-1, (self.heads, -1))  # (B, H, D)
        probe = _by_heads_transposed(self.key, query) * scale  # (B, H, C)
        scores = probe @ n.transpose(1, 2) / math.sqrt(query.shape[-1])  # (B, H, T)
        visible = reading.visible(x.shape[1])
        if visible is not None:
            scores = scores.masked_fill(~visible[:, None], -math.inf)
        mean = scores.softmax(-1) @ n * scale + shift  # (B, H, C); the weights sum to 1
        return _by_heads(self.value, mean) + self.value.bias


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
        return reading.mean(normed)


def layers(
    dimensions: Dimensions,
    weights: Path | int,
    start: int | None = None,
    stop: int = cut.HEAD,
    every_position: bool = False,
) -> Layers:
    """Layers start … stop-1, else all before the head; `weights`: a checkpoint's folder, or a seed.

    Of a folder no tensor of another layer is read. From a seed they are drawn in the recipe's
    order; those before `start` too, one at a time, and not kept.
    """
    first = cut.embeddings(dimensions.n_layer)
    start = first if start is None else start
    if isinstance(weights, Path):
        numbers = range(start, stop)
        return Layers([_read(weights, n, dimensions, every_position) for n in numbers])
    generator, drawn = Generator().manual_seed(weights), []
    for number in range(first, stop):
        layer = _layer(number, dimensions, every_position)
        draw(layer, generator)
        drawn += [layer] * (number >= start)
    return Layers(drawn)


def _layer(number: int, dimensions: Dimensions, every_position: bool) -> nn.Module:
    """A layer without values."""
    with torch.device("meta"):
        if number == cut.embeddings(dimensions.n_layer):
            return Embeddings(dimensions)
        if number == cut.NORM:
            return FinalNorm(dimensions.n_embd, eps=EPSILON)
        whole = number < cut.LAST_BLOCK or every_position
        return Block(dimensions) if whole else LastBlock(dimensions)


def _read(folder: Path, number: int, dimensions: Dimensions, every_position: bool) -> nn.Module:
    """A layer with a checkpoint's values."""
    layer, names = _layer(number, dimensions, every_position), _names(number, dimensions)
    shapes = _shapes(_stored(number, layer, dimensions))
    # a copy: a tensor may be the file itself, mapped into memory
    tensors = {name: tensor.clone() for name, tensor in checkpoint.read(folder, shapes)}
    state = {own: tensors[name] for own, name in names.items()}
    layer.load_state_dict(_from_conv1d(state) if isinstance(layer, Block) else state, assign=True)
    return layer


# --- the Hugging Face layout: names, and projections stored [in, out], query, key and value as one


_BLOCK = {
    "norm_1": "ln_1",
    "query_key_value": "attn.c_attn",
    "output": "attn.c_proj",
    "norm_2": "ln_2",
    "expand": "mlp.c_fc",
    "contract": "mlp.c_proj",
}


def tensor_shapes(dimensions: Dimensions) -> dict[str, tuple[int, ...]]:
    """Every tensor of a checkpoint, and its shape there."""
    numbers = range(cut.embeddings(dimensions.n_layer), cut.HEAD)
    layers = Layers([_layer(number, dimensions, every_position=True) for number in numbers])
    return _shapes(checkpoint_tensors(layers, dimensions))


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _names(number: int, dimensions: Dimensions) -> dict[str, str]:
    """Our parameter names of a layer → its names in a checkpoint."""
    first = cut.embeddings(dimensions.n_layer)
    if number == first:
        return {"token.weight": "wte.weight", "position.weight": "wpe.weight"}
    own, prefix = _BLOCK, f"h.{number - first - 1}."
    if number == cut.NORM:
        own, prefix = {"": "ln_f"}, ""
    return {
        f"{name}.{kind}".lstrip("."): f"{prefix}{theirs}.{kind}"
        for name, theirs in own.items()
        for kind in ("weight", "bias")
    }


def checkpoint_tensors(layers: Layers, dimensions: Dimensions) -> dict[str, Tensor]:
    """All layers before the head as a checkpoint's tensors: the inverse of reading them."""
    tensors: dict[str, Tensor] = {}
    for number, layer in enumerate(layers, start=cut.embeddings(dimensions.n_layer)):
        tensors |= _stored(number, layer, dimensions)
    return tensors


def _stored(number: int, layer: nn.Module, dimensions: Dimensions) -> dict[str, Tensor]:
    """One layer as a checkpoint's tensors."""
    state = layer.state_dict()
    if isinstance(layer, Block):
        state = _to_conv1d(state)
    names = _names(number, dimensions)
    return {name: state[own].detach().contiguous() for own, name in names.items()}


def write(
    folder: Path,
    tensors: Mapping[str, Tensor],
    dimensions: Dimensions,
    more: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
) -> None:
    """Writes a checkpoint: weights, config.json with what `more` it shall say, the manifest."""
    with files.whole(folder / WEIGHTS) as temporary:
        save_file(dict(tensors), temporary, metadata)
    stated = {"model_type": "gpt2", "activation_function": "gelu_new"}
    config = stated | {"layer_norm_epsilon": EPSILON} | to_builtins(dimensions) | (more or {})
    files.write_json(folder / CONFIG, config)
    checkpoint.write_manifest(folder, files.sha256(folder / WEIGHTS), dimensions)


def _from_conv1d(state: dict[str, Tensor]) -> dict[str, Tensor]:
    out = {}
    for name, tensor in state.items():
        module, kind = name.rsplit(".", 1)
        if kind == "weight":
            tensor = tensor.t()  # a norm's has one dimension, and stays
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
    for module in _BLOCK:
        out[f"{module}.weight"] = out[f"{module}.weight"].t()
    return out
