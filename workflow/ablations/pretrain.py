"""Pretrains a nano GPT-2 as a language model on the unlabelled training texts: a stand-in.

    python -m ablations.pretrain --settings '{…}' --tokens … --output …/manifest.json

It gives the demo something that "pretrained" can be told from "random" by, within seconds and
without a download. Nothing that is measured on it says anything about OpenAI's GPT-2.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import trange

from ablations import cli, device, tokens
from ablations.cut import Dimensions
from ablations.files import sha256, whole, write_text
from ablations.model import Block, checkpoint_tensors, random_layers

EMBEDDING_SCALE = 0.1  # PyTorch's standard normal embeddings would drown what is learnt


def main(arguments: argparse.Namespace) -> None:
    """Writes config.json, model.safetensors and, last, the manifest."""
    settings = json.loads(arguments.settings)
    dimensions, recipe = Dimensions(**settings["dimensions"]), settings["source"]
    machine = device.choose("float32", arguments.threads)
    layers = random_layers(dimensions, recipe["seed"], 0, dimensions.n_layer + 2)
    with torch.no_grad():
        for table in layers[0].parameters():
            table.mul_(EMBEDDING_SCALE)
    layers.to(machine.torch)
    read = tokens.read(arguments.tokens)
    longest = max(2, *map(len, read.ids["train"]))  # one token would predict nothing
    length = min(longest, dimensions.n_positions)
    ids = torch.from_numpy(read.padded("train", length))
    optimizer = torch.optim.AdamW(layers.parameters(), lr=recipe["learning_rate"], fused=True)
    draw = torch.Generator().manual_seed(recipe["seed"])
    for step in (bar := trange(recipe["steps"], unit="step", disable=None, leave=False)):
        batch = ids[torch.randint(len(ids), (recipe["batch_size"],), generator=draw)]
        optimizer.zero_grad()
        loss = language_model_loss(layers, batch.to(machine.torch))
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step + 1 == recipe["steps"]:
            bar.set_postfix(loss=f"{loss.item():.3f}")
            cli.log.info("step %d of %d: loss %.3f", step, recipe["steps"], loss.item())
    write_checkpoint(layers.cpu(), dimensions, arguments.output)


def language_model_loss(layers: nn.Sequential, ids: Tensor) -> Tensor:
    """Mean cross-entropy of the next token, over ids (B, T); input and output embeddings tied."""
    embeddings, *blocks, norm = layers
    x = embeddings(ids[:, :-1])
    for block in blocks:
        x = Block.forward(block, x)  # type: ignore[arg-type] # the last too at every position here
    vocabulary: Any = embeddings.token
    logits = norm(x) @ vocabulary.weight.T  # (B, T-1, vocabulary)
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def write_checkpoint(layers: nn.Sequential, dimensions: Dimensions, manifest: Path) -> None:
    """The layers before the head as a folder in the Hugging Face layout."""
    folder = manifest.parent
    config = {
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-05,
        **vars(dimensions),
    }
    write_text(folder / "config.json", json.dumps(config, indent=1) + "\n")
    path = folder / "model.safetensors"
    with whole(path) as temporary:
        save_file(checkpoint_tensors(layers, dimensions), temporary)
    record = {"sha256": sha256(path), "bytes": path.stat().st_size, "dimensions": vars(dimensions)}
    write_text(manifest, json.dumps(record, indent=1, sort_keys=True) + "\n")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ablations.pretrain", description=__doc__)
    parser.add_argument("--settings", required=True, help="a model of config.yaml, as JSON")
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
