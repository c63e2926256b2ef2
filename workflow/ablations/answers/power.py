"""How large a difference must be for a study to show it. docs/statistics.md has the sources."""

import math

import numpy as np
from scipy import stats

from ablations.answers.statistics import ALPHA, Paired

POWER = 0.8  # how often it is to be shown


def smallest_shown(paired: Paired, comparisons: int) -> float | None:
    """The smallest true difference that this study would show four times in five.

    At the discordance seen, the noise of training seen, and the strictest level that Holm's method
    asks of so many comparisons. None where no difference would be shown. `paired` holds one
    repetition.

    With one seed this is the power of the exact McNemar test, summed over every outcome; with more
    it is Connor's normal approximation (1987) with the noise of training added.
    """
    level = ALPHA / comparisons
    shown = _one_seed_power if paired.seeds == 1 else _approximate_power
    if shown(paired, 1.0, level) < POWER:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if shown(paired, middle, level) >= POWER else (middle, high)
    return high


def _discordance(paired: Paired, size: float) -> float:
    """The share seen; a difference of this size needs at least as much."""
    return max(float(paired.lost + paired.gained), size)


def _one_seed_power(paired: Paired, size: float, level: float) -> float:
    """How often McNemar's exact test gives p < level where the true difference is `size`."""
    share = _discordance(paired, size)
    # Numbers of discordant messages; those outside have a chance below 1e-9 together.
    least, most = stats.binom.ppf([5e-10, 1 - 5e-10], paired.messages, share)
    discordant = np.arange(int(least), int(most) + 1)
    chance = stats.binom.pmf(discordant, paired.messages, share)
    few = stats.binom.ppf(level / 2, discordant, 0.5) - 1  # at most so many of them are rejected
    gains = (share + size) / (2 * share)
    rejects = stats.binom.cdf(few, discordant, gains) + stats.binom.cdf(few, discordant, 1 - gains)
    return float((chance * rejects).sum())


def _approximate_power(paired: Paired, size: float, level: float) -> float:
    share, spread = _discordance(paired, size), paired.spread
    # The exact test of two seeds rejects nothing where fewer messages than this are discordant.
    if paired.exact_p is not None and paired.messages * share < 1 - math.log2(level):
        return 0.0
    noise = float(spread.seed_variance) / paired.seeds
    of_message = float(spread.averaging) / paired.messages
    under_null = of_message * share + noise
    under_size = of_message * (share - size**2) + noise
    freedom = math.inf
    if paired.measures_noise and noise > 0:
        explained = float(spread.seed_mean_square - spread.seed_variance) / paired.seeds
        freedom = float(spread.seed_freedom) * max(under_null / (noise + explained), 1) ** 2
    quantile = stats.t.ppf(1 - level / 2, freedom)
    beyond = size - quantile * math.sqrt(under_null)
    if under_size <= 0:  # a difference of 1: nothing is left to vary
        return float(beyond >= 0)
    return float(stats.norm.cdf(beyond / math.sqrt(under_size)))
