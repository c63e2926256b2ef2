"""A trained row in the layout of transformers' GPT2ForSequenceClassification, and read back.

That model has no LoRA, and its head has no bias. So the weights are rewritten in a way that keeps
the logits: every low-rank update is added to its matrix, and the head's bias is moved into the
shift of the norm before it. W (n + s) = W n + b where W s = b, which has a solution if the head has
no more classes than its rank. A model that is no GPT-2 stays in its own class, its head beside it.
"""

from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from ablations import files
from ablations.errors import UserError
from ablations.model import build, gpt2
from ablations.model.checkpoint import MANIFEST
from ablations.model.gpt2 import FinalNorm
from ablations.model.layers import Head, Layers
from ablations.study.dataset import Reading
from ablations.study.dimensions import Dimensions
from ablations.study.folder import HEAD, WEIGHTS
from ablations.study.settings import Settings

ABOUT = "ablations.json"
PREFIX = "transformer."
SCORE, BIAS = "score.weight", "score.bias"

# How far moving the bias may change a logit; rounding the norm's shift to float32 changes less.
TOLERANCE = 1e-6


class Kept(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a kept model reads texts: the content of ablations.json in its folder.

    `context_tokens`: tokens per text after padding; without padding, the most that are allowed.
    `reading`: how the files were read that it learnt from.
    """

    settings: Settings
    seed: int
    fold: int | None = None
    classes: tuple[str, ...]
    context_tokens: int
    padding_id: int
    tokenizer: str
    reading: Reading = Reading()

    @property
    def in_transformers(self) -> bool:
        """Whether transformers can compute what the row does."""
        return self.settings.causal_mask and not self.settings.average_embeddings

    @property
    def reads_last(self) -> bool:
        """Whether the last position of all is read, padding included; else the last before it."""
        row = self.settings
        unpadded = row.context_length == "variable" or row.mask_padding
        return row.trainable_token == "first" or not (unpadded or row.trainable_token == "flexible")

    @property
    def longest(self) -> int:
        """The most tokens of a text that the row's output depends on."""
        row = self.settings
        reads_one = row.trainable_token == "first" and row.input.causal_mask
        return 1 if reads_one and not row.average_embeddings else self.context_tokens


@torch.no_grad()
def fold_bias(norm: FinalNorm, head: Head) -> None:
    """Moves the head's bias into the norm's shift, by the smallest possible change.

    Changes neither where that is impossible.
    """
    weight, bias = (each.detach().double().numpy() for each in head.linear.parameters())
    shift, *_ = np.linalg.lstsq(weight, bias)
    before = norm.bias.double().numpy()
    after = (before + shift).astype(np.float32)
    if np.abs(weight @ (after - before) - bias).max() < TOLERANCE:
        norm.bias.copy_(torch.from_numpy(after))
        head.linear.bias.zero_()


def tensors(layers: Layers, dimensions: Dimensions) -> dict[str, Tensor]:
    """All layers and the head, as transformers names them; the head's bias if it is not zero."""
    *before, head = layers
    assert isinstance(head, Head)
    own = gpt2.checkpoint_tensors(Layers(before), dimensions)
    found = {f"{PREFIX}{name}": tensor for name, tensor in own.items()}
    found[SCORE] = head.linear.weight.detach()
    if head.linear.bias.any():
        found[BIAS] = head.linear.bias.detach()
    return found


def about(folder: Path) -> Kept:
    """What a kept model's folder says; raises UserError where it is not one, or not all of it."""
    for name in (ABOUT, MANIFEST):
        if not (folder / name).is_file():
            found = f"has no {name}" if folder.is_dir() else "is no folder"
            raise UserError(
                f"{folder} {found}; expected the folder of a kept model, which a row with"
                " save_model: true writes to results/models/<row id>/[fold-<k>/]seed-<seed>"
            )
    for path in folder.glob("*.safetensors"):
        files.refuse_pointer(path)
    return files.read_json(folder / ABOUT, Kept)


def read(folder: Path, kept: Kept) -> Layers:
    """A kept model's layers; raises UserError where a tensor is missing or wrong."""
    row = kept.settings
    how = {"causal": row.causal_mask, "averaged": row.average_embeddings}
    layers = build.layers(row.dimensions, folder, None, **how)
    layers.append(_head(folder, kept))
    return layers


def _head(folder: Path, kept: Kept) -> Head:
    dimensions, classes = kept.settings.dimensions, len(kept.classes)
    path, what = folder / HEAD, "the head of a model"
    if dimensions.is_gpt2:
        path, what = folder / WEIGHTS, f"the model that {folder / ABOUT} describes"
    head = Head(dimensions.n_embd, classes)
    try:
        if dimensions.is_gpt2:
            with safe_open(path, framework="pt") as file:
                state = {"weight": file.get_tensor(SCORE), "bias": torch.zeros(classes)}
                if BIAS in file.keys():  # noqa: SIM118 (not a mapping)
                    state["bias"] = file.get_tensor(BIAS)
        else:
            state = load_file(path)
        head.linear.load_state_dict(state, assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:  # gone; damaged; of another shape
        raise UserError(f"{path} is not {what}: {error}") from None
    return head
