"""Pretrains a nano GPT-2 as a language model on the unlabelled training texts: a stand-in.

    python -m ablations.model.pretrain --model NANO.json --tokens … --output …/manifest.json

With it, the demo's rows with pretrained and with random weights differ, within seconds and without
a download. Results with it say nothing about OpenAI's GPT-2.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import trange

from ablations import cli
from ablations.data import tokens
from ablations.data.tokens import Tokens
from ablations.errors import UserError
from ablations.files import read_json
from ablations.machine import device
from ablations.model import gpt2
from ablations.model.layers import Layers, Reading
from ablations.study.models import Model, Recipe

EMBEDDING_SCALE = 0.1  # PyTorch's standard normal embeddings are too large to learn quickly


def main(arguments: argparse.Namespace) -> None:
    """Writes config.json, model.safetensors and, last, the manifest."""
    model = read_json(arguments.model, Model)
    if model.pretrain is None:
        raise UserError(f"{arguments.model}: {model.name} has no key pretrain")
    dimensions, recipe = model.dimensions, model.pretrain.pretrain
    machine = device.choose("float32", arguments.threads)
    layers = gpt2.layers(dimensions, recipe.seed, every_position=True)
    with torch.no_grad():
        for table in layers[0].parameters():
            table.mul_(EMBEDDING_SCALE)
    read = tokens.read(arguments.tokens)
    read.refuse_fewer(dimensions.vocab_size)
    ids = _padded(read, dimensions.n_positions)
    _train(layers.to(machine.torch), ids, model.name, recipe)
    found = gpt2.checkpoint_tensors(layers.cpu(), dimensions)
    gpt2.write(arguments.output.parent, found, dimensions)


def _padded(read: Tokens, longest: int) -> Tensor:
    """The training texts' ids [texts, T], cut and padded; one token would predict nothing.

    With folds each text is a training text of some, so these are all.
    """
    texts = read.trained
    ids = torch.full((len(texts), min(max(2, *map(len, texts)), longest)), read.about.padding_id)
    for line, text in zip(ids, texts, strict=True):
        line[: len(text)] = torch.from_numpy(text[: ids.shape[1]])
    return ids


def _train(layers: Layers, ids: Tensor, name: str, recipe: Recipe) -> None:
    """Trains in place; raises UserError where the loss is not a finite number."""
    optimizer = torch.optim.AdamW(layers.parameters(), lr=recipe.learning_rate, fused=True)
    draw, device = torch.Generator().manual_seed(recipe.seed), next(layers.parameters()).device
    for step in (bar := trange(recipe.steps, unit="step", disable=None, leave=False)):
        batch = ids[torch.randint(len(ids), (recipe.batch_size,), generator=draw)]
        optimizer.zero_grad()
        loss = language_model_loss(layers, batch.to(device))
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step + 1 == recipe.steps:
            if not loss.isfinite():
                raise UserError(
                    f"models: {name}: pretrain: the loss is not a finite number at step {step};"
                    f" a smaller learning_rate than {recipe.learning_rate:g} may help"
                )
            bar.set_postfix(loss=f"{loss.item():.3f}")
            cli.log.info("step %d of %d: loss %.3f", step, recipe.steps, loss.item())


def language_model_loss(layers: Layers, ids: Tensor) -> Tensor:
    """Mean cross-entropy of the next token, over ids (B, T); one matrix embeds and predicts."""
    embeddings, *blocks, norm = layers
    x = embeddings(ids[:, :-1], Reading())
    for block in blocks:
        x = block(x, Reading())
    vocabulary: Any = embeddings.token
    normed = nn.LayerNorm.forward(norm, x)  # type: ignore[arg-type]
    logits = normed @ vocabulary.weight.T  # (B, T-1, vocabulary)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


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
