"""Trains one row with one seed, by the published recipe, and writes what came out.

    python -m ablations.train --row results/rows/baseline.json --seed 123 --tokens … --output-dir …

One loop serves every row: rows differ in where the model is cut, and so in what the tail reads
(token ids, hidden states, or features behind the last frozen layer), never in the code they run.
"""

import argparse
import json
import math
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from ablations import cli, device, model, tokens
from ablations.cut import Dimensions, first_trained, trunk_settings
from ablations.device import Device
from ablations.errors import UserError
from ablations.files import sha256, write_text
from ablations.hidden_states import (
    Mapped,
    Trunk,
    batches,
    cache_gb,
    checkpoint_sha256,
    forward,
    freeze,
    load_layers,
    token_ids,
)
from ablations.state import Progress, State, code_sha256

Batch = list[int]

SETTINGS = ("model", "weights", "trainable_token", "trainable_layers", "context_length")


# --- which messages every batch holds


@dataclass(frozen=True)
class Schedule:
    """Every batch of a run, by message index: known before the first step, since only loaders draw.

    `losses` and `accuracies` hold, for the steps after which something is measured, the batches of
    train and validation that are read; `final` the training messages of the final accuracy.
    """

    steps: list[Batch]
    steps_per_epoch: int
    losses: dict[int, dict[str, list[Batch]]]
    accuracies: dict[int, dict[str, list[Batch]]]
    final: Batch


def schedule(seed: int, sizes: Mapping[str, int], training: Mapping[str, Any]) -> Schedule:
    """The batches that PyTorch's DataLoaders give after manual_seed(seed), pass by pass.

    Raises UserError where the training set does not fill a batch.
    """
    size = training["batch_size"]
    if sizes["train"] < size:
        raise UserError(
            f"batch_size: {size} is more than the {sizes['train']} training messages; an epoch"
            " drops its last incomplete batch and would be empty"
        )
    losses, accuracies = {}, {}
    steps: list[Batch] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loaders: dict[str, DataLoader[int]] = {
            "train": _loader(sizes["train"], size, shuffle=True, drop_last=True),
            "validation": _loader(sizes["validation"], size),
        }

        def first_batches() -> dict[str, list[Batch]]:
            count = training["eval_batches"]
            return {split: list(islice(loader, count)) for split, loader in loaders.items()}

        for _ in range(training["epochs"]):
            for batch in list(loaders["train"]):
                if len(steps) % training["eval_every"] == 0:
                    losses[len(steps)] = first_batches()
                steps.append(batch)
            accuracies[len(steps) - 1] = first_batches()
        final = [message for batch in loaders["train"] for message in batch]
    return Schedule(steps, len(loaders["train"]), losses, accuracies, final)


def _loader(messages: int, batch_size: int, **options: bool) -> "DataLoader[int]":
    return DataLoader(range(messages), batch_size, collate_fn=list, **options)  # type: ignore[arg-type]


# --- what the tail reads


class Recomputed:
    """Hidden states computed from token ids each time they are read: for cache_gb: 0."""

    def __init__(self, layers: nn.Module, ids: Tensor, machine: Device) -> None:
        """`layers` frozen and on the device."""
        self.layers, self.ids, self.machine = layers, ids.to(machine.torch), machine
        self.device = machine.torch

    @torch.no_grad()
    def __getitem__(self, messages: Any) -> Tensor:
        """(messages, T, C)."""
        with self.machine.autocast():
            return self.layers(self.ids[messages]).float()


# Of one split, by message: token ids or features, or hidden states.
Inputs = Tensor | Mapped | Recomputed


@dataclass(frozen=True)
class Split:
    """One split: what the tail reads for each message, how many tokens that is, and the labels."""

    inputs: Inputs
    tokens: int
    labels: Tensor

    def read(self, messages: Tensor) -> tuple[Tensor, Tensor]:
        """What the tail reads of these messages, and their labels, both on the labels' device.

        Where all is on one device, nothing waits: a list of numbers, or numbers elsewhere, would
        be copied there first, once the device has done all it was asked to.
        """
        device = self.labels.device
        inputs = self.inputs[messages.to(self.inputs.device)].to(device)
        return inputs, self.labels[messages.to(device)]


# --- the loop


def train(
    tail: nn.Module,
    splits: Mapping[str, Split],
    plan: Schedule,
    training: Mapping[str, Any],
    machine: Device,
    state: State,
) -> Progress:
    """Trains the tail in place, from the saved state if there is one.

    Raises UserError, naming the step, where the loss is not a number, and where memory runs out.
    A GPU would wait for a look at every step's loss; there the evaluations find it.
    """
    optimizer = torch.optim.AdamW(
        tail.parameters(),
        lr=training["learning_rate"],
        weight_decay=training["weight_decay"],
        fused=True,
    )
    order = torch.tensor(plan.steps).to(machine.torch)  # [steps, batch]
    done = state.restore(tail, optimizer)
    first, steps = done.steps, len(plan.steps)
    begin = start = machine.clock()
    bar = tqdm(total=steps, initial=first, unit="step", disable=None, leave=False)
    with bar, state.signals(), device.out_of_memory(_smaller(training)):
        for step in range(first, steps):
            optimizer.zero_grad()
            loss = _backward(tail, splits["train"], order[step], training, machine)
            if machine.kind == "cpu" and not math.isfinite(loss.item()):
                raise _not_a_number(step, training)
            optimizer.step()

            epoch = step // plan.steps_per_epoch + 1
            if step in plan.losses:
                found = {
                    f"{split}_loss": round(_loss(tail, splits[split], read, machine), 6)
                    for split, read in plan.losses[step].items()
                }
                if not all(map(math.isfinite, found.values())):
                    raise _not_a_number(step, training)
                done.losses.append({"epoch": epoch, "step": step, **found})
                left = (time.perf_counter() - start) / (step + 1 - first) * (steps - step - 1)
                _report(bar, done.losses[-1], steps, left)
            if step in plan.accuracies:
                done.accuracies.append(
                    {
                        split: _accuracy(tail, splits[split], read, machine)
                        for split, read in plan.accuracies[step].items()
                    }
                )
                cli.log.info("epoch %d ended: %s", epoch, _percent(done.accuracies[-1]))
            bar.update()
            done.steps = step + 1
            if state.due():  # saving is no part of what the row costs
                done.seconds += machine.clock() - begin
                done.shared_device |= machine.shared()
                state.save(tail, optimizer, done)
                begin = machine.clock()
    done.seconds += machine.clock() - begin
    done.shared_device |= machine.shared()
    return done


def _backward(
    tail: nn.Module, split: Split, batch: Tensor, training: Mapping[str, Any], machine: Device
) -> Tensor:
    """Adds the gradients of the batch's mean loss, a micro-batch at a time; returns that loss."""
    losses = []
    for part in batch.split(training.get("micro_batch", len(batch))):
        inputs, labels = split.read(part)
        with machine.autocast():
            logits = tail(inputs).float()
            loss = F.cross_entropy(logits, labels) * (len(part) / len(batch))
        loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()


def evaluate(
    tail: nn.Module, split: Split, messages: Sequence[int], machine: Device
) -> tuple[Tensor, Tensor]:
    """Logits [messages, 2], in large batches of a fixed size, and labels [messages].

    They have their place beforehand. Small tensors that stay, made among large ones that come and
    go, would each split a freed block that the next large one then no longer fits.
    """
    numbers = torch.tensor(messages).to(machine.torch)
    logits = torch.empty(len(messages), model.CLASSES, device=machine.torch)
    with torch.no_grad(), machine.autocast():  # once: it keeps the weights that it has converted
        for part in batches(len(messages), split.tokens):
            inputs, _ = split.read(numbers[part])
            logits[part] = tail(inputs)
    return logits, split.labels[numbers]


def _loss(tail: nn.Module, split: Split, batches: list[Batch], machine: Device) -> float:
    """The mean of the batches' mean losses."""
    each = F.cross_entropy(*_evaluate(tail, split, batches, machine), reduction="none")
    means = [part.mean() for part in each.split([len(batch) for batch in batches])]
    return torch.stack(means).mean().item()


def _accuracy(tail: nn.Module, split: Split, batches: list[Batch], machine: Device) -> float:
    logits, labels = _evaluate(tail, split, batches, machine)
    return int((logits.argmax(1) == labels).sum()) / len(labels)


def _evaluate(
    tail: nn.Module, split: Split, batches: list[Batch], machine: Device
) -> tuple[Tensor, Tensor]:
    return evaluate(tail, split, [message for batch in batches for message in batch], machine)


def _not_a_number(step: int, training: Mapping[str, Any]) -> UserError:
    return UserError(
        f"the loss is not a finite number at step {step}; training stopped."
        f" A smaller learning_rate than {training['learning_rate']:g} may help"
    )


def _smaller(training: Mapping[str, Any]) -> str:
    size = training.get("micro_batch", training["batch_size"])
    if size == 1:
        return "micro_batch is 1 already: this row needs a device with more memory"
    return (
        f"set micro_batch: {size // 2}, for this row or under training: it splits every batch of"
        f" {training['batch_size']} and changes the result by no more than rounding"
    )


def _report(bar: "tqdm[Any]", now: Mapping[str, float], steps: int, left: float) -> None:
    bar.set_postfix(epoch=now["epoch"], loss=f"{now['train_loss']:.3f}")
    cli.log.info(
        "epoch %d, step %d of %d: train loss %.3f, validation loss %.3f, %.0f s left",
        *(now["epoch"], now["step"], steps, now["train_loss"], now["validation_loss"], left),
    )


def _percent(accuracy: Mapping[str, float]) -> str:
    return ", ".join(f"{split} accuracy {value:.2%}" for split, value in accuracy.items())


# --- one run


@dataclass(frozen=True)
class Run:
    """A run ready to train."""

    tail: nn.Sequential
    splits: dict[str, Split]
    plan: Schedule
    frozen_seconds: float  # what the frozen layers cost within the timed part
    frozen_shared: bool  # whether that was measured beside other jobs


def prepare(
    row: Mapping[str, Any],
    seed: int,
    tokens_file: Path,
    checkpoint: Path | None,
    cache: Path,
    machine: Device,
) -> Run:
    """Cuts the model, gets what the frozen layers put out, and builds the tail."""
    dimensions, training = Dimensions(**row["dimensions"]), row["training"]
    read = tokens.read(tokens_file)
    ids = token_ids(read, row)
    plan = schedule(seed, {split: len(ids[split]) for split in ids}, training)

    def load(start: int, stop: int) -> nn.Sequential:
        return load_layers({**row, "seed": seed}, checkpoint, start, stop)

    inputs: dict[str, Inputs] = dict(ids)
    length = {split: ids[split].shape[1] for split in ids}
    seconds, shared = dict.fromkeys(ids, 0.0), False

    def run_once(layers: nn.Module, *shape: int) -> None:
        """Puts what frozen layers make of the inputs, of this shape per message, in their place."""
        for split, states in inputs.items():
            begin = machine.clock()
            parts = batches(len(ids[split]), length[split])
            found = forward(layers, states, parts, machine, split)
            outputs = torch.empty(len(ids[split]), *shape)  # beforehand, as in evaluate
            for part, output in zip(parts, found, strict=True):
                outputs[part] = output
            inputs[split] = outputs
            seconds[split] += machine.clock() - begin
            length[split] = 1

    start = first_trained(row["trainable_layers"], dimensions.n_layer)
    settings = trunk_settings(row, seed)
    if settings:
        trunk = Trunk(settings, checkpoint, tokens_file, machine, cache)
        if cache_gb() > 0:
            hidden = trunk.outputs(ids, cache_gb())
            inputs, seconds = dict(hidden.splits), dict(hidden.seconds)
            shared = hidden.shared
        elif settings["trainable_token"] == "first":
            run_once(trunk.layers(), 1, dimensions.n_embd)  # little enough to hold in memory
        else:
            layers = trunk.layers()
            inputs = {split: Recomputed(layers, ids[split], machine) for split in ids}
        if settings["depth"] < start:  # more frozen layers, with one output per message
            run_once(freeze(load(settings["depth"], start), machine), dimensions.n_embd)

    tail = load(start, dimensions.n_layer + 2).append(model.head(dimensions, seed))
    labels = {split: torch.from_numpy(read.labels[split]).to(machine.torch) for split in ids}
    read_in_time = training["eval_batches"] * training["batch_size"] / len(ids["validation"])
    return Run(
        tail.to(machine.torch),
        {
            split: Split(resident(inputs[split], machine), length[split], labels[split])
            for split in ids
        },
        plan,
        seconds["train"] + min(1.0, read_in_time) * seconds["validation"],
        shared,
    )


def resident(inputs: Inputs, machine: Device) -> Inputs:
    """Moved to a GPU that has room to spare, so that no step waits for a transfer."""
    if machine.kind != "cuda" or isinstance(inputs, Recomputed):
        return inputs
    free, _ = torch.cuda.mem_get_info(machine.torch)
    return inputs[:].to(machine.torch) if inputs.nbytes <= free / 2 else inputs


def main(arguments: argparse.Namespace) -> None:
    """Trains one run and writes its files; metrics.json last."""
    row = json.loads(arguments.row.read_text())
    read = tokens.read(arguments.tokens)
    context_tokens = read.context_tokens(row["context_length"], row["dimensions"]["n_positions"])
    machine = device.choose(row["training"]["precision"], arguments.threads)
    cli.log.info(
        "%s, seed %d, on %s in %s", row["row"], arguments.seed, machine.name, machine.precision
    )
    checkpoint = arguments.checkpoint
    with device.out_of_memory(device.TOO_SMALL):
        run = prepare(row, arguments.seed, arguments.tokens, checkpoint, arguments.cache, machine)

    identity = {
        "row": row,
        "seed": arguments.seed,
        "tokens": sha256(arguments.tokens),
        "checkpoint": checkpoint_sha256(checkpoint),
        "code": code_sha256(),
        "torch": torch.__version__,
        "precision": machine.precision,
        "device": machine.name,
        "threads": torch.get_num_threads(),
    }
    state = State(arguments.state, identity)
    done = train(run.tail, run.splits, run.plan, row["training"], machine, state)
    seconds = done.seconds + run.frozen_seconds

    logits = {
        split: evaluate(run.tail, data, list(range(len(data.labels))), machine)[0].cpu()
        for split, data in run.splits.items()
    }
    if not all(values.isfinite().all() for values in logits.values()):
        raise _not_a_number(len(run.plan.steps) - 1, row["training"])  # or since the last look
    labels = {split: data.labels.cpu() for split, data in run.splits.items()}
    correct = {split: logits[split].argmax(1) == labels[split] for split in logits}
    accuracy = {
        "train": _share(correct["train"][run.plan.final]),
        "validation": _share(correct["validation"]),
        "test": _share(correct["test"]),
    }
    cli.log.info("trained in %.1f s: %s", seconds, _percent(accuracy))
    metrics = {
        "row": row["row"],
        "seed": arguments.seed,
        **{key: row[key] for key in SETTINGS},
        **row["training"],
        "context_tokens": context_tokens,
        "accuracy": accuracy,
        "history": done.losses,
        "epoch_accuracy": done.accuracies,
        "trainable_parameters": sum(p.numel() for p in run.tail.parameters()),
        "training_time_seconds": seconds,
        "trunk_time_seconds": run.frozen_seconds,
        "device": machine.name,
        "shared_device": done.shared_device or run.frozen_shared,
        "threads": torch.get_num_threads(),
        "precision": machine.precision,
        "peak_memory_bytes": machine.peak_memory_bytes(),
        "checkpoint_sha256": checkpoint_sha256(checkpoint),
        "dataset_sha256": read.dataset_sha256,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
    }
    write_text(arguments.output_dir / "predictions.csv", _predictions(logits, labels))
    write_text(arguments.output_dir / "history.csv", _history(done.losses))
    write_text(arguments.output_dir / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    state.remove()


def _share(correct: Tensor) -> float:
    return int(correct.sum()) / len(correct)


def _predictions(logits: Mapping[str, Tensor], labels: Mapping[str, Tensor]) -> str:
    lines = ["split,index,label,predicted,logit_0,logit_1"]
    for split, values in logits.items():
        for index, (pair, label) in enumerate(
            zip(values.tolist(), labels[split].tolist(), strict=True)
        ):
            predicted = int(pair[1] > pair[0])
            lines.append(f"{split},{index},{label},{predicted},{pair[0]:.6f},{pair[1]:.6f}")
    return "\n".join(lines) + "\n"


def _history(losses: Sequence[Mapping[str, float]]) -> str:
    lines = ["epoch,step,train_loss,validation_loss"]
    lines += [",".join(str(value) for value in entry.values()) for entry in losses]
    return "\n".join(lines) + "\n"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ablations.train", description=__doc__)
    parser.add_argument("--row", type=Path, required=True, help="the row file")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--state", type=Path, required=True, help="where it stands, if killed")
    parser.add_argument("--output-dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
