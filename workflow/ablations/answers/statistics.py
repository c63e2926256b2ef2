"""Intervals and tests for accuracies and their paired differences.

Works on arrays of right and wrong answers; knows nothing of rows, files or figures. The methods'
sources, and the simulation that shows their coverage, are in docs/statistics.md.

Shapes: `right` is bool [..., seeds, messages]; leading axes are independent repetitions, which is
what makes the simulation fast. Accuracies and differences are fractions, not percent.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95
ALPHA = 0.05
EQUIVALENCE_CONFIDENCE = 0.90  # two one-sided tests at 5% each
SEEDS_FOR_NOISE = 3  # with fewer, the spread between seeds says nothing useful

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RunNoise:
    """How much a run's accuracy varies between seeds, pooled over the rows of a study.

    From three seeds a variance is known poorly, and Holm's method asks for small p-values, where
    that counts most. Pooled over rows it is known well: no comparison may count less than this.
    """

    variance: Floats  # of one run's accuracy, beyond what the messages explain, [...]
    freedom: int  # degrees of freedom: rows × (seeds − 1)


@dataclass(frozen=True)
class Spread:
    """What makes a mean over seeds and messages uncertain. Fields have the shape [...]."""

    # Variance of a message's value averaged over seeds, as a multiple of one seed's: 1/seeds
    # where seeds err on different messages, 1 where they err on the same ones.
    averaging: Floats
    seed_variance: Floats  # between seeds, beyond what the messages explain
    seed_mean_square: Floats  # between seeds, what the messages explain within
    seed_freedom: Floats  # degrees of freedom of these two


@dataclass(frozen=True)
class Paired:
    """What two rows' answers to the same messages say about their difference.

    Fields are arrays over repetitions, shape [...]. A difference is variant minus baseline.
    """

    messages: int
    seeds: int
    lost: Floats  # share of answers that only the baseline has right, mean over seeds
    gained: Floats  # share that only the variant has right
    exact_p: Floats | None  # of the sign-flip test over messages, where the noise is not measured
    spread: Spread

    @property
    def difference(self) -> Floats:
        """The difference in accuracy, mean over seeds."""
        return self.gained - self.lost

    @property
    def measures_noise(self) -> bool:
        """Whether interval and p-value include the noise of training."""
        return self.seeds >= SEEDS_FOR_NOISE


def wilson(accuracy: ArrayLike, messages: int) -> tuple[Floats, Floats]:
    """Wilson's 95% score interval of an accuracy measured on so many messages.

    Of a mean over seeds too: seeds share the messages, so they do not add to their number.
    """
    low, high = proportion_confint(
        np.asarray(accuracy, float) * messages, messages, alpha=1 - CONFIDENCE, method="wilson"
    )
    return low, high


def mean_accuracy_interval(
    right: NDArray[np.bool_], noise: RunNoise | None = None
) -> tuple[Floats, Floats]:
    """A 95% interval of a row's accuracy, from its right answers [..., seeds, messages].

    From three seeds on it counts messages and training: Wilson's, with the variance and the
    degrees of freedom of `interval`. With fewer it is Wilson's own, and counts messages only.
    """
    seeds, messages = right.shape[-2:]
    accuracy = right.mean((-2, -1))
    if seeds < SEEDS_FOR_NOISE:
        return wilson(accuracy, messages)
    spread = _spread(right.astype(np.int8), noise, weight=1)
    of_seeds = spread.seed_variance / seeds
    total = spread.averaging * accuracy * (1 - accuracy) / messages + of_seeds
    squared = stats.t.ppf((1 + CONFIDENCE) / 2, _freedom(total, spread, seeds)) ** 2
    # The ends p solve (accuracy − p)² = t² (f p (1 − p) / n + s² / S).
    shrink = squared * spread.averaging / messages
    middle = (accuracy + shrink / 2) / (1 + shrink)
    constant = (accuracy**2 - squared * of_seeds) / (1 + shrink)
    half = np.sqrt(np.maximum(middle**2 - constant, 0))
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def run_noise(right: NDArray[np.bool_]) -> RunNoise | None:
    """The noise of training in a study's right answers, bool [..., rows, seeds, messages].

    None where there are too few seeds to measure it.
    """
    rows, seeds, messages = right.shape[-3:]
    if seeds < SEEDS_FOR_NOISE:
        return None
    between_seeds, _, rest = _mean_squares(right.astype(np.int8))
    of_rows = (between_seeds - rest) / messages
    return RunNoise(_without_rounding(np.maximum(of_rows.mean(-1), 0)), rows * (seeds - 1))


def pair(
    baseline: NDArray[np.bool_], variant: NDArray[np.bool_], noise: RunNoise | None = None
) -> Paired:
    """Compares two rows' right answers, bool [..., seeds, messages], paired on both.

    The variance between runs is the larger of these two rows' own and that of the study.
    """
    difference = variant.astype(np.int8) - baseline.astype(np.int8)
    seeds, messages = difference.shape[-2:]
    if seeds == 1:
        return one_seed((difference < 0).sum((-2, -1)), (difference > 0).sum((-2, -1)), messages)
    noisy = seeds >= SEEDS_FOR_NOISE
    return Paired(
        messages=messages,
        seeds=seeds,
        lost=(difference < 0).mean((-2, -1)),
        gained=(difference > 0).mean((-2, -1)),
        exact_p=None if noisy else sign_flip_p(difference.sum(-2)),
        spread=_spread(difference, noise, weight=2),
    )


def one_seed(lost: NDArray[np.int_], gained: NDArray[np.int_], messages: int) -> Paired:
    """The same from counts of messages, [...], that only one of two trained models gets right."""
    p = 2 * stats.binom.cdf(np.minimum(lost, gained), lost + gained, 0.5)
    none = np.zeros(np.shape(lost))
    return Paired(
        messages=messages,
        seeds=1,
        lost=lost / messages,
        gained=gained / messages,
        exact_p=np.asarray(np.minimum(1, p)),  # McNemar's
        spread=Spread(none + 1, none, none, none),
    )


def _spread(values: NDArray[Any], noise: RunNoise | None, weight: float) -> Spread:
    """Of values between −1 and 1, [..., seeds, messages], sums over rows.

    `weight` is the sum of the squares of the rows' coefficients: 1 for one row, 2 for a difference.
    """
    seeds, messages = values.shape[-2:]
    between_seeds, between_messages, rest = _mean_squares(values)
    of_message, rest = np.maximum(between_messages - rest, 0) / seeds, np.maximum(rest, 0)
    total = of_message + rest
    averaging = np.divide(
        of_message + rest / seeds, total, out=np.ones_like(total), where=total > 0
    )
    if seeds < SEEDS_FOR_NOISE:
        none = np.zeros_like(total)
        return Spread(averaging, none, none, none)
    own = np.maximum(between_seeds - rest, 0) / messages
    floor = np.zeros_like(own) if noise is None else weight * noise.variance
    freedom = seeds - 1 if noise is None else noise.freedom
    return Spread(
        averaging=averaging,
        seed_variance=np.maximum(own, floor),
        seed_mean_square=np.where(own < floor, floor + rest / messages, between_seeds / messages),
        seed_freedom=np.where(own < floor, freedom, seeds - 1.0),
    )


def _mean_squares(values: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Two-way analysis of variance of [..., seeds, messages]: seeds, messages, what is left.

    Of one message nothing is left to tell its part from the seeds': all is the seeds'.
    """
    seeds, messages = values.shape[-2:]
    mean = values.mean((-2, -1))
    of_seeds = messages * ((values.mean(-1) - mean[..., None]) ** 2).sum(-1)
    of_messages = seeds * ((values.mean(-2) - mean[..., None]) ** 2).sum(-1)
    total = (values * values).sum((-2, -1), dtype=float) - seeds * messages * mean**2
    others = max(messages - 1, 1)
    rest = (total - of_seeds - of_messages) / ((seeds - 1) * others)
    found = of_seeds / (seeds - 1), of_messages / others, rest
    between_seeds, between_messages, rest = (_without_rounding(each) for each in found)
    return between_seeds, between_messages, rest


def _without_rounding(variance: Floats) -> Floats:
    """Zero where a variance is only what rounding leaves, so that it has no degrees of freedom."""
    return np.where(np.abs(variance) < 1e-12, 0.0, variance)


def interval(paired: Paired, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """An interval of the difference: Tango's score interval for paired proportions.

    With several seeds the variance gains the spread between seeds, and the normal quantile becomes
    Student's with Satterthwaite's degrees of freedom. Not adjusted for other comparisons.
    """
    quantile = stats.t.ppf((1 + confidence) / 2, _degrees_of_freedom(paired))

    def limit(end: float) -> Floats:
        inside, outside = paired.difference, np.full_like(paired.difference, end)
        for _ in range(50):  # bisection, to 1e-15
            middle = (inside + outside) / 2
            distance = (paired.difference - middle) ** 2
            accepted = distance <= quantile**2 * _variance(paired, middle)
            inside = np.where(accepted, middle, inside)
            outside = np.where(accepted, outside, middle)
        return inside

    return limit(-1.0), limit(1.0)


def p_value(paired: Paired) -> Floats:
    """The two-sided p-value of "no difference".

    Exact over messages with one or two seeds (McNemar's test, and its extension to two); with
    more, the score test that belongs to the interval, which counts the noise of training.
    """
    if paired.exact_p is not None:
        return paired.exact_p
    variance = _variance(paired, np.zeros_like(paired.difference))
    score = np.divide(
        np.abs(paired.difference),
        np.sqrt(variance),
        out=np.zeros_like(variance),
        where=variance > 0,
    )
    return np.asarray(2 * stats.t.sf(score, _degrees_of_freedom(paired)))


def sign_flip_p(net: NDArray[np.int_]) -> Floats:
    """Exact two-sided p-value, if each message's net gain were as likely a loss.

    `net` [..., messages] is the gain summed over seeds; where all are −1, 0 or 1 this is the exact
    McNemar test. Nothing in it concerns seeds, so it speaks of these trained models only.
    """
    largest = int(np.abs(net).max(initial=1))
    counts = np.stack([(np.abs(net) == size).sum(-1) for size in range(1, largest + 1)], -1)
    tails = map(_flip_tail, counts.reshape(-1, largest), net.sum(-1).ravel())
    return np.array(list(tails)).reshape(net.shape[:-1])


def _flip_tail(counts: NDArray[np.int_], total: int) -> float:
    """P(|sum of randomly signed sizes| ≥ |total|), `counts[k]` messages having size k + 1."""
    chances, reach = np.ones(1), 0
    for size, count in enumerate(counts, start=1):
        spread = np.zeros(2 * size * count + 1)
        spread[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances, reach = np.convolve(chances, spread), reach + size * count
    sums = np.arange(-reach, reach + 1)
    return min(1.0, float(chances[np.abs(sums) >= abs(total)].sum()))


def holm(p_values: ArrayLike, number: int) -> Floats:
    """P-values [..., comparisons] adjusted by Holm's method for so many comparisons of a study.

    Where some of these are not known yet, they count as 1: what they turn out to be can only make
    an adjusted p-value smaller.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p, -1)
    steps = (number - np.arange(p.shape[-1])) * np.take_along_axis(p, order, -1)
    adjusted = np.empty_like(p)
    np.put_along_axis(adjusted, order, np.maximum.accumulate(steps, -1), -1)
    return np.minimum(adjusted, 1)


@dataclass(frozen=True)
class Effect:
    """A difference in accuracy averaged over pairs of rows, its 95% interval, and p of none."""

    difference: Floats
    low: Floats
    high: Floats
    p: Floats


def average_effect(
    without: NDArray[np.bool_], changed: NDArray[np.bool_], noise: RunNoise | None = None
) -> Effect:
    """What a change does on average over pairs of rows.

    Right answers are bool [..., pairs, seeds, messages].

    A message's value is its mean gain over pairs and seeds. The interval is Bonett and Price's for
    paired proportions (2012), which adds one message that is won and one that is lost, with these
    means in place of −1, 0 and 1, and from three seeds on with the noise of training, as in
    `interval`. Test and interval belong together.
    """
    values = changed.mean(-3) - without.mean(-3)
    pairs, (seeds, messages) = without.shape[-3], values.shape[-2:]
    of_message = values.mean(-2)
    difference = of_message.mean(-1)
    middle = difference * messages / (messages + 2)
    variance = ((of_message**2).sum(-1) + 2) / (messages + 2) - middle**2
    total = variance / (messages + 2)
    freedom = np.full_like(total, np.inf)
    if seeds >= SEEDS_FOR_NOISE:
        spread = _spread(values, noise, weight=2 / pairs)
        total = total + spread.seed_variance / seeds
        freedom = _freedom(total, spread, seeds)
    error = np.sqrt(total)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error
    return Effect(
        difference=difference,
        low=np.maximum(middle - half, -1),
        high=np.minimum(middle + half, 1),
        p=2 * stats.t.sf(np.abs(middle) / error, freedom),
    )


def equivalent(paired: Paired, margin: float) -> NDArray[np.bool_]:
    """Whether the two are shown to differ by less than `margin`, whichever is better.

    Two one-sided tests at 5%: the 90% interval lies inside the margin.
    """
    low, high = interval(paired, EQUIVALENCE_CONFIDENCE)
    return np.asarray((-margin < low) & (high < margin))


def can_show_equivalence(messages: int, margin: float, seeds: int) -> bool:
    """Whether any outcome on so many messages shows it.

    The narrowest interval is that of rows that hardly differ, where each seed errs on messages of
    its own and the noise of training is nothing.
    """
    none = np.zeros((), int)
    equal = one_seed(none, none, messages)
    own = replace(equal.spread, averaging=np.asarray(1 / seeds))
    return bool(equivalent(replace(equal, spread=own), margin))


def _variance(paired: Paired, difference: Floats) -> Floats:
    """Variance of the measured difference if the true one were `difference`."""
    of_message = _tango_variance(paired.lost, paired.gained, difference)
    spread = paired.spread
    return spread.averaging * of_message / paired.messages + spread.seed_variance / paired.seeds


def _tango_variance(lost: Floats, gained: Floats, difference: Floats) -> Floats:
    """One message's variance under a given difference (Tango 1998, equations 5 and 6).

    2 q + Δ (1 − Δ), q the likeliest share of lost messages given that gained − lost is Δ.
    """
    half = (lost + gained - (2 - gained + lost) * difference) / 4
    root = half**2 + lost * difference * (1 - difference) / 2
    likeliest = half + np.sqrt(np.maximum(root, 0))
    return np.asarray(np.maximum(2 * likeliest + difference * (1 - difference), 0))


def _degrees_of_freedom(paired: Paired) -> Floats:
    total = _variance(paired, paired.difference)
    if not paired.measures_noise:
        return np.full_like(total, np.inf)
    return _freedom(total, paired.spread, paired.seeds)


def _freedom(total: Floats, spread: Spread, seeds: int) -> Floats:
    """Satterthwaite's, as Hillis (2007) has them for two crossed random factors."""
    of_seeds = spread.seed_mean_square / seeds
    ratio = np.divide(total, of_seeds, out=np.full_like(total, np.inf), where=of_seeds > 0)
    return np.asarray(np.maximum(ratio**2, 1) * spread.seed_freedom)
