"""The training loop: steps, updates, evaluations, by the published recipe.

One loop serves every row. Rows differ in where the model is cut, and so in what the tail reads
(token ids, hidden states, or the features after the last frozen layer), but not in the code.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from ablations import cli
from ablations.errors import Message, UserError
from ablations.machine.device import Device
from ablations.machine.memory import out_of_memory
from ablations.model.layers import Layers
from ablations.study.settings import Training
from ablations.training.inputs import Inputs, batches
from ablations.training.metrics import EpochAccuracy, Evaluation
from ablations.training.resume import Progress, State
from ablations.training.schedule import Batch, Schedule

NOTHING_IGNORED = -100  # PyTorch's default; no label has it


@dataclass(frozen=True)
class Split:
    """One split: what the tail reads of each text, and the labels, on the device."""

    inputs: Inputs
    labels: Tensor

    def read(self, tail: Layers, texts: Tensor) -> Tensor:
        """The tail's logits for these texts, [B, classes]."""
        x, reading = self.inputs.read(texts)
        device = self.labels.device
        return tail(x.to(device), reading.to(device))


@dataclass(frozen=True)
class Loop:
    """What stays the same from step to step."""

    tail: Layers
    splits: Mapping[str, Split]
    training: Training
    machine: Device
    classes: int

    def train(self, plan: Schedule, state: State) -> Progress:
        """Trains the tail in place, from the saved state if there is one.

        Raises UserError, which names the step, where the loss is not a finite number, and where
        memory runs out. On a GPU only the evaluations check the loss, since every check waits for
        the GPU.
        """
        optimizer = torch.optim.AdamW(
            self.tail.trained().values(),
            lr=self.training.learning_rate,
            weight_decay=self.training.weight_decay,
            fused=True,
        )
        order = torch.tensor(plan.steps).to(self.machine.torch)  # [steps, batch]
        done = state.restore(self.tail, optimizer)
        first, steps = done.steps, len(plan.steps)
        begin = start = self.machine.clock()
        bar = tqdm(total=steps, initial=first, unit="step", disable=None, leave=False)
        with bar, state.signals(), out_of_memory(_smaller(self.training)):
            for update in plan.updates(self.training.accumulation_steps, first):
                *before, last = update
                for step in before:  # no update follows these, so the weights do not change
                    self._evaluate(plan, step, done)
                optimizer.zero_grad()
                loss = self._backward(order[update.start : update.stop])
                if self.machine.kind == "cpu" and not math.isfinite(loss.item()):
                    raise _not_a_number(last, self.training)
                optimizer.step()
                self._evaluate(plan, last, done)
                bar.update(len(update))
                done.steps = update.stop
                if done.losses and done.losses[-1].step in update:
                    left = (time.perf_counter() - start) / (done.steps - first)
                    _report(bar, done.losses[-1], steps, left * (steps - done.steps))
                if state.due():  # a row's time does not include saving
                    done.seconds += self.machine.clock() - begin
                    done.shared_device |= self.machine.shared()
                    state.save(self.tail, optimizer, done)
                    begin = self.machine.clock()
        done.seconds += self.machine.clock() - begin
        done.shared_device |= self.machine.shared()
        return done

    def _backward(self, group: Tensor) -> Tensor:
        """Adds the gradients of one update's batches [n, batch]; returns the sum of their losses.

        Each batch's loss is its mean divided by `accumulation_steps`, also at an epoch's end, where
        there may be fewer batches.
        """
        size = self.training.batch_size
        losses = []
        for part in group.flatten().split(self.training.texts_at_once):
            with self.machine.autocast():
                logits = self.splits["train"].read(self.tail, part).float()
                loss = self._cross_entropy(logits, self._labels("train", part), "mean")
                loss = loss * (len(part) / (size * self.training.accumulation_steps))
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _evaluate(self, plan: Schedule, step: int, done: Progress) -> None:
        """Measures what the plan says is measured after a step."""
        epoch = step // plan.steps_per_epoch + 1
        if step in plan.losses:
            train, validation = (
                round(self.loss(split, plan.losses[step][split]), 6)
                for split in ("train", "validation")
            )
            if not (math.isfinite(train) and math.isfinite(validation)):
                raise _not_a_number(step, self.training)
            done.losses.append(
                Evaluation(epoch=epoch, step=step, train_loss=train, validation_loss=validation)
            )
        if step in plan.accuracies:
            read = plan.accuracies[step]
            done.accuracies.append(
                EpochAccuracy(
                    train=self.accuracy("train", read["train"]),
                    validation=self.accuracy("validation", read["validation"]),
                )
            )
            cli.log.info(
                "epoch %d ended: train accuracy %.2f%%, validation accuracy %.2f%%",
                *(epoch, 100 * done.accuracies[-1].train, 100 * done.accuracies[-1].validation),
            )

    def loss(self, split: str, read: list[Batch]) -> float:
        """The mean of the batches' mean losses."""
        texts = _all(read)
        logits = self.logits(split, texts)
        labels = self._labels(split, torch.tensor(texts))
        each = self._cross_entropy(logits, labels, "none")
        means = [part.mean() for part in each.split([len(batch) for batch in read])]
        return torch.stack(means).mean().item()

    def accuracy(self, split: str, read: list[Batch]) -> float:
        """The fraction of the batches' texts that are classified right."""
        texts = _all(read)
        labels = self._labels(split, torch.tensor(texts))
        right = self.logits(split, texts).argmax(1) == labels
        return int(right.sum()) / len(texts)

    def logits(self, split: str, texts: Sequence[int]) -> Tensor:
        """Logits [texts, classes], in large batches of a fixed size.

        Their memory is allocated first. If each batch's logits were kept as a small tensor among
        large temporary ones, they would divide freed blocks, and the next large tensor would not
        fit.
        """
        data = self.splits[split]
        logits = torch.empty(len(texts), self.classes, device=self.machine.torch)
        numbers = torch.tensor(texts).to(self.machine.torch)
        # one autocast for all: it keeps the converted weights
        with torch.no_grad(), self.machine.autocast():
            for part in batches(data.inputs.lengths(texts)):
                where = torch.from_numpy(part).to(self.machine.torch)
                logits[where] = data.read(self.tail, numbers[where]).float()
        return logits

    def check(self, logits: Mapping[str, Tensor], step: int) -> None:
        """Raises UserError where these are not all finite, which this step has caused."""
        if not all(found.isfinite().all() for found in logits.values()):
            raise _not_a_number(step, self.training)

    @property
    def trainable_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(each.numel() for each in self.tail.trained().values())

    def _labels(self, split: str, texts: Tensor) -> Tensor:
        labels = self.splits[split].labels
        return labels[texts.to(labels.device)]

    def _cross_entropy(self, logits: Tensor, labels: Tensor, reduction: str) -> Tensor:
        ignored = self.training.ignore_index
        return F.cross_entropy(
            logits,
            labels,
            ignore_index=NOTHING_IGNORED if ignored is None else ignored,
            reduction=reduction,
        )


def _all(read: list[Batch]) -> list[int]:
    return [text for batch in read for text in batch]


def _not_a_number(step: int, training: Training) -> UserError:
    return UserError(
        f"the loss is not a finite number at step {step}; training stopped."
        f" A smaller learning_rate than {training.learning_rate:g} may help"
    )


def _smaller(training: Training) -> Message:
    size = training.micro_batch or training.batch_size
    if size == 1:
        return "micro_batch is 1 already: this row needs a device with more memory"
    return (
        f"set micro_batch: {size // 2}, for this row or under training: it splits every batch of"
        f" {training.batch_size} and changes the result by no more than rounding"
    )


def _report(bar: "tqdm[Any]", now: Evaluation, steps: int, left: float) -> None:
    bar.set_postfix(epoch=now.epoch, loss=f"{now.train_loss:.3f}")
    cli.log.info(
        "epoch %d, step %d of %d: train loss %.3f, validation loss %.3f, %.0f s left",
        *(now.epoch, now.step, steps, now.train_loss, now.validation_loss, left),
    )
