"""What runs differ by beyond what their texts explain: measured, and moderated by a study's rows.

A run is a seed where there is one split, and a fold where there are several. Works on arrays of
right answers; docs/statistics.md has the methods, their sources, and a simulation of them.

Shapes: `right` is bool [..., rows, seeds, texts]; leading axes are independent repetitions, which
is what makes the simulation fast. `folds` is int [texts], which fold tests each text; None, or all
equal, with one split.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]
Right = NDArray[np.bool_]
Folds = NDArray[np.int_] | None

NODES = 48  # over which a p-value is averaged, see `Spread`


@dataclass(frozen=True)
class Contrast:
    """Weighted sums of rows' accuracies, and their analysis of variance.

    Fields are [..., sums], of one sum [...].

    With the weights −1 and 1 a sum is the difference between two rows.
    """

    texts: int
    folds: bool  # whether they are what differs from run to run
    runs: float  # how many; folds of unequal size count as somewhat fewer
    freedom: int  # degrees of freedom between runs
    grain: float  # a run's mean is a multiple of it
    mean: Floats
    square: Floats  # mean square of an answer's value
    text_square: Floats  # mean square of a text's value, which is its mean over seeds
    # Variance of a text's mean over seeds, as a multiple of one seed's: 1/seeds where seeds err on
    # different texts, 1 where they err on the same ones.
    averaging: Floats
    mean_square: Floats  # between the means of runs
    explained: Floats  # the part of it that the texts explain


def contrast(right: Right, weights: ArrayLike, folds: Folds = None) -> Contrast:
    """The sums of rows with these weights, [sums, rows], or the one sum with weights [rows].

    With one split texts and seeds are crossed, and seeds are the runs. With folds, texts are nested
    in them, they are the runs, and a text's value is its mean over seeds.
    """
    weights = np.asarray(weights, float)
    seeds, texts = right.shape[-2:]
    members = _members(folds, texts)
    sizes = members.sum(0)
    exact = np.float32 if seeds**2 * texts < 2**24 else np.float64
    answers: NDArray[np.floating] = right.astype(exact)
    cells = _sums(weights, answers @ members)  # [..., sums, seeds, folds]
    squares = _square(weights, answers)
    of_texts = _square(weights, answers.sum(-2, keepdims=True)) / seeds
    of_folds = (cells.sum(-2) ** 2 / (seeds * sizes)).sum(-1)
    within = max(texts - len(sizes), 1)
    between = _without_rounding((of_texts - of_folds) / within)
    rest = squares - of_texts - (cells**2 / sizes).sum((-2, -1)) + of_folds
    rest = np.maximum(_without_rounding(rest / (within * max(seeds - 1, 1))), 0)
    of_text = np.maximum(between - rest, 0) / seeds
    mean_of_text, total = of_text + rest / seeds, of_text + rest
    mean = cells.sum((-2, -1)) / (seeds * texts)
    if len(sizes) == 1:
        runs, run_texts, explained = float(seeds), float(texts), rest
        means, weight = cells[..., 0] / texts, np.ones(seeds)
    else:
        runs = texts**2 / float((sizes**2).sum())
        run_texts = (texts - texts / runs) / (len(sizes) - 1)
        explained = mean_of_text
        means, weight = cells.sum(-2) / (seeds * sizes), sizes / run_texts
    freedom = means.shape[-1] - 1
    apart = (weight * (means - mean[..., None]) ** 2).sum(-1) / max(freedom, 1)
    return Contrast(
        texts=texts,
        folds=len(sizes) > 1,
        runs=runs,
        freedom=freedom,
        grain=1 / run_texts,
        mean=mean,
        square=squares / (seeds * texts),
        text_square=of_texts / (seeds * texts),
        averaging=np.divide(mean_of_text, total, out=np.ones_like(total), where=total > 0),
        mean_square=_without_rounding(apart),
        explained=explained / run_texts,
    )


def _members(folds: Folds, texts: int) -> NDArray[np.float32]:
    """Which fold each text is in, [texts, folds]; folds without a text are left out."""
    indices = np.zeros(texts, int) if folds is None else np.unique(folds, return_inverse=True)[1]
    return np.eye(indices.max(initial=0) + 1, dtype=np.float32)[indices]


def _sums(weights: Floats, of_rows: NDArray[np.floating]) -> Floats:
    """Weighted sums of what rows have, from [..., rows, seeds, folds]."""
    flat = weights @ of_rows.reshape(*of_rows.shape[:-2], -1)
    return np.asarray(flat.reshape(*flat.shape[:-1], *of_rows.shape[-2:]))


def _square(weights: Floats, of_rows: NDArray[np.floating]) -> Floats:
    """The sum of squares of weighted sums of rows, from [..., rows, seeds, texts]."""
    flat = of_rows.reshape(*of_rows.shape[:-2], -1)
    products = (flat @ np.swapaxes(flat, -1, -2)).astype(float)  # [..., rows, rows]
    return np.asarray(((weights @ products) * weights).sum(-1))


def _without_rounding(variance: Floats) -> Floats:
    """Zero where a variance is only what rounding leaves."""
    return np.where(np.abs(variance) < 1e-12, 0.0, variance)


@dataclass(frozen=True)
class Typical:
    """The scaled inverse χ² distribution from which a variance between runs comes. Fields [...]."""

    variance: Floats  # between runs, beyond what texts explain
    freedom: Floats  # 0: nothing is known


@dataclass(frozen=True)
class Prior:
    """What a study's rows say of how much runs differ, before one row or two are looked at."""

    rows: Typical  # of one row's accuracy
    pairs: Typical  # of the difference between two
    average: Floats  # mean over rows of the variance between their runs, [...]


def prior(right: Right, folds: Folds = None) -> Prior | None:
    """Fitted to a study's right answers; None with one run, which cannot differ.

    For differences it is fitted to all pairs of rows, not to the rows: what runs share, such as a
    fold's texts, is in no difference. Rows that answer alike count once.
    """
    rows = right.shape[-3]
    of_rows = contrast(right, np.eye(rows), folds)
    if not of_rows.freedom:
        return None
    one, other = np.triu_indices(rows, 1)
    weights = np.zeros((len(one), rows))
    weights[range(len(one)), one], weights[range(len(one)), other] = -1, 1
    of_pairs = contrast(right, weights, folds)
    first = np.ones(of_rows.mean.shape, bool)  # of the rows that answer like it
    for index in range(len(one)):
        alike = first[..., one[index]] & (of_pairs.square[..., index] == 0)
        first[..., other[index]] &= ~alike
    independent = first.sum(-1)
    return Prior(
        rows=_typical(of_rows, first, independent),
        pairs=_typical(of_pairs, first[..., one] & first[..., other], independent - 1),
        average=np.maximum((of_rows.mean_square - of_rows.explained).mean(-1), 0),
    )


def _typical(found: Contrast, counted: NDArray[np.bool_], independent: NDArray[np.int_]) -> Typical:
    """Fitted to mean squares by the moments of their logarithms, as limma does (Smyth 2004).

    The degrees of freedom are at most those that `independent` sums have, less the own ones.
    """
    own = found.freedom
    number = np.maximum(counted.sum(-1), 1)
    # a run's mean is rounded to its grain, so that no logarithm is that of zero
    squares = found.mean_square + found.grain**2 / 12

    def logarithms(variance: Floats) -> Floats:
        """Of each sum's mean square as a multiple of what this variance gives, unbiased."""
        expected = variance[..., None] + found.explained + found.grain**2 / 12
        return np.where(counted, np.log(squares / expected) - _mean_log(own), 0.0)

    def solve(mean: Floats) -> Floats:
        """The variance under which the logarithms have this mean; 0 if it would be less."""
        low = np.zeros(number.shape)
        high = 1000 * squares.max(-1, initial=0)
        for _ in range(60):  # bisection
            middle = (low + high) / 2
            above = logarithms(middle).sum(-1) / number > mean
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.where(high < 1e-12, 0.0, high)

    scattered = logarithms(solve(np.zeros(number.shape)))
    scattered = np.where(
        counted, scattered - scattered.sum(-1, keepdims=True) / number[..., None], 0
    )
    variance = (scattered**2).sum(-1) / np.maximum(number - 1, 1) - special.polygamma(1, own / 2)
    most = np.maximum(independent - 1, 0.0) * own
    freedom = np.minimum(2 * _inverse_trigamma(variance), most)
    known = np.where(freedom > 0, freedom, 1.0)
    differ = (found.mean_square > 0).any(-1)  # or else rounding is all there is
    return Typical(np.where(differ, solve(-_mean_log(known)), 0.0), freedom)


def _mean_log(freedom: Floats | float) -> Floats:
    """The mean of the logarithm of a χ² divided by its degrees of freedom."""
    return np.asarray(special.digamma(np.divide(freedom, 2)) - np.log(np.divide(freedom, 2)))


def _inverse_trigamma(value: Floats) -> Floats:
    """By Newton's method, as in limma; infinite where the value is not above zero."""
    target = np.maximum(value, 1e-7)
    found = 0.5 + 1 / target
    for _ in range(20):
        trigamma = special.polygamma(1, found)
        found = found + trigamma * (1 - trigamma / target) / special.polygamma(2, found)
    return np.where(value > 1e-7, found, np.inf)


@dataclass(frozen=True)
class Spread:
    """What a mean over runs and texts varies by, beside its texts. Fields are [..., nodes].

    The variance between runs is known only by a distribution: `variances` of the mean from its
    noise alone, and how likely each is.
    """

    variances: Floats
    chances: Floats


def none(like: Floats) -> Spread:
    """That of one run, whose noise is not measured."""
    return Spread(np.zeros((*like.shape, 1)), np.ones((*like.shape, 1)))


def spread(found: Contrast, typical: Typical | None, scale: float = 1.0) -> Spread:
    """The moderated variance of contrasts: the mean of own and typical, by degrees of freedom.

    `scale` turns the typical variance into that of such a sum. The mean square is that of a scaled
    inverse χ², as in Smyth (2004); what texts explain of it is taken off, and is counted with them.
    """
    if not found.freedom:
        return none(found.mean)
    weight = np.asarray(0.0 if typical is None else typical.freedom)
    expected = np.asarray(0.0 if typical is None else scale * typical.variance)
    freedom = np.broadcast_to(weight + found.freedom, found.mean.shape)
    moderated = (
        weight * (expected + found.explained) + found.freedom * found.mean_square
    ) / freedom
    lowest, highest = (special.gammaincinv(freedom / 2, tail) for tail in (1e-8, 1 - 1e-12))
    at = np.linspace(np.log(lowest), np.log(highest), NODES, axis=-1)  # of half a χ²
    logarithm = freedom[..., None] / 2 * at - np.exp(at)
    density = np.exp(logarithm - logarithm.max(-1, keepdims=True))
    variances = (moderated * freedom / 2)[..., None] / np.exp(at) - found.explained[..., None]
    return Spread(
        variances=np.maximum(variances, 0) / found.runs,
        chances=density / density.sum(-1, keepdims=True),
    )
