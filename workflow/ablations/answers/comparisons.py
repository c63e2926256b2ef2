"""The numbers and the verdict of each comparison."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from msgspec import structs

from ablations.answers import formats, power, statistics
from ablations.answers.noise import Prior
from ablations.answers.scores import Reference, Row
from ablations.answers.selection import Selected
from ablations.answers.tested import Texts
from ablations.study.checks import together
from ablations.study.entries import Question
from ablations.study.settings import OPTIONS, Settings, Training, names

Outcome = Literal["confirmed", "contradicted", "not settled here"]
FOLDS = 5  # of which it is told what they would have shown, where a question is open


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
class Estimate:
    """A difference in test accuracy on some of the texts, with its 95% interval."""

    texts: int
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
    possible: bool  # whether any outcome on this many texts would show it
    low: float  # of the 90% interval
    high: float


@dataclass(frozen=True)
class Comparison:
    """One question answered. Differences are variant minus baseline, as fractions."""

    question: Question
    baseline: Row | Reference
    variant: Row | Reference
    settings: tuple[Setting, ...]
    clean_pairs: tuple[CleanPair, ...]  # where more than one setting differs
    seeds: int  # how often each row answers every text
    overall: Estimate
    distinct: Estimate | None  # without near-copies of either's training texts, if there are any
    lost: float  # texts that only the baseline gets right, mean over seeds
    gained: float
    p: float
    adjusted_p: float
    among: int  # comparisons of the study, for which it is adjusted
    equivalence: Equivalence
    smallest_shown: float | None  # the smallest true difference that this study would show
    with_folds: float | None  # the same if FOLDS folds tested all texts, where one split does not
    of_models: bool  # the verdict is of trained models: the noise of training is not measured
    times_differ: str | None  # why the two training times do not compare

    @property
    def decided(self) -> bool:
        """Whether the adjusted p-value shows a difference."""
        return self.adjusted_p < statistics.ALPHA

    @property
    def is_open(self) -> bool:
        """Whether neither a difference nor equivalence is shown."""
        return not self.decided and not self.equivalence.shown

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
    def folds(self) -> int:
        """How many test them; 1 with one split."""
        return len({run.fold for run in self.baseline.runs})

    @property
    def reference(self) -> Reference | None:
        """The one of the two that is no row."""
        sides = (self.baseline, self.variant)
        return next((side for side in sides if isinstance(side, Reference)), None)

    @property
    def confounded(self) -> bool:
        """Whether the rows differ in more than one setting."""
        return len(self.settings) > 1

    @property
    def time_ratio(self) -> float | None:
        """The variant's training time over the baseline's, where the two compare."""
        return None if self.times_differ else self.variant.seconds.mean / self.baseline.seconds.mean

    @property
    def published_difference(self) -> float | None:
        """Difference of the published test accuracies, where both rows have one."""
        one, other = self.baseline.published, self.variant.published
        return other.test - one.test if one and other else None


def compare_all(
    selected: Selected,
    sides: Sequence[Row | Reference],
    texts: Texts,
    margin: float,
    prior: Callable[[int], Prior | None],
) -> tuple[Comparison, ...]:
    """Every comparison whose rows are finished, p-values adjusted for the number of all.

    `prior`: of the texts without a near-copy among the first so many training texts.
    """
    by_id = {side.id: side for side in sides}
    found = [
        _compare(question, by_id, selected, texts, margin, prior) for question in selected.questions
    ]
    adjusted = statistics.holm([each.p for each in found], selected.asked).tolist()
    return tuple(replace(each, adjusted_p=p) for each, p in zip(found, adjusted, strict=True))


def _compare(
    question: Question,
    by_id: Mapping[str, Row | Reference],
    selected: Selected,
    texts: Texts,
    margin: float,
    prior: Callable[[int], Prior | None],
) -> Comparison:
    """One comparison, its p-value not adjusted yet."""
    baseline, variant = by_id[question.baseline], by_id[question.variant]

    def without(learned: int) -> statistics.Paired:
        some = texts.near >= learned
        one, other = baseline.right[:, some], variant.right[:, some]
        return statistics.pair(one, other, prior(learned), texts.fold[some])

    pair, learned = without(0), max(baseline.train_size, variant.train_size)
    left = int((texts.near >= learned).sum())
    folds = power.with_folds(pair, texts.collection, FOLDS) if texts.folds == 1 else None
    settings, clean_pairs = _changed(selected, baseline, variant)
    p, accuracy = float(statistics.p_value(pair)), baseline.accuracy["test"].mean
    low, high = statistics.interval(pair, statistics.EQUIVALENCE_CONFIDENCE)
    seeds = max(len(baseline.right), len(variant.right))  # a reference has none
    return Comparison(
        question=question,
        baseline=baseline,
        variant=variant,
        settings=settings,
        clean_pairs=clean_pairs,
        seeds=seeds,
        overall=_estimate(pair),
        distinct=_estimate(without(learned)) if 0 < left < len(texts.near) else None,
        lost=float(pair.lost) * pair.texts,
        gained=float(pair.gained) * pair.texts,
        p=p,
        adjusted_p=p,
        among=selected.asked,
        equivalence=Equivalence(
            margin=margin,
            shown=bool(statistics.equivalent(pair, margin)),
            possible=statistics.can_show_equivalence(pair.texts, margin, seeds),
            low=float(low),
            high=float(high),
        ),
        smallest_shown=_smallest_shown(pair, selected.asked, accuracy),
        with_folds=_smallest_shown(folds, selected.asked, accuracy) if folds else None,
        of_models=not pair.measures_noise,
        times_differ=_times_differ(baseline, variant),
    )


def _estimate(pair: statistics.Paired) -> Estimate:
    low, high = statistics.interval(pair)
    return Estimate(pair.texts, float(pair.difference), float(low), float(high))


def _smallest_shown(pair: statistics.Paired, among: int, accuracy: float) -> float | None:
    """None where no row could differ as much from a baseline of this accuracy."""
    found = power.smallest_shown(pair, among)
    return found if found is not None and found <= max(accuracy, 1 - accuracy) else None


def _changed(
    selected: Selected, baseline: Row | Reference, variant: Row | Reference
) -> tuple[tuple[Setting, ...], tuple[CleanPair, ...]]:
    """The settings in which two rows differ, and cleaner pairs; a reference has no settings."""
    if isinstance(baseline, Reference) or isinstance(variant, Reference):
        return (), ()
    settings = differing(baseline.settings, variant.settings)
    pairs = _clean_pairs(selected, baseline, variant, settings) if len(settings) > 1 else ()
    return settings, tuple(pairs)


def differing(baseline: Settings, variant: Settings) -> tuple[Setting, ...]:
    """The settings in which two rows differ, in the table's order."""
    one, other = baseline.deciding(), variant.deciding()
    return tuple(
        Setting(name, value, other[name])
        for name, value in one.items()
        if name in other and value != other[name]
    )


def _clean_pairs(
    selected: Selected, baseline: Row, variant: Row, settings: Sequence[Setting]
) -> Iterator[CleanPair]:
    """For each of the settings two rows that differ in it alone, one of them among the two."""
    finished = {row.id for row in selected.rows}
    for setting in settings:
        like_variant = _with(variant.settings, setting.name, baseline.settings)
        like_baseline = _with(baseline.settings, setting.name, variant.settings)
        one, other = (_row_with(selected.stated, like) for like in (like_variant, like_baseline))
        # where the study has neither row, name one that it could have
        with_variant = one or (other is None and not any(together(like_variant)))
        first, second = (one, variant.id) if with_variant else (baseline.id, other)
        unfinished = next((end for end in (first, second) if end and end not in finished), None)
        yield CleanPair(setting, first, second, unfinished)


def _with(row: Settings, name: str, other: Settings) -> Settings:
    """A row's settings with one of them, and what belongs to it, taken from another row."""
    if name in names(Training):
        value = getattr(other.training, name)
        return structs.replace(row, training=structs.replace(row.training, **{name: value}))
    taken = [name, *(["dimensions"] if name == "model" else [])]
    taken += [each for each, option in OPTIONS.items() if name in option.part_of | option.idle_with]
    return structs.replace(row, **{each: getattr(other, each) for each in taken})


def _row_with(stated: Mapping[str, Settings], settings: Settings) -> str | None:
    wanted = settings.deciding()
    found = (id for id, row in stated.items() if row.deciding() == wanted)
    return next(found, None)


def _times_differ(baseline: Row | Reference, variant: Row | Reference) -> str | None:
    if isinstance(baseline, Reference) or isinstance(variant, Reference):
        return "a reference only counts"
    runs = [run.metrics for run in baseline.runs + variant.runs]
    devices = list(dict.fromkeys(run.device for run in runs))
    if len(devices) > 1:
        return f"the runs used different devices ({formats.names(devices)})"
    if any(run.shared_device for run in runs):
        return "other jobs ran on the device at the same time"
    if len({run.threads for run in runs}) > 1:
        return "the runs used different numbers of threads"
    if not all(run.training_time_seconds for run in runs):
        return "a training time is zero"
    return None
