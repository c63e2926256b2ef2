"""How large a difference must be for a study to show it. docs/statistics.md has the sources."""

from dataclasses import replace

import numpy as np
from scipy import special, stats

from ablations.answers.statistics import ALPHA, Paired

POWER = 0.8  # how often it is to be shown


def smallest_shown(paired: Paired, comparisons: int) -> float | None:
    """The smallest true difference that this study would show four times in five.

    At the discordance seen, the noise of training seen, and the strictest level that Holm's method
    asks of so many comparisons. None where no difference would be shown. `paired` holds one
    repetition.

    With one run this is the power of the exact McNemar test, summed over every outcome; with more
    it is Connor's normal approximation (1987), averaged over what runs may vary by.
    """
    level = ALPHA / comparisons
    shown = _one_seed_power if not paired.measures_noise else _approximate_power
    if shown(paired, 1.0, level) < POWER:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if shown(paired, middle, level) >= POWER else (middle, high)
    return high


def with_folds(paired: Paired, texts: int, folds: int) -> Paired:
    """What so many folds, which test all these texts once, would say of two rows of one split.

    If rows disagreed as often on the other texts, and folds differed as seeds do here. One seed
    says nothing of that: then it is of the texts alone.
    """
    variances = paired.spread.variances * paired.runs / folds
    spread = replace(paired.spread, variances=variances)
    return replace(paired, texts=texts, averaging=np.ones_like(paired.averaging), spread=spread)


def _discordance(paired: Paired, size: float) -> float:
    """The share seen; a difference of this size needs at least as much."""
    return max(float(paired.lost + paired.gained), size)


def _one_seed_power(paired: Paired, size: float, level: float) -> float:
    """How often McNemar's exact test gives p < level where the true difference is `size`."""
    share = _discordance(paired, size)
    # Numbers of discordant texts; those outside have a chance below 1e-9 together.
    least, most = stats.binom.ppf([5e-10, 1 - 5e-10], paired.texts, share)
    discordant = np.arange(int(least), int(most) + 1)
    chance = stats.binom.pmf(discordant, paired.texts, share)
    few = stats.binom.ppf(level / 2, discordant, 0.5) - 1  # at most so many of them are rejected
    gains = (share + size) / (2 * share)
    rejects = stats.binom.cdf(few, discordant, gains) + stats.binom.cdf(few, discordant, 1 - gains)
    return float((chance * rejects).sum())


def _approximate_power(paired: Paired, size: float, level: float) -> float:
    share, of_text = _discordance(paired, size), float(paired.averaging) / paired.texts
    under_null = of_text * share + paired.spread.variances
    under_size = np.maximum(of_text * (share - size**2) + paired.spread.variances, 1e-30)
    least, most = 0.0, 10.0
    while most - least > 1e-7:  # the smallest measured difference that the test rejects
        middle = (least + most) / 2
        p = 2 * special.ndtr(-middle / np.sqrt(under_null)) @ paired.spread.chances
        least, most = (middle, most) if p > level else (least, middle)
    return float(special.ndtr((size - most) / np.sqrt(under_size)) @ paired.spread.chances)
