"""Intervals and tests for accuracies and their paired differences.

Works on arrays of right and wrong answers; knows nothing of rows, files or figures. The methods'
sources, and the simulation that shows their coverage, are in docs/statistics.md.

Shapes: `right` is bool [..., seeds, texts], `folds` int [texts]; see `noise`. Accuracies and
differences are fractions, not percent.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from statsmodels.stats.proportion import proportion_confint

from ablations.answers import noise
from ablations.answers.noise import Contrast, Floats, Folds, Prior, Right, Spread, Typical

CONFIDENCE = 0.95
ALPHA = 0.05
EQUIVALENCE_CONFIDENCE = 0.90  # two one-sided tests at 5% each
RUNS_FOR_NOISE = 2  # with one, nothing says how much runs differ


@dataclass(frozen=True)
class Paired:
    """What two rows' answers to the same texts say about their difference.

    Fields are arrays over repetitions, shape [...]. A difference is variant minus baseline.
    """

    texts: int
    runs: int
    lost: Floats  # share of answers that only the baseline has right, mean over seeds
    gained: Floats  # share that only the variant has right
    averaging: Floats  # see `noise.Contrast`
    spread: Spread

    @property
    def difference(self) -> Floats:
        """The difference in accuracy, mean over seeds."""
        return self.gained - self.lost

    @property
    def measures_noise(self) -> bool:
        """Whether interval and p-value include the noise of training."""
        return self.runs >= RUNS_FOR_NOISE


def wilson(accuracy: ArrayLike, texts: ArrayLike) -> tuple[Floats, Floats]:
    """Wilson's 95% score interval of an accuracy measured on so many texts.

    Of a mean over seeds too: seeds share the texts, so they do not add to their number.
    """
    low, high = proportion_confint(
        np.asarray(accuracy, float) * texts, texts, alpha=1 - CONFIDENCE, method="wilson"
    )
    return low, high


def mean_accuracy_interval(
    right: Right, prior: Prior | None = None, folds: Folds = None
) -> tuple[Floats, Floats]:
    """A 95% interval of a row's accuracy, from its right answers [..., seeds, texts].

    With several runs it counts texts and training: the variance of Wilson's, and the noise of
    runs as in `interval`. Of one run it is Wilson's own, and counts texts only.
    """
    found = noise.contrast(right[..., None, :, :], [1], folds)
    if not found.freedom:
        return wilson(found.mean, found.texts)
    spread = noise.spread(found, prior.rows if prior else None)

    def accepted(true: Floats) -> NDArray[np.bool_]:
        of_texts = found.averaging * true * (1 - true) / found.texts
        return _chance(found.mean - true, of_texts, spread) >= 1 - CONFIDENCE

    return _ends(found.mean, (0.0, 1.0), accepted)


def texts_alone(right: Right, folds: Folds = None) -> tuple[Floats, Floats]:
    """That interval without the noise of training: Wilson's, narrower where runs differ."""
    found = noise.contrast(right[..., None, :, :], [1], folds)
    return wilson(found.mean, found.texts / found.averaging)


def pair(
    baseline: Right, variant: Right, prior: Prior | None = None, folds: Folds = None
) -> Paired:
    """Compares two rows' right answers, bool [..., seeds, texts], paired on both.

    With one split, a reference, which has one answer for all seeds, may have one seed only.
    """
    alike = baseline.shape[-2] == variant.shape[-2]
    both = np.stack(np.broadcast_arrays(baseline, variant), -3)
    found = noise.contrast(both, [-1, 1], folds)
    typical = None
    if prior:
        typical = prior.pairs if alike or found.folds else prior.rows
    return paired(found, typical)


def paired(differences: Contrast, typical: Typical | None) -> Paired:
    """Of one difference between two rows, or of many at once: fields have the shape of those."""
    return Paired(
        texts=differences.texts,
        runs=differences.freedom + 1,
        lost=(differences.square - differences.mean) / 2,
        gained=(differences.square + differences.mean) / 2,
        averaging=differences.averaging,
        spread=noise.spread(differences, typical),
    )


def one_seed(lost: NDArray[np.int_], gained: NDArray[np.int_], texts: int) -> Paired:
    """The same from counts of texts, [...], that only one of two trained models gets right."""
    none = np.zeros(np.shape(lost))
    return Paired(texts, 1, lost / texts, gained / texts, none + 1, noise.none(none))


def _chance(distance: Floats, of_texts: Floats, spread: Spread) -> Floats:
    """P of a distance at least this large: the normal one, averaged over what runs may vary by."""
    variance = of_texts[..., None] + spread.variances
    score = np.divide(
        np.abs(distance)[..., None],
        np.sqrt(variance),
        out=np.where(distance == 0, 0, np.inf)[..., None] + np.zeros_like(variance),
        where=variance > 0,
    )
    return np.asarray((spread.chances * 2 * special.ndtr(-score)).sum(-1))


def _ends(
    inside: Floats, bounds: tuple[float, float], accepted: Callable[[Floats], NDArray[np.bool_]]
) -> tuple[Floats, Floats]:
    """How far the accepted values reach on both sides of one that is, within bounds."""

    def end(outside: Floats) -> Floats:
        low = inside
        for _ in range(50):  # bisection, to 1e-15
            middle = (low + outside) / 2
            holds = accepted(middle)
            low, outside = np.where(holds, middle, low), np.where(holds, outside, middle)
        return low

    return end(np.full_like(inside, bounds[0])), end(np.full_like(inside, bounds[1]))


def interval(paired: Paired, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """An interval of the difference: Tango's score interval for paired proportions.

    With several runs the chance of a distance is averaged over what their variance may be. Not
    adjusted for other comparisons.
    """

    def accepted(true: Floats) -> NDArray[np.bool_]:
        return score_p(paired, true) >= 1 - confidence

    return _ends(paired.difference, (-1.0, 1.0), accepted)


def score_p(paired: Paired, true: ArrayLike) -> Floats:
    """The two-sided p-value of a true difference, by the test that belongs to the interval."""
    supposed = np.broadcast_to(np.asarray(true, float), paired.difference.shape)
    of_text = _tango_variance(paired.lost, paired.gained, supposed)
    of_texts = paired.averaging * of_text / paired.texts
    return _chance(paired.difference - supposed, of_texts, paired.spread)


def p_value(paired: Paired) -> Floats:
    """The two-sided p-value of "no difference".

    With one run McNemar's exact test; with more, the test that belongs to the interval, which
    counts the noise of training.
    """
    if not paired.measures_noise:
        lost, gained = (np.rint(share * paired.texts) for share in (paired.lost, paired.gained))
        p = 2 * stats.binom.cdf(np.minimum(lost, gained), lost + gained, 0.5)
        return np.asarray(np.minimum(1, p))
    return score_p(paired, 0.0)


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
    without: Right, changed: Right, prior: Prior | None = None, folds: Folds = None
) -> Effect:
    """What a change does on average over pairs of rows.

    Right answers are bool [..., pairs, seeds, texts].

    A text's value is its mean gain over pairs and seeds. The interval is Bonett and Price's for
    paired proportions (2012), which adds one text that is won and one that is lost, with these
    means in place of −1, 0 and 1, and with several runs their noise, as in `interval`. Test and
    interval belong together.
    """
    pairs = without.shape[-3]
    weights = np.repeat([-1 / pairs, 1 / pairs], pairs)
    found = noise.contrast(np.concatenate([without, changed], -3), weights, folds)
    texts, difference = found.texts, found.mean
    middle = difference * texts / (texts + 2)
    of_texts = (found.text_square * texts + 2) / (texts + 2) - middle**2
    of_texts = of_texts / (texts + 2)
    spread = noise.spread(found, prior.pairs if prior else None, 1 / pairs)

    def accepted(true: Floats) -> NDArray[np.bool_]:
        return _chance(middle - true, of_texts, spread) >= 1 - CONFIDENCE

    low, high = _ends(middle, (-1.0, 1.0), accepted)
    return Effect(difference, low, high, _chance(middle, of_texts, spread))


def equivalent(paired: Paired, margin: float) -> NDArray[np.bool_]:
    """Whether the two are shown to differ by less than `margin`, whichever is better.

    Two one-sided tests at 5%: the 90% interval lies inside the margin.
    """
    outside = [score_p(paired, end) < 1 - EQUIVALENCE_CONFIDENCE for end in (-margin, margin)]
    return np.asarray((np.abs(paired.difference) < margin) & outside[0] & outside[1])


def can_show_equivalence(texts: int, margin: float, seeds: int) -> bool:
    """Whether any outcome on so many texts, each answered with so many seeds, shows it.

    The narrowest interval is that of rows that hardly differ, where each seed errs on texts of its
    own and the noise of training is nothing.
    """
    none = np.zeros((), int)
    own = np.asarray(1 / seeds)
    return bool(equivalent(replace(one_seed(none, none, texts), averaging=own), margin))


def _tango_variance(lost: Floats, gained: Floats, difference: Floats) -> Floats:
    """One text's variance under a given difference (Tango 1998, equations 5 and 6).

    2 q + Δ (1 − Δ), q the likeliest share of lost texts given that gained − lost is Δ.
    """
    half = (lost + gained - (2 - gained + lost) * difference) / 4
    root = half**2 + lost * difference * (1 - difference) / 2
    likeliest = half + np.sqrt(np.maximum(root, 0))
    return np.asarray(np.maximum(2 * likeliest + difference * (1 - difference), 0))
