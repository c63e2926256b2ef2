"""The numbers and the verdict behind each comparison, for interpretation and figures alike."""

from dataclasses import dataclass
from typing import Any

from ablations.answers import formats, statistics
from ablations.answers.results import Results, TrainedRow
from ablations.study.schema import Question

SMALLEST_OF_INTEREST = 0.01  # the difference to plan for where none was observed


@dataclass(frozen=True)
class Setting:
    """A setting in which the two rows differ."""

    name: str
    baseline: Any
    variant: Any


@dataclass(frozen=True)
class CleanPair:
    """Two rows that differ in one setting only; None for a row that the study lacks."""

    setting: Setting
    baseline: str | None
    variant: str | None


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
class Comparison:
    """One question answered. Differences are variant minus baseline, as fractions."""

    question: Question
    baseline: TrainedRow
    variant: TrainedRow
    settings: tuple[Setting, ...]
    clean_pairs: tuple[CleanPair, ...]  # where more than one setting differs
    baseline_accuracy: float
    variant_accuracy: float
    difference: float
    low: float
    high: float
    unseen_difference: float | None  # on messages that do not stand in the training set
    lost: float  # messages that only the baseline gets right, mean over seeds
    gained: float
    p: float
    adjusted_p: float
    time: TimeRatio
    messages: int
    messages_needed: int | None  # None: no number would settle it
    planned_difference: float  # the true difference that messages_needed is for

    @property
    def decided(self) -> bool:
        """Whether the adjusted p-value shows a difference."""
        return self.adjusted_p < statistics.ALPHA

    @property
    def verdict(self) -> str:
        """better, worse or no detectable difference: the variant beside the baseline."""
        if not self.decided:
            return formats.NO_DIFFERENCE
        return "better" if self.difference > 0 else "worse"

    @property
    def agrees(self) -> bool | None:
        """Whether the verdict is what was published; None where nothing was."""
        claim = self.question.claim
        return (
            None
            if claim is None
            else {"similar": formats.NO_DIFFERENCE}.get(claim, claim) == self.verdict
        )

    @property
    def confounded(self) -> bool:
        """Whether the rows differ in more than one setting."""
        return len(self.settings) > 1

    @property
    def published_difference(self) -> float | None:
        """Difference of the published test accuracies, where both rows have one."""
        one, other = self.baseline.published, self.variant.published
        return other.test - one.test if one and other else None


def compare_all(results: Results) -> list[Comparison]:
    """Every comparison of the study, p-values adjusted for their number."""
    pairs = [
        statistics.pair(
            results.right(results.row(question.baseline)),
            results.right(results.row(question.variant)),
        )
        for question in results.questions
    ]
    p_values = [float(statistics.p_value(pair)) for pair in pairs]
    adjusted = statistics.holm(p_values)
    return [
        _compare(results, question, pair, p, adjusted_p)
        for question, pair, p, adjusted_p in zip(
            results.questions, pairs, p_values, adjusted, strict=True
        )
    ]


def _compare(
    results: Results, question: Question, pair: statistics.Paired, p: float, adjusted_p: float
) -> Comparison:
    baseline, variant = results.row(question.baseline), results.row(question.variant)
    settings = differing(baseline, variant)
    low, high = statistics.interval(pair)
    right = results.right(baseline), results.right(variant)
    unseen = ~results.test.in_train
    planned = float(pair.difference) or SMALLEST_OF_INTEREST
    return Comparison(
        question=question,
        baseline=baseline,
        variant=variant,
        settings=settings,
        clean_pairs=_clean_pairs(results, baseline, variant) if len(settings) > 1 else (),
        baseline_accuracy=float(right[0].mean()),
        variant_accuracy=float(right[1].mean()),
        difference=float(pair.difference),
        low=float(low),
        high=float(high),
        unseen_difference=(
            float(right[1][:, unseen].mean() - right[0][:, unseen].mean()) if unseen.any() else None
        ),
        lost=float(pair.lost) * pair.messages,
        gained=float(pair.gained) * pair.messages,
        p=p,
        adjusted_p=adjusted_p,
        time=_times(baseline, variant),
        messages=pair.messages,
        messages_needed=statistics.messages_needed(pair, planned, len(results.questions)),
        planned_difference=planned,
    )


def differing(baseline: TrainedRow, variant: TrainedRow) -> tuple[Setting, ...]:
    """The settings in which two rows differ, in the table's order."""
    other = variant.settings.compared()
    return tuple(
        Setting(name, value, other[name])
        for name, value in baseline.settings.compared().items()
        if value != other[name]
    )


def _clean_pairs(
    results: Results, baseline: TrainedRow, variant: TrainedRow
) -> tuple[CleanPair, ...]:
    """For each differing setting two rows that differ in it alone, one of them among the two."""
    pairs = []
    for setting in differing(baseline, variant):
        like_variant = variant.settings.compared() | {setting.name: setting.baseline}
        like_baseline = baseline.settings.compared() | {setting.name: setting.variant}
        found = {"baseline": _row_with(results, like_variant), "variant": variant.id}
        if found["baseline"] is None and _row_with(results, like_baseline):
            found = {"baseline": baseline.id, "variant": _row_with(results, like_baseline)}
        pairs.append(CleanPair(setting, **found))
    return tuple(pairs)


def _row_with(results: Results, settings: dict[str, Any]) -> str | None:
    return next((row.id for row in results.rows if row.settings.compared() == settings), None)


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
    return TimeRatio(_mean_time(baseline), _mean_time(variant), obstacle)


def _mean_time(row: TrainedRow) -> float:
    return sum(run.metrics.training_time_seconds for run in row.runs) / len(row.runs)
