"""A trained row of a model that is no GPT-2: the base model in its own class, the head beside it.

The folder is a checkpoint as the row's was: `AutoModel.from_pretrained` loads it, and so does this
project's own engine. Low-rank updates are added to their matrices.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ablations import files
from ablations.errors import UserError
from ablations.model import checkpoint, parts
from ablations.model.layers import Head, Layers
from ablations.model.parts import Part
from ablations.study import cut
from ablations.study.folder import CONFIG, HEAD, WEIGHTS
from ablations.study.settings import Settings


def whole(row: Settings, folder: Path, seed: int | None) -> Part:
    """All of a row's layers but the head, in one part; `seed`: of random weights."""
    return parts.part(
        row.dimensions,
        folder,
        seed,
        cut.embeddings(row.dimensions.n_layer),
        causal=row.input.causal_mask,
        averaged=row.average_embeddings,
    )


@torch.no_grad()
def write(folder: Path, row: Settings, untrained: Part, tail: Layers) -> None:
    """Writes config.json, the weights, the head, and last the manifest.

    `untrained`: all layers but the head as they were; `tail`: those that were trained, as plain
    matrices.
    """
    parts = [layer for layer in tail if isinstance(layer, Part)]  # none where the head alone trains
    head = tail[cut.HEAD]
    assert isinstance(head, Head)
    own = dict(untrained.model.named_parameters())
    for name, parameter in (each for part in parts for each in part.model.named_parameters()):
        # a part has no values of others' blocks, and only one row of an embedding it does not read
        if not parameter.is_meta and parameter.shape == own[name].shape:
            own[name].copy_(parameter)
    model = untrained.model
    model.config.architectures = [type(model).__name__]
    _save(folder / WEIGHTS, model)
    _save(folder / HEAD, head.linear)
    files.write_text(folder / CONFIG, model.config.to_json_string())
    checkpoint.write_manifest(folder, files.sha256(folder / WEIGHTS), row.dimensions)


def _save(path: Path, module: nn.Module) -> None:
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    with files.whole(path) as temporary:
        save_file(state, temporary, {"format": "pt"})


def read(folder: Path, row: Settings, classes: int) -> Layers:
    """The layers and the head; raises UserError where a tensor is missing or wrong."""
    head = Head(row.dimensions.n_embd, classes)
    try:
        head.linear.load_state_dict(load_file(folder / HEAD), assign=True)
    except (OSError, SafetensorError, RuntimeError) as error:  # gone; damaged; of another shape
        raise UserError(f"{folder / HEAD} is not the head of a model: {error}") from None
    return Layers([whole(row, folder, None), head])
