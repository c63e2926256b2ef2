import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from ablations.answers import noise, power, statistics
from ablations.answers.noise import Prior, Typical
from synthetic_runs import disagreeing

COUNTS = st.integers(0, 40)


def counts(lost, gained, messages=300):
    return statistics.one_seed(np.array(lost), np.array(gained), messages)


def limits(paired):
    low, high = statistics.interval(paired)
    return float(low), float(high)


# --- one accuracy


def test_wilson_interval_solves_its_equation():
    low, high = statistics.wilson(0.95, 300)
    for limit in (float(low), float(high)):
        assert (0.95 - limit) ** 2 == pytest.approx(1.959964**2 * limit * (1 - limit) / 300)
    assert low < 0.95 < high


@pytest.mark.parametrize("accuracy", [0.0, 1.0, 0.9533333])
def test_wilson_interval_stays_between_0_and_1(accuracy):
    low, high = statistics.wilson(accuracy, 300)
    assert 0 <= low <= accuracy + 1e-12 and accuracy - 1e-12 <= high <= 1


# --- two rows, one seed


def _score(lost, gained, messages, difference):
    """Tango's statistic, its restricted likelihood maximised numerically."""

    def minus_log_likelihood(q):
        p = q + difference
        terms = [(lost, q), (gained, p), (messages - lost - gained, 1 - p - q)]
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    options = {"xatol": 1e-12}
    q = optimize.minimize_scalar(
        minus_log_likelihood, bounds=bounds, method="bounded", options=options
    )
    variance = 2 * q.x + difference * (1 - difference)
    return ((gained - lost) / messages - difference) / math.sqrt(variance / messages)


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(80, 400))
@example(62, 2, 300)
def test_tango_interval_ends_where_the_score_reaches_the_quantile(lost, gained, messages):
    low, high = limits(counts(lost, gained, messages))
    assert _score(lost, gained, messages, low) == pytest.approx(1.959964, abs=1e-3)
    assert _score(lost, gained, messages, high) == pytest.approx(-1.959964, abs=1e-3)


def test_identical_predictions_still_leave_room_for_a_difference():
    z2 = 1.959963985**2
    low, high = limits(counts(0, 0))
    assert high == pytest.approx(z2 / (300 + z2)) and low == pytest.approx(-high)


@given(COUNTS, COUNTS)
def test_exact_p_is_mcnemars(lost, gained):
    expected = mcnemar([[0, lost], [gained, 0]], exact=True).pvalue if lost + gained else 1.0
    baseline, variant = disagreeing(100, lost, gained)
    paired = statistics.pair(baseline, variant)
    assert float(statistics.p_value(paired)) == pytest.approx(expected)


@given(COUNTS, COUNTS, st.integers(1, 4))
def test_swapping_the_rows_turns_the_interval_around(lost, gained, seeds):
    baseline, variant = disagreeing(100, lost, gained, seeds)
    one, other = statistics.pair(baseline, variant), statistics.pair(variant, baseline)
    assert limits(one) == pytest.approx(tuple(-limit for limit in reversed(limits(other))))
    assert statistics.p_value(one) == pytest.approx(statistics.p_value(other))


# --- several seeds


def test_identical_seeds_add_nothing_to_one():
    one, many = (statistics.pair(*disagreeing(300, 14, 9, seeds)) for seeds in (1, 5))
    assert limits(many) == pytest.approx(limits(one))
    assert many.averaging == pytest.approx(1) and not many.spread.variances.any()


def test_seeds_that_err_independently_average_out():
    generator = np.random.default_rng(0)
    baseline, variant = generator.random((2, 10, 3000)) < 0.9
    paired = statistics.pair(baseline, variant)
    assert paired.averaging == pytest.approx(1 / 10, abs=0.02)
    low, high = limits(paired)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(2 * 0.09 / 30000), rel=0.15)


def test_noise_between_seeds_widens_the_interval():
    baseline = np.ones((3, 300), bool)
    calm, noisy = np.ones((2, 3, 300), bool)
    for seed, (same, uneven) in enumerate(((20, 0), (20, 20), (20, 40))):
        calm[seed, :same] = False
        noisy[seed, :uneven] = False
    narrow, wide = (limits(statistics.pair(baseline, each)) for each in (calm, noisy))
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])


# --- many comparisons, and what they could have shown


def test_holm_is_statsmodels_for_many_studies_at_once():
    p = np.random.default_rng(0).random((4, 5)) ** 3
    expected = [multipletests(study, method="holm")[1] for study in p]
    assert statistics.holm(p, 5) == pytest.approx(np.array(expected))
    assert statistics.holm([], 0).tolist() == []


@given(p=st.lists(st.floats(0, 1), min_size=2, max_size=9), known=st.integers(1, 8))
def test_what_is_not_known_yet_only_makes_an_adjusted_p_smaller(p, known):
    known = min(known, len(p) - 1)
    early, final = statistics.holm(p[:known], len(p)), statistics.holm(p, len(p))
    assert all(now >= later for now, later in zip(early, final, strict=False))


@pytest.mark.parametrize("comparisons", [1, 8])
@pytest.mark.parametrize(("lost", "gained"), [(2, 7), (14, 9), (0, 3)])
def test_the_smallest_difference_shown_is_shown_four_times_in_five(lost, gained, comparisons):
    size = power.smallest_shown(counts(lost, gained), comparisons)
    share = max((lost + gained) / 300, size)
    chances = [(share - size) / 2, (share + size) / 2, 1 - share]
    outcomes = np.random.default_rng(0).multinomial(300, chances, size=20_000)
    p = statistics.p_value(counts(outcomes[:, 0], outcomes[:, 1]))
    assert (p < 0.05 / comparisons).mean() == pytest.approx(0.8, abs=0.015)


def test_the_smallest_difference_shown_with_training_noise():
    """Two rows of 3,000 texts each, five seeds, whose runs differ by 1 point."""
    of_pairs = Typical(np.asarray(2 * 0.01**2), np.asarray(32.0))
    generator = np.random.default_rng(0)
    right = generator.random((2, 5, 3000)) < 0.95
    size = power.smallest_shown(statistics.pair(*right, Prior(of_pairs, of_pairs, np.zeros(()))), 8)
    # The noise alone, known with 36 degrees of freedom, own runs that hardly differ included: the
    # least that no text takes away.
    error = 0.01 * math.sqrt(2 / 5 * 32 / 36)
    t = scipy_stats.t.ppf(1 - 0.05 / 16, 36) + scipy_stats.norm.ppf(0.8)
    assert error * t < size < 1.3 * error * t


def test_more_comparisons_and_fewer_messages_show_only_larger_differences():
    few, many = (counts(14 * times, 9 * times, 300 * times) for times in (1, 4))
    sizes = [power.smallest_shown(many, 1)]
    sizes += [power.smallest_shown(few, comparisons) for comparisons in (1, 8)]
    assert sizes == sorted(sizes) and sizes[1] > 1.5 * sizes[0]


def test_the_exact_test_shows_nothing_with_too_few_messages():
    # 2 · 0.5⁶ is the first below 0.05; among 8 comparisons 2 · 0.5⁹ is the first below 0.05 / 8
    for messages, comparisons in ((6, 1), (9, 8)):
        assert power.smallest_shown(counts(0, 1, messages), comparisons) is not None
        assert power.smallest_shown(counts(0, 1, messages - 1), comparisons) is None


def test_training_noise_can_hide_every_difference():
    baseline = np.ones((3, 300), bool)
    variant = baseline.copy()
    variant[1], variant[2] = False, False
    paired = statistics.pair(baseline, variant)
    assert power.smallest_shown(paired, 8) is None


# --- equivalence


@given(COUNTS, COUNTS, st.integers(1, 4))
def test_equivalence_is_two_one_sided_tests_at_5_percent(lost, gained, seeds):
    paired = statistics.pair(*disagreeing(100, lost, gained, seeds))
    low, high = (float(end) for end in statistics.interval(paired, 0.9))
    wider = limits(paired)
    assert wider[0] <= low <= high <= wider[1]
    for margin in (0.01, 0.05, 0.2):
        shown = bool(statistics.equivalent(paired, margin))
        assert shown == (-margin < low and high < margin)


def test_few_messages_show_no_equivalence_whatever_comes_out():
    z2 = scipy_stats.norm.ppf(0.95) ** 2  # two rows that always agree: ± z² / (n + z²)
    enough = math.floor(z2 / 0.02 - z2) + 1
    assert statistics.can_show_equivalence(enough, 0.02, 1)
    assert not statistics.can_show_equivalence(enough - 1, 0.02, 1)
    assert enough == 133


@pytest.mark.parametrize(("seeds", "enough"), [(2, 67), (3, 45), (5, 27)])
def test_seeds_that_err_on_different_messages_show_equivalence_on_fewer(seeds, enough):
    assert statistics.can_show_equivalence(enough, 0.02, seeds)
    assert not statistics.can_show_equivalence(enough - 1, 0.02, seeds)
    right = np.ones((seeds, 75), bool)
    other = right.copy()
    other[0, 0] = False
    if statistics.equivalent(statistics.pair(right, other), 0.02):
        assert statistics.can_show_equivalence(75, 0.02, seeds)


def test_one_text_and_several_seeds():
    """With one text its part and the seeds' cannot be told apart: all is the seeds'."""
    right = np.array([[[True], [False], [True]], [[True], [True], [True]]])
    with np.errstate(all="raise", under="ignore"):
        paired = statistics.pair(*right, noise.prior(right))
        low, high = limits(paired)
        assert low <= 1 / 3 <= high and 0 <= float(statistics.p_value(paired)) <= 1
        low, high = statistics.mean_accuracy_interval(right[0])
        assert 0 <= low <= 2 / 3 <= high <= 1


# --- the effect of a setting, averaged over pairs of rows


@given(COUNTS, COUNTS)
def test_the_effect_over_one_pair_is_bonett_and_prices(lost, gained):
    baseline, variant = disagreeing(100, lost, gained)
    found = statistics.average_effect(baseline[None], variant[None])
    won, missed = (gained + 1) / 102, (lost + 1) / 102
    half = 1.959964 * math.sqrt((won + missed - (won - missed) ** 2) / 102)
    assert (float(found.low), float(found.high)) == pytest.approx(
        (won - missed - half, won - missed + half), abs=1e-6
    )
    assert float(found.difference) == pytest.approx((gained - lost) / 100)
    assert (float(found.p) < 0.05) == (found.low > 0 or found.high < 0)


def test_more_pairs_tell_an_effect_more_exactly():
    generator = np.random.default_rng(0)
    for seeds in (1, 3):
        right = generator.random((2, 6, seeds, 300)) < 0.9
        widths = [
            float(found.high - found.low)
            for pairs in (1, 6)
            for found in [statistics.average_effect(right[0, :pairs], right[1, :pairs])]
        ]
        assert widths[1] < 0.6 * widths[0]


# --- one accuracy with several seeds


def test_texts_alone_are_a_part_of_an_interval_with_the_noise_of_runs():
    right = np.random.default_rng(0).random((3, 300)) < 0.9
    alone, whole = statistics.texts_alone(right), statistics.mean_accuracy_interval(right)
    assert whole[0] < alone[0] < right.mean() < alone[1] < whole[1]
    # answers drawn anew in each run are those of three times as many texts
    assert alone == pytest.approx(statistics.wilson(right.mean(), 900), abs=2e-3)


@given(st.integers(1, 7), st.integers(0, 60))
def test_seeds_that_agree_give_wilsons_interval(seeds, wrong):
    """As one alone does. In every row: a variance of 1e-19 would cost the degrees of freedom."""
    right = np.ones((3, seeds, 301), bool)
    right[1, :, :wrong], right[2, :, : 2 * wrong] = False, False
    for row in right:
        wilson = pytest.approx(statistics.wilson(row.mean(), 301))
        assert statistics.mean_accuracy_interval(row, noise.prior(right)) == wilson
        assert statistics.mean_accuracy_interval(row) == wilson
        assert statistics.texts_alone(row) == wilson


def test_runs_that_differ_widen_a_rows_interval():
    right = np.ones((3, 300), bool)
    right[1, :30] = False
    low, high = statistics.mean_accuracy_interval(right)
    of_messages = statistics.wilson(right.mean(), 300)
    assert 0 <= low < of_messages[0] and of_messages[1] < high <= 1
