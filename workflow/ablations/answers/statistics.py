"""Intervals and tests for accuracies and their paired differences.

Works on arrays of right and wrong answers; knows nothing of rows, files or figures. The methods'
sources, and the simulation that shows their coverage, are in docs/statistics.md.

Shapes: `right` is bool [..., seeds, messages]; leading axes are independent repetitions, which is
what makes the simulation fast. Accuracies and differences are fractions, not percent.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
SEEDS_FOR_NOISE = 3  # with fewer, the spread between seeds says nothing useful

Floats = NDArray[np.float64]


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
    # Variance of a message's difference averaged over seeds, as a multiple of one seed's: 1/seeds
    # where seeds err on different messages, 1 where they err on the same ones.
    averaging: Floats
    seed_variance: Floats  # of the difference between seeds, beyond what the messages explain
    seed_mean_square: Floats  # variance of the seeds' differences, what the messages explain within

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


def pair(baseline: NDArray[np.bool_], variant: NDArray[np.bool_]) -> Paired:
    """Compares two rows' right answers, bool [..., seeds, messages], paired on both."""
    difference = variant.astype(np.int8) - baseline.astype(np.int8)
    seeds, messages = difference.shape[-2:]
    if seeds == 1:
        return one_seed((difference < 0).sum((-2, -1)), (difference > 0).sum((-2, -1)), messages)
    between_seeds, between_messages, rest = _mean_squares(difference)
    of_message, rest = np.maximum(between_messages - rest, 0) / seeds, np.maximum(rest, 0)
    total = of_message + rest
    noisy = seeds >= SEEDS_FOR_NOISE
    return Paired(
        messages=messages,
        seeds=seeds,
        lost=(difference < 0).mean((-2, -1)),
        gained=(difference > 0).mean((-2, -1)),
        exact_p=None if noisy else sign_flip_p(difference.sum(-2)),
        averaging=np.divide(
            of_message + rest / seeds, total, out=np.ones_like(total), where=total > 0
        ),
        seed_variance=np.maximum(between_seeds - rest, 0) / messages * noisy,
        seed_mean_square=between_seeds / messages * noisy,
    )


def one_seed(lost: NDArray[np.int_], gained: NDArray[np.int_], messages: int) -> Paired:
    """The same from counts of messages, [...], that only one of two trained models gets right."""
    p = 2 * stats.binom.cdf(np.minimum(lost, gained), lost + gained, 0.5)
    return Paired(
        messages=messages,
        seeds=1,
        lost=lost / messages,
        gained=gained / messages,
        exact_p=np.asarray(np.minimum(1, p)),  # McNemar's
        averaging=np.ones(np.shape(lost)),
        seed_variance=np.zeros(np.shape(lost)),
        seed_mean_square=np.zeros(np.shape(lost)),
    )


def _mean_squares(difference: NDArray[np.int8]) -> tuple[Floats, Floats, Floats]:
    """Two-way analysis of variance of [..., seeds, messages]: seeds, messages, what is left."""
    seeds, messages = difference.shape[-2:]
    mean = difference.mean((-2, -1))
    of_seeds = messages * ((difference.mean(-1) - mean[..., None]) ** 2).sum(-1)
    of_messages = seeds * ((difference.mean(-2) - mean[..., None]) ** 2).sum(-1)
    total = (difference != 0).sum((-2, -1)) - seeds * messages * mean**2
    rest = (total - of_seeds - of_messages) / ((seeds - 1) * (messages - 1))
    return of_seeds / (seeds - 1), of_messages / (messages - 1), rest


def interval(paired: Paired) -> tuple[Floats, Floats]:
    """A 95% interval of the difference: Tango's score interval for paired proportions.

    With several seeds the variance gains the spread between seeds, and the normal quantile becomes
    Student's with Satterthwaite's degrees of freedom. Not adjusted for other comparisons.
    """
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, _degrees_of_freedom(paired))

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
    """Exact two-sided p-value, had each message's net gain been as likely a loss.

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


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's method."""
    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def messages_needed(paired: Paired, difference: float, comparisons: int) -> int | None:
    """How many test messages would show a true difference of this size, with the same seeds.

    Four times in five, at Holm's strictest level among so many comparisons (Connor's sample size,
    with the noise of training added). None if no number would, because that noise is too large.
    `paired` holds one repetition.
    """
    size = abs(difference)
    discordant = max(float(paired.lost + paired.gained), size)
    noise = float(paired.seed_variance) / paired.seeds
    averaging = float(paired.averaging)
    level, power = 1 - ALPHA / comparisons / 2, stats.norm.ppf(POWER)
    # The exact tests reject nothing where fewer messages than this are discordant.
    fewest = 0 if paired.measures_noise else math.log2(2 * comparisons / ALPHA)

    def shown(messages: float) -> bool:
        if messages * discordant < fewest:
            return False
        under_null = averaging * discordant / messages + noise
        under_size = averaging * (discordant - size**2) / messages + noise
        freedom = math.inf
        if paired.measures_noise and noise > 0:
            explained = averaging * discordant / messages / paired.seeds
            freedom = (paired.seeds - 1) * (under_null / (noise + explained)) ** 2
        needed = stats.t.ppf(level, freedom) * math.sqrt(under_null) + power * math.sqrt(under_size)
        return bool(needed <= size)

    if size == 0 or not shown(1e9):
        return None
    low, high = 0, 1
    while not shown(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def _variance(paired: Paired, difference: Floats) -> Floats:
    """Variance of the measured difference if the true one were `difference`."""
    of_message = _tango_variance(paired.lost, paired.gained, difference)
    return paired.averaging * of_message / paired.messages + paired.seed_variance / paired.seeds


def _tango_variance(lost: Floats, gained: Floats, difference: Floats) -> Floats:
    """One message's variance under a given difference (Tango 1998, equations 5 and 6).

    2 q + Δ (1 − Δ), q the likeliest share of lost messages given that gained − lost is Δ.
    """
    half = (lost + gained - (2 - gained + lost) * difference) / 4
    root = half**2 + lost * difference * (1 - difference) / 2
    likeliest = half + np.sqrt(np.maximum(root, 0))
    return np.asarray(np.maximum(2 * likeliest + difference * (1 - difference), 0))


def _degrees_of_freedom(paired: Paired) -> Floats:
    """Satterthwaite's, as Hillis (2007) has them for two crossed random factors."""
    if not paired.measures_noise:
        return np.full_like(paired.difference, np.inf)
    total = _variance(paired, paired.difference)
    of_seeds = paired.seed_mean_square / paired.seeds
    ratio = np.divide(total, of_seeds, out=np.full_like(total, np.inf), where=of_seeds > 0)
    return np.asarray(np.maximum(ratio**2, 1) * (paired.seeds - 1))
