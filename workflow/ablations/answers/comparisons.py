"""The numbers and the verdict of each comparison, for the interpretation and the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Literal

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from ablations.answers import formats, statistics
from ablations.answers.results import Results, TrainedRow
from ablations.study.checks import together
from ablations.study.entries import Question
from ablations.study.settings import OPTIONS, Settings, Training, names

Outcome = Literal["confirmed", "contradicted", "not settled here"]


@dataclass(frozen=True)
class Setting:
    """A setting in which the two rows differ."""

    name: str
    baseline: Any
    variant: Any


@dataclass(frozen=True)
class CleanPair:
    """Two rows that differ in this setting only; one is None where the study lacks it."""

    setting: Setting
    baseline: str | None
    variant: str | None
    unfinished: str | None  # the one of the two that is not finished yet


@dataclass(frozen=True)
class TimeRatio:
    """Training times in seconds, or why they do not compare."""

    baseline: float
    variant: float
    obstacle: str | None

    @property
    def ratio(self) -> float | None:
        """Variant over baseline."""
        return None if self.obstacle else self.variant / self.baseline


@dataclass(frozen=True)
class Estimate:
    """A difference in test accuracy on some of the messages, with its 95% interval."""

    messages: int
    difference: float
    low: float
    high: float

    def __str__(self) -> str:
        """`−1.67 (−5.09 to +1.58)`, in percentage points."""
        return formats.estimate(self.difference, self.low, self.high)

    def contains(self, difference: float) -> bool:
        """Whether a difference lies in the interval, up to rounding."""
        return self.low - 1e-9 <= difference <= self.high + 1e-9


@dataclass(frozen=True)
class Equivalence:
    """Whether two rows are shown to differ by less than a margin; see `statistics.equivalent`."""

    margin: float
    shown: bool
    possible: bool  # whether any outcome on this many messages would show it
    low: float  # of the 90% interval
    high: float


@dataclass(frozen=True)
class Comparison:
    """One question answered. Differences are variant minus baseline, as fractions."""

    question: Question
    baseline: TrainedRow
    variant: TrainedRow
    settings: tuple[Setting, ...]
    clean_pairs: tuple[CleanPair, ...]  # where more than one setting differs
    baseline_accuracy: float
    variant_accuracy: float
    overall: Estimate
    distinct: Estimate | None  # without near-duplicates of training messages, where there are any
    lost: float  # messages that only the baseline gets right, mean over seeds
    gained: float
    p: float
    adjusted_p: float
    among: int  # comparisons of the study, for which it is adjusted
    equivalence: Equivalence
    smallest_shown: float | None  # the smallest true difference that this study would show
    time: TimeRatio

    @property
    def decided(self) -> bool:
        """Whether the adjusted p-value shows a difference."""
        return self.adjusted_p < statistics.ALPHA

    @property
    def verdict(self) -> str:
        """better, worse or no detectable difference: the variant against the baseline."""
        if not self.decided:
            return formats.NO_DIFFERENCE
        return "better" if self.overall.difference > 0 else "worse"

    @property
    def outcome(self) -> Outcome | None:
        """Whether the published claim holds here; None where nothing was claimed.

        A claim of a difference is confirmed by the same verdict, one of "similar" by equivalence.
        Either is contradicted where the interval excludes the published difference. A claim of a
        difference is also contradicted by a difference the other way, one of "similar" by an
        interval outside the margin.
        """
        claim, margin = self.question.claim, self.equivalence.margin
        if claim is None:
            return None
        if self.equivalence.shown if claim == "similar" else self.verdict == claim:
            return "confirmed"
        published = self.published_difference
        if claim == "similar":
            contrary = self.overall.low >= margin or self.overall.high <= -margin
        else:
            contrary = self.decided
        if contrary or (published is not None and not self.overall.contains(published)):
            return "contradicted"
        return "not settled here"

    @property
    def confounded(self) -> bool:
        """Whether the rows differ in more than one setting."""
        return len(self.settings) > 1

    @property
    def published_difference(self) -> float | None:
        """Difference of the published test accuracies, where both rows have one."""
        one, other = self.baseline.published, self.variant.published
        return other.test - one.test if one and other else None


def accuracy_intervals(results: Results) -> dict[str, tuple[float, float]]:
    """The 95% interval of each row's test accuracy, by the row's id."""
    noise = run_noise(results)
    found = {
        row.id: statistics.mean_accuracy_interval(results.right(row), noise) for row in results.rows
    }
    return {id: (float(low), float(high)) for id, (low, high) in found.items()}


def compare_all(results: Results) -> list[Comparison]:
    """Every comparison whose rows are finished, p-values adjusted for the number of all."""
    pairs = _pairs(results, np.ones(len(results.test), bool))
    p_values = [float(statistics.p_value(pair)) for pair in pairs]
    adjusted = statistics.holm(p_values, results.asked)
    distinct = ~results.test.near_train
    distinct_pairs: Sequence[statistics.Paired | None] = [None] * len(pairs)
    if 0 < distinct.sum() < len(distinct):
        distinct_pairs = _pairs(results, distinct)
    return list(
        map(_compare, repeat(results), results.questions, pairs, distinct_pairs, p_values, adjusted)
    )


def why_none(results: Results) -> str:
    """Why there is no comparison: a sentence that is shown instead."""
    if results.unfinished:
        return "No comparison has both its rows finished."
    return "The configuration states no comparisons."


def run_noise(results: Results) -> statistics.RunNoise | None:
    """How much runs of a row differ on the test messages, over all rows of the study."""
    return statistics.run_noise(np.stack([results.right(row) for row in results.rows]))


def _pairs(results: Results, messages: NDArray[np.bool_]) -> list[statistics.Paired]:
    """Each question's two rows, compared on some of the test messages."""
    right = {row.id: results.right(row)[:, messages] for row in results.rows}
    noise = statistics.run_noise(np.stack(list(right.values())))
    return [
        statistics.pair(right[question.baseline], right[question.variant], noise)
        for question in results.questions
    ]


def _compare(
    results: Results,
    question: Question,
    pair: statistics.Paired,
    distinct: statistics.Paired | None,
    p: float,
    adjusted_p: float,
) -> Comparison:
    baseline, variant = results.row(question.baseline), results.row(question.variant)
    settings = differing(baseline, variant)
    low, high = statistics.interval(pair, statistics.EQUIVALENCE_CONFIDENCE)
    accuracy = float(results.right(baseline).mean())
    return Comparison(
        question=question,
        baseline=baseline,
        variant=variant,
        settings=settings,
        clean_pairs=_clean_pairs(results, baseline, variant) if len(settings) > 1 else (),
        baseline_accuracy=accuracy,
        variant_accuracy=float(results.right(variant).mean()),
        overall=_estimate(pair),
        distinct=_estimate(distinct) if distinct else None,
        lost=float(pair.lost) * pair.messages,
        gained=float(pair.gained) * pair.messages,
        p=p,
        adjusted_p=adjusted_p,
        among=results.asked,
        equivalence=Equivalence(
            margin=results.margin,
            shown=bool(statistics.equivalent(pair, results.margin)),
            possible=statistics.can_show_equivalence(pair.messages, results.margin, pair.seeds),
            low=float(low),
            high=float(high),
        ),
        smallest_shown=_smallest_shown(pair, results.asked, accuracy),
        time=_times(baseline, variant),
    )


def _estimate(pair: statistics.Paired) -> Estimate:
    low, high = statistics.interval(pair)
    return Estimate(pair.messages, float(pair.difference), float(low), float(high))


def _smallest_shown(pair: statistics.Paired, among: int, accuracy: float) -> float | None:
    """None where no row could differ as much from a baseline of this accuracy."""
    found = statistics.smallest_shown(pair, among)
    return found if found is not None and found <= max(accuracy, 1 - accuracy) else None


def differing(baseline: TrainedRow, variant: TrainedRow) -> tuple[Setting, ...]:
    """The settings in which two rows differ, in the table's order."""
    one, other = (row.settings.deciding() for row in (baseline, variant))
    return tuple(
        Setting(name, value, other[name])
        for name, value in one.items()
        if name in other and value != other[name]
    )


def _clean_pairs(
    results: Results, baseline: TrainedRow, variant: TrainedRow
) -> tuple[CleanPair, ...]:
    """For each differing setting two rows that differ in it alone, one of them among the two."""
    pairs, finished = [], {row.id for row in results.rows}
    for setting in differing(baseline, variant):
        like_variant = _changed(variant.settings, setting.name, baseline.settings)
        like_baseline = _changed(baseline.settings, setting.name, variant.settings)
        one, other = _row_with(results, like_variant), _row_with(results, like_baseline)
        # where the study has neither row, name one that it could have
        with_variant = one or (other is None and not any(together(like_variant)))
        first, second = (one, variant.id) if with_variant else (baseline.id, other)
        unfinished = next((end for end in (first, second) if end and end not in finished), None)
        pairs.append(CleanPair(setting, first, second, unfinished))
    return tuple(pairs)


def _changed(row: Settings, name: str, other: Settings) -> Settings:
    """A row's settings with one of them, and what belongs to it, taken from another row."""
    if name in names(Training):
        value = getattr(other.training, name)
        return structs.replace(row, training=structs.replace(row.training, **{name: value}))
    taken = [name, *(["dimensions"] if name == "model" else [])]
    taken += [each for each, option in OPTIONS.items() if name in option.part_of | option.idle_with]
    return structs.replace(row, **{each: getattr(other, each) for each in taken})


def _row_with(results: Results, settings: Settings) -> str | None:
    wanted = settings.deciding()
    found = (id for id, row in results.stated.items() if row.deciding() == wanted)
    return next(found, None)


def _times(baseline: TrainedRow, variant: TrainedRow) -> TimeRatio:
    runs = baseline.runs + variant.runs
    devices = list(dict.fromkeys(run.metrics.device for run in runs))
    obstacle = None
    if len(devices) > 1:
        obstacle = f"the runs used different devices ({formats.names(devices)})"
    elif any(run.metrics.shared_device for run in runs):
        obstacle = "other jobs ran on the device at the same time"
    elif len({run.metrics.threads for run in runs}) > 1:
        obstacle = "the runs used different numbers of threads"
    elif not all(run.metrics.training_time_seconds for run in runs):
        obstacle = "a training time is zero"
    one, other = (float(np.mean(row.times())) for row in (baseline, variant))
    return TimeRatio(one, other, obstacle)
