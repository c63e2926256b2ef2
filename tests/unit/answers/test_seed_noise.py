"""The noise of training in interval and p-value, where textbooks say what they are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ablations.answers.statistics import Paired, Spread, interval, p_value


def paired(seeds, messages, lost, gained, averaging, seed_variance, mean_square):
    return Paired(
        messages=messages,
        seeds=seeds,
        lost=np.asarray(lost),
        gained=np.asarray(gained),
        exact_p=None,
        spread=Spread(
            averaging=np.asarray(averaging),
            seed_variance=np.asarray(seed_variance),
            seed_mean_square=np.asarray(mean_square),
            seed_freedom=np.asarray(seeds - 1),
        ),
    )


@given(st.integers(3, 20), st.floats(1e-4, 1e-2), st.floats(0, 0.1))
def test_with_endless_messages_it_is_students_t_test_of_the_seeds_differences(seeds, variance, won):
    found = paired(seeds, 10**15, 0.03, won, 1.0, variance, variance)
    error, freedom = math.sqrt(variance / seeds), seeds - 1
    half = stats.t.ppf(0.975, freedom) * error
    expected = [np.clip(won - 0.03 + end, -1, 1) for end in (-half, half)]
    assert [float(end) for end in interval(found)] == pytest.approx(expected, abs=1e-6)
    p = 2 * stats.t.sf(abs(won - 0.03) / error, freedom)
    assert float(p_value(found)) == pytest.approx(p, abs=1e-6)


@given(
    st.integers(3, 20),
    st.floats(0, 0.1),
    st.floats(0.01, 0.1),
    st.floats(0.1, 1),
    st.floats(0, 1e-3),
)
def test_degrees_of_freedom_are_satterthwaites(seeds, lost, gained, averaging, variance):
    """Of the sum of two variances: the messages', and the seeds' with seeds - 1."""
    messages, size = 300, gained - lost
    of_messages = averaging * (lost + gained - size**2) / messages
    mean_square = variance + seeds * of_messages / 2  # what the messages explain of it: a part
    found = paired(seeds, messages, lost, gained, averaging, variance, mean_square)
    total = of_messages + variance / seeds
    freedom = (seeds - 1) * max(1, (total / (mean_square / seeds)) ** 2)
    if_none = averaging * (lost + gained) / messages + variance / seeds
    p = 2 * stats.t.sf(abs(size) / math.sqrt(if_none), freedom)
    assert float(p_value(found)) == pytest.approx(p, rel=1e-6)
