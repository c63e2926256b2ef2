"""Everything that a study answers, computed once: from finished runs to one value, `Answers`."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from ablations import cli
from ablations.answers import comparisons, effects, missed, noise, scores, selection
from ablations.answers.comparisons import Comparison
from ablations.answers.effects import AveragedEffect
from ablations.answers.finished import Finished, Unfinished
from ablations.answers.missed import Missed
from ablations.answers.noise import Prior
from ablations.answers.scores import Machine, Reference, Row
from ablations.answers.tested import Texts
from ablations.study.outline import Outline


@dataclass(frozen=True)
class Answers:
    """What is written as table, interpretation, figures and page."""

    outline: Outline
    texts: Texts
    rows: tuple[Row, ...]
    references: tuple[Reference, ...]
    unfinished: tuple[Unfinished, ...]  # the runs that a table so far lacks
    asked: int  # how many comparisons the whole study has
    comparisons: tuple[Comparison, ...]  # those whose two rows are finished
    effects: tuple[AveragedEffect, ...]
    missed: tuple[Missed, ...]  # texts, the most often missed first
    machine: Machine  # on which times compare
    # Standard deviation between a row's runs, beyond what their texts explain; None where there are
    # too few folds or seeds to measure it.
    run_sd: float | None

    @property
    def seeds(self) -> tuple[int, ...]:
        """Each row was trained with each, once or on every fold."""
        return self.outline.seeds

    @property
    def folds(self) -> int:
        """How many there are; 1 with one split."""
        return self.texts.folds

    @property
    def measures_noise(self) -> bool:
        """Whether intervals and tests count the noise of training."""
        return self.run_sd is not None

    @property
    def trained(self) -> str:
        """How often each row was: `3 seeds`, `5 folds`, `5 folds × 3 seeds`."""
        seeds = cli.count(len(self.seeds), "seed")
        if self.folds == 1:
            return seeds
        return f"{self.folds} folds" + (f" × {seeds}" if len(self.seeds) > 1 else "")

    @property
    def times(self) -> int:
        """The number of each row's runs."""
        return self.folds * len(self.seeds)

    def named(self, runs: Iterable[tuple[int, int]]) -> str:
        """Runs, by fold and seed: `seed 1, 2`; with folds `fold 1, 2` or `fold 1, seed 2`."""
        if self.folds == 1:
            return f"seed {', '.join(str(seed) for _, seed in runs)}"
        if len(self.seeds) == 1:
            return f"fold {', '.join(str(fold + 1) for fold, _ in runs)}"
        return "; ".join(f"fold {fold + 1}, seed {seed}" for fold, seed in runs)

    @property
    def lines(self) -> tuple[Row | Reference, ...]:
        """Of the table: the rows, and below them the references."""
        return *self.rows, *self.references

    @property
    def best_reference(self) -> Reference | None:
        """The one that gets most test texts right, the first of several."""
        return max(self.references, key=lambda each: each.accuracy["test"].mean, default=None)

    @property
    def standins(self) -> tuple[str, ...]:
        """What is not the published study's, in any row and of the models."""
        return self.outline.notes + self.outline.models

    @property
    def tested(self) -> str:
        """`300 test texts`."""
        return cli.count(len(self.texts.labels), "test text")

    @property
    def margin(self) -> float:
        """Of equivalence, as a fraction."""
        return self.outline.margin / 100


def compute(finished: Finished) -> Answers:
    """Raises UserError where no row is finished."""
    outline, texts = finished.outline, finished.texts
    selected = selection.select(finished)

    @cache
    def prior(learned: int) -> Prior | None:
        """Of the texts without a near-copy among the first so many training texts."""
        some = texts.near >= learned
        right = np.stack([row.right[:, some] for row in selected.rows])
        return noise.prior(right, texts.fold[some])

    of_all = prior(0)
    machine = scores.usual_machine(selected.rows)
    rows = scores.score(selected, texts, of_all, machine)
    references = scores.score_references(finished.references, texts, of_all)
    margin = outline.margin / 100
    return Answers(
        outline=outline,
        texts=texts,
        rows=rows,
        references=references,
        unfinished=finished.unfinished,
        asked=selected.asked,
        comparisons=comparisons.compare_all(selected, (*rows, *references), texts, margin, prior),
        effects=effects.averaged_effects(outline.grids, rows, of_all, texts.fold),
        missed=missed.missed(rows, texts),
        machine=machine,
        run_sd=None if of_all is None else math.sqrt(of_all.average),
    )
