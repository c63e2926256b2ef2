"""Trains one row with one seed, by the published recipe, and writes the results.

python -m ablations.training.run --row results/rows/baseline.json --seed 123 --tokens …
"""

import argparse
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ablations import cli, code
from ablations.data import tokens
from ablations.data.sequences import sequences
from ablations.data.tokens import Tokens
from ablations.files import read_json, sha256, whole, write_json, write_text
from ablations.machine import device
from ablations.machine.device import Device
from ablations.model import checkpoint
from ablations.model.gpt2 import Head, Layers, add_lora
from ablations.study import settings
from ablations.study.cut import TrunkManifest, first_trained
from ablations.study.settings import Settings
from ablations.training import predictions
from ablations.training.hidden_states import (
    Cache,
    forward,
    freeze,
    frozen,
    load_layers,
    token_ids,
)
from ablations.training.inputs import Inputs, batches
from ablations.training.limits import refuse_training
from ablations.training.loop import Loop, Split
from ablations.training.metrics import Accuracy, Evaluation, Metrics
from ablations.training.resume import Identity, Progress, State
from ablations.training.schedule import Schedule, schedule

TRAINED = "trained.safetensors"

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """A run ready to train."""

    loop: Loop
    plan: Schedule
    start: int  # the first layer of the tail
    frozen_seconds: float  # the part of the training time that the frozen layers took
    frozen_shared: bool  # whether other jobs ran at the same time


def prepare(
    row: Settings,
    seed: int,
    read: Tokens,
    weights: Path | None,
    trunk: TrunkManifest | None,
    cache: Path,
    machine: Device,
) -> Prepared:
    """Cuts the model, gets the output of the frozen layers, and builds the tail.

    `weights`: the checkpoint's folder, None for random weights; `trunk`: None without a trunk.
    """
    classes = read.about.classes
    found = sequences(read, row.input)
    plan = schedule(seed, {split: len(read.labels[split]) for split in found}, row.training)
    inputs = {split: token_ids(each, row.causal_mask) for split, each in found.items()}
    seconds, shared, depth = dict.fromkeys(found, 0.0), False, 0
    if trunk:
        depth = trunk.settings.depth
        layers = frozen(trunk, machine)
        hidden = Cache(cache, device.cache_gb()).outputs(layers, weights, found, machine)
        inputs = {split: each.inputs for split, each in hidden.items()}
        seconds = {split: each.seconds for split, each in hidden.items()}
        shared = any(each.shared for each in hidden.values())
    start = first_trained(row.trainable_layers, row.dimensions.n_layer)
    if depth < start:  # further frozen layers, with one output per message
        between = freeze(load_layers(row, seed, weights, depth, start), machine)
        for split in inputs:
            begin = machine.clock()
            inputs[split] = _features(between, inputs[split], row.dimensions.n_embd, machine, split)
            seconds[split] += machine.clock() - begin
    loop = Loop(
        tail=_tail(row, seed, weights, start, len(classes)).to(machine.torch),
        splits={
            split: Split(
                inputs[split].resident(machine),
                torch.from_numpy(read.labels[split]).to(machine.torch),
            )
            for split in inputs
        },
        training=row.training,
        machine=machine,
        classes=len(classes),
    )
    evaluated = row.training.eval_batches * row.training.batch_size
    in_time = min(1.0, evaluated / len(read.labels["validation"]))
    return Prepared(loop, plan, start, seconds["train"] + in_time * seconds["validation"], shared)


def _features(layers: Layers, inputs: Inputs, width: int, machine: Device, split: str) -> Inputs:
    """The last frozen layers' output for each message, [messages, width]."""
    outputs = torch.empty(len(inputs), width)  # allocated first, as in Loop.logits
    parts = list(batches(inputs.lengths()))
    for part, output in zip(parts, forward(layers, inputs, parts, machine, split), strict=True):
        outputs[torch.from_numpy(part)] = output
    return Inputs(outputs, None, inputs.causal)


def _tail(row: Settings, seed: int, weights: Path | None, start: int, classes: int) -> Layers:
    """The layers from `start` on, and the head; some of them may be frozen."""
    tail = load_layers(row, seed, weights, start, row.dimensions.n_layer + 2)
    tail.append(Head(row.dimensions, classes, seed))
    if row.trainable_layers == "lora":
        add_lora(tail, row.lora_rank, row.lora_alpha)
    return tail


def _trained(run: Prepared) -> dict[str, Tensor]:
    """What was trained, under its names in the whole model's layers."""
    found = {}
    for name, each in run.loop.tail.named_parameters():
        if each.requires_grad:
            layer, own = name.split(".", 1)
            found[f"{run.start + int(layer)}.{own}"] = each.detach().cpu().contiguous()
    return found


def main(arguments: argparse.Namespace) -> None:
    """Trains one run and writes its files; metrics.json last."""
    row, read = settings.read(arguments.row), tokens.read(arguments.tokens)
    refuse_training(row.training, read)  # before it waits for a GPU
    machine = device.choose(row.training.precision, arguments.threads)
    cli.log.info(
        "%s, seed %d, on %s in %s", row.row, arguments.seed, machine.name, machine.precision
    )
    weights = arguments.checkpoint and arguments.checkpoint.parent
    trunk = arguments.trunk and read_json(arguments.trunk, TrunkManifest)
    with device.out_of_memory(device.TOO_SMALL):
        run = prepare(row, arguments.seed, read, weights, trunk, arguments.cache, machine)

    identity = Identity(
        row=row,
        seed=arguments.seed,
        tokens_sha256=sha256(arguments.tokens),
        checkpoint_sha256=weights and checkpoint.read_manifest(weights).sha256,
        code=read_json(arguments.code, code.Code).sha256,
        torch=str(torch.__version__),
        precision=machine.precision,
        device=machine.name,
        threads=torch.get_num_threads(),
    )
    state = State(arguments.state, identity)
    done = run.loop.train(run.plan, state)
    logits = {
        split: run.loop.logits(split, range(len(found.labels))).cpu()
        for split, found in run.loop.splits.items()
    }
    run.loop.check(logits, len(run.plan.steps) - 1)
    metrics = _metrics(identity, read, run, done, logits)
    answers = {split: found.numpy() for split, found in logits.items()}
    predictions.write(arguments.output_dir / "predictions.csv", read.labels, answers)
    write_text(arguments.output_dir / "history.csv", _history(metrics.history))
    if arguments.keep:
        with whole(arguments.output_dir / TRAINED) as temporary:
            save_file(_trained(run), temporary)
    write_json(arguments.output_dir / "metrics.json", metrics)
    state.remove()


def _metrics(
    identity: Identity, read: Tokens, run: Prepared, done: Progress, logits: Mapping[str, Tensor]
) -> Metrics:
    """What the finished run was made from, and its results."""
    row, machine = identity.row, run.loop.machine
    accuracy = _accuracy(logits, read.labels, run.plan)
    seconds = done.seconds + run.frozen_seconds
    cli.log.info(
        "trained in %.1f s: train accuracy %.2f%%, validation accuracy %.2f%%, test accuracy"
        " %.2f%%",
        *(seconds, 100 * accuracy.train, 100 * accuracy.validation, 100 * accuracy.test),
    )
    return Metrics(
        **{name: getattr(row, name) for name in settings.names(Settings)},
        seed=identity.seed,
        classes=read.about.classes,
        context_tokens=read.context_tokens(row.context_length, row.dimensions.n_positions),
        accuracy=accuracy,
        history=tuple(done.losses),
        epoch_accuracy=tuple(done.accuracies),
        trainable_parameters=run.loop.trainable_parameters,
        training_time_seconds=seconds,
        trunk_time_seconds=run.frozen_seconds,
        device=identity.device,
        shared_device=done.shared_device or run.frozen_shared,
        threads=identity.threads,
        precision=identity.precision,
        peak_memory_bytes=machine.peak_memory_bytes(),
        checkpoint_sha256=identity.checkpoint_sha256,
        dataset_sha256=read.about.dataset_sha256,
        versions={"torch": identity.torch, "python": platform.python_version()},
    )


def _accuracy(
    logits: Mapping[str, Tensor], labels: Mapping[str, Labels], plan: Schedule
) -> Accuracy:
    """Accuracies on whole splits; for training on the messages of the schedule's last pass."""
    right = {split: logits[split].argmax(1).numpy() == labels[split] for split in logits}
    right["train"] = right["train"][plan.final]
    return Accuracy(**{split: int(found.sum()) / len(found) for split, found in right.items()})


def _history(history: tuple[Evaluation, ...]) -> str:
    lines = ["epoch,step,train_loss,validation_loss"]
    lines += [f"{e.epoch},{e.step},{e.train_loss},{e.validation_loss}" for e in history]
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--row", type=Path, required=True, help="the row file")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--trunk", type=Path, nargs="?", help="its manifest; none without a trunk")
    parser.add_argument("--code", type=Path, required=True, help="which code this is, as JSON")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="the file of its saved state")
    parser.add_argument("--keep", action="store_true", help=f"write {TRAINED} too")
    parser.add_argument("--output-dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
