"""The texts of every batch of a run, known before its first step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import torch
from torch.utils.data import DataLoader

from ablations.study.settings import Training

Batch = list[int]


@dataclass(frozen=True)
class Schedule:
    """Every batch of a run, by index within the split.

    `losses` and `accuracies` hold, for the steps after which something is measured, the batches of
    train and validation that are read; `final` the training texts of the final accuracy.
    """

    steps: list[Batch]
    steps_per_epoch: int
    losses: dict[int, dict[str, list[Batch]]]
    accuracies: dict[int, dict[str, list[Batch]]]
    final: Batch

    def updates(self, accumulation_steps: int, done: int = 0) -> Iterator[range]:
        """The steps whose gradients make one update, for each update from step `done` on.

        These are `accumulation_steps` steps, or fewer at the end of an epoch.
        """
        while done < len(self.steps):
            epoch_ends = (done // self.steps_per_epoch + 1) * self.steps_per_epoch
            end = min(done + accumulation_steps, epoch_ends)
            yield range(done, end)
            done = end


def schedule(seed: int, sizes: Mapping[str, int], training: Training) -> Schedule:
    """The batches that PyTorch's DataLoaders give after manual_seed(seed), pass by pass.

    The training set must fill a batch, see limits.refuse_training.
    """
    size = training.batch_size
    losses, accuracies = {}, {}
    steps: list[Batch] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        loaders: dict[str, DataLoader[int]] = {
            "train": _loader(sizes["train"], size, shuffle=True, drop_last=True),
            "validation": _loader(sizes["validation"], size),
        }

        def first_batches() -> dict[str, list[Batch]]:
            count = training.eval_batches
            return {split: list(islice(loader, count)) for split, loader in loaders.items()}

        for _ in range(training.epochs):
            for batch in list(loaders["train"]):
                if len(steps) % training.eval_every == 0:
                    losses[len(steps)] = first_batches()
                steps.append(batch)
            accuracies[len(steps) - 1] = first_batches()
        final = [text for batch in loaders["train"] for text in batch]
    return Schedule(steps, len(loaders["train"]), losses, accuracies, final)


def _loader(texts: int, batch_size: int, **options: bool) -> "DataLoader[int]":
    return DataLoader(range(texts), batch_size, collate_fn=list, **options)  # type: ignore[arg-type]
