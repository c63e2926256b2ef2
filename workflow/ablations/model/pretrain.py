"""Pretrains a nano GPT-2 as a language model on the unlabelled training texts: a stand-in.

    python -m ablations.model.pretrain --model NANO.json --tokens … --output …/manifest.json

With it, the demo's rows with pretrained and with random weights differ, within seconds and without
a download. Results with it say nothing about OpenAI's GPT-2.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from msgspec import to_builtins
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import trange

from ablations import cli
from ablations.data import tokens
from ablations.errors import UserError
from ablations.files import read_json, sha256, whole, write_text
from ablations.machine import device
from ablations.model.checkpoint import write_manifest
from ablations.model.gpt2 import (
    Block,
    Layers,
    Reading,
    checkpoint_tensors,
    random_layers,
)
from ablations.study.dimensions import Dimensions
from ablations.study.folder import CONFIG, WEIGHTS
from ablations.study.models import Model

EMBEDDING_SCALE = 0.1  # PyTorch's standard normal embeddings are too large to learn quickly


def main(arguments: argparse.Namespace) -> None:
    """Writes config.json, model.safetensors and, last, the manifest."""
    model = read_json(arguments.model, Model)
    if model.pretrain is None:
        raise UserError(f"{arguments.model}: {model.name} has no key pretrain")
    dimensions, recipe = model.dimensions, model.pretrain.pretrain
    machine = device.choose("float32", arguments.threads)
    layers = random_layers(dimensions, recipe.seed, 0, dimensions.n_layer + 2)
    with torch.no_grad():
        for table in layers[0].parameters():
            table.mul_(EMBEDDING_SCALE)
    layers.to(machine.torch)
    read = tokens.read(arguments.tokens)
    longest = max(2, *map(len, read.ids["train"]))  # one token would predict nothing
    length = min(longest, dimensions.n_positions)
    ids = torch.full((len(read.ids["train"]), length), read.about.padding_id)
    for line, message in zip(ids, read.ids["train"], strict=True):
        line[: len(message)] = torch.from_numpy(message[:length])
    optimizer = torch.optim.AdamW(layers.parameters(), lr=recipe.learning_rate, fused=True)
    draw = torch.Generator().manual_seed(recipe.seed)
    for step in (bar := trange(recipe.steps, unit="step", disable=None, leave=False)):
        batch = ids[torch.randint(len(ids), (recipe.batch_size,), generator=draw)]
        optimizer.zero_grad()
        loss = language_model_loss(layers, batch.to(machine.torch))
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step + 1 == recipe.steps:
            if not loss.isfinite():
                raise UserError(
                    f"models: {model.name}: pretrain: the loss is not a finite number at step"
                    f" {step}; a smaller learning_rate than {recipe.learning_rate:g} may help"
                )
            bar.set_postfix(loss=f"{loss.item():.3f}")
            cli.log.info("step %d of %d: loss %.3f", step, recipe.steps, loss.item())
    write_checkpoint(layers.cpu(), dimensions, arguments.output)


def language_model_loss(layers: Layers, ids: Tensor) -> Tensor:
    """Mean cross-entropy of the next token, over ids (B, T); one matrix embeds and predicts."""
    embeddings, *blocks, norm = layers
    reading = Reading()
    x = embeddings(ids[:, :-1], reading)
    for block in blocks:
        # here the last block computes every position too
        x = Block.forward(block, x, reading)  # type: ignore[arg-type]
    vocabulary: Any = embeddings.token
    normed = nn.LayerNorm.forward(norm, x)  # type: ignore[arg-type]
    logits = normed @ vocabulary.weight.T  # (B, T-1, vocabulary)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def write_checkpoint(layers: Layers, dimensions: Dimensions, manifest: Path) -> None:
    """The layers before the head as a folder in the Hugging Face layout."""
    folder = manifest.parent
    config = {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-05,
        **to_builtins(dimensions),
    }
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    path = folder / WEIGHTS
    with whole(path) as temporary:
        save_file(checkpoint_tensors(layers, dimensions), temporary)
    write_manifest(folder, sha256(path), dimensions)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="its settings, as JSON")
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
