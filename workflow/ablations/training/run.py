"""Trains one row with one seed, on one fold, by the published recipe, and writes the results.

python -m ablations.training.run --row results/rows/baseline.json --seed 123 --tokens …
"""

import argparse
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from msgspec import structs
from safetensors.torch import save_file
from torch import Tensor

from ablations import cli, code
from ablations.data import tokens
from ablations.data.collection import Numbers
from ablations.data.sequences import Sequences, sequences
from ablations.data.tokens import Tokens
from ablations.errors import UserError
from ablations.files import read_json, sha256, whole, write_json, write_text
from ablations.machine import device
from ablations.machine.device import Device
from ablations.machine.memory import out_of_memory
from ablations.model import build, checkpoint, transformer
from ablations.model.layers import Layers
from ablations.study import cut, paths, settings
from ablations.study.settings import Settings, Training
from ablations.training import predictions
from ablations.training.forward import HiddenStates, features, freeze, token_ids
from ablations.training.hidden_states import Cache, Frozen, TrunkManifest, frozen
from ablations.training.limits import refuse_training
from ablations.training.loop import Loop, Split
from ablations.training.metrics import Accuracy, Evaluation, Metrics
from ablations.training.predictions import Predictions
from ablations.training.resume import Identity, Progress, State
from ablations.training.schedule import Schedule, schedule

TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class Prepared:
    """A run ready to train."""

    loop: Loop
    frozen_seconds: float  # the part of the training time that the frozen layers took
    frozen_shared: bool  # whether other jobs ran at the same time


def prepare(
    row: Settings,
    seed: int,
    read: Tokens,
    lines: Mapping[str, Numbers],
    folder: Path | None,
    trunk: Frozen | None,
    cache: Cache,
    machine: Device,
) -> Prepared:
    """Gets the output of the layers that stay frozen, and builds the tail that reads it.

    `lines`: each split's texts; `folder`: the checkpoint's, None for a random GPT-2; `trunk`: None
    without one.
    """
    found = sequences(read, row.input)
    if trunk:
        states = cache.outputs(trunk, folder, found, machine)
    else:
        states = HiddenStates(token_ids(found, row.input.causal_mask))
    end = cut.trunk_end(row)
    if end < cut.first_trained(row):  # the rest puts out one vector
        rest = freeze(build.frozen(row, folder, seed, end), machine)
        states = features(rest, states, row.dimensions.n_embd, machine)
    inputs, classes = states.inputs.resident(machine), len(read.about.classes)
    splits = {
        split: Split(inputs.only(own), torch.from_numpy(read.labels[own]).to(machine.torch))
        for split, own in lines.items()
    }
    tail = build.tail(row, folder, seed, classes).to(machine.torch)
    return Prepared(
        Loop(tail, splits, row.training, machine, classes),
        timed_share(found, lines, row.training) * states.seconds,
        states.shared,
    )


def timed_share(found: Sequences, lines: Mapping[str, Numbers], training: Training) -> float:
    """The share of a pass over all texts that is training time: the texts that training reads."""
    evaluated = lines["validation"][: training.eval_batches * training.batch_size]
    return found.share(np.concatenate([lines["train"], evaluated]))


def main(arguments: argparse.Namespace) -> None:
    """Trains one run and writes its files; metrics.json last."""
    row, read = settings.read(arguments.row), tokens.read(arguments.tokens)
    refuse_training(row, read)  # before it waits for a GPU
    machine = device.choose(row.training.precision, arguments.threads)
    which = paths.run(arguments.seed, arguments.fold)
    cli.log.info("%s, %s, on %s in %s", row.row, which, machine.name, machine.precision)
    lines = read.lines(arguments.fold, row.train_size)
    seed, folder = arguments.seed, arguments.checkpoint.parent if arguments.checkpoint else None
    layers, cache = None, Cache(arguments.cache, arguments.cache_gb)
    if trunk := cut.trunk(row, seed):
        if not arguments.trunk:
            raise UserError(f"--trunk is missing: row {row.row} reads what {trunk.name} puts out")
        layers = frozen(trunk, read_json(arguments.trunk, TrunkManifest), folder, machine)
    with out_of_memory():
        run = prepare(row, seed, read, lines, folder, layers, cache, machine)
    plan = schedule(seed, {split: len(own) for split, own in lines.items()}, row.training)

    pretrained = folder if row.weights == "pretrained" else None
    identity = Identity(
        row=row,
        seed=seed,
        fold=arguments.fold,
        tokens_sha256=sha256(arguments.tokens),
        checkpoint_sha256=checkpoint.read_manifest(pretrained).sha256 if pretrained else None,
        code=read_json(arguments.code, code.Code).sha256,
        rounding=machine.rounding,
        engine=transformer.engine(row.dimensions, folder),
    )
    state = State(arguments.state, identity)
    done = run.loop.train(plan, state)
    logits = {
        split: run.loop.logits(split, range(len(found.labels))).cpu()
        for split, found in run.loop.splits.items()
    }
    run.loop.check(logits, len(plan.steps) - 1)
    answers = {
        split: Predictions.of(own, read.labels[own], logits[split].numpy())
        for split, own in lines.items()
    }
    metrics = _metrics(identity, read, run, done, _accuracy(answers, plan))
    predictions.write(arguments.output_dir / "predictions.csv", answers)
    write_text(arguments.output_dir / "history.csv", _history(metrics.history))
    if arguments.keep:
        with whole(arguments.output_dir / TRAINED) as temporary:
            save_file(_trained(run.loop.tail), temporary)
    write_json(arguments.output_dir / "metrics.json", metrics)
    state.remove()


def _metrics(
    identity: Identity, read: Tokens, run: Prepared, done: Progress, accuracy: Accuracy
) -> Metrics:
    """What the finished run was made from, and its results."""
    row, rounding = identity.row, identity.rounding
    others = {} if row.dimensions.is_gpt2 else {"transformers": version("transformers")}
    seconds = done.seconds + run.frozen_seconds
    cli.log.info(
        "trained in %.1f s: train accuracy %.2f%%, validation accuracy %.2f%%, test accuracy"
        " %.2f%%",
        *(seconds, 100 * accuracy.train, 100 * accuracy.validation, 100 * accuracy.test),
    )
    return Metrics(
        **structs.asdict(row),
        seed=identity.seed,
        fold=identity.fold,
        classes=read.about.classes,
        context_tokens=read.context_tokens(row.context_length, row.dimensions.n_positions),
        accuracy=accuracy,
        history=tuple(done.losses),
        epoch_accuracy=tuple(done.accuracies),
        trainable_parameters=run.loop.trainable_parameters,
        training_time_seconds=seconds,
        trunk_time_seconds=run.frozen_seconds,
        device=rounding.name,
        shared_device=done.shared_device or run.frozen_shared,
        threads=torch.get_num_threads(),
        precision=rounding.precision,
        peak_memory_bytes=run.loop.machine.peak_memory_bytes(),
        checkpoint_sha256=identity.checkpoint_sha256,
        dataset_sha256=read.about.dataset_sha256,
        versions={"torch": rounding.torch, "python": platform.python_version()} | others,
    )


def _trained(tail: Layers) -> dict[str, Tensor]:
    return {name: each.detach().cpu().contiguous() for name, each in tail.trained().items()}


def _accuracy(answers: Mapping[str, Predictions], plan: Schedule) -> Accuracy:
    """Accuracies on whole splits; for training on the texts of the schedule's last pass."""
    right = {split: found.predicted == found.labels for split, found in answers.items()}
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
    parser.add_argument("--fold", type=int, help="its number; none where the texts are cut once")
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest")
    parser.add_argument("--trunk", type=Path, nargs="?", help="its manifest; none without a trunk")
    parser.add_argument("--code", type=Path, required=True, help="which code this is, as JSON")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--cache-gb", type=float, required=True, help="its limit in GB")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="the file of its saved state")
    parser.add_argument("--keep", action="store_true", help=f"write {TRAINED} too")
    parser.add_argument("--output-dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
