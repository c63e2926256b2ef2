import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize
from statsmodels.stats.contingency_tables import mcnemar

import simulation
from ablations.answers import statistics
from ablations.errors import UserError
from simulation import Cell, enumerate_one_seed, simulate
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


@settings(max_examples=40, deadline=None)
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


def random_answers(generator, seeds, messages=60):
    """Baseline and variant, [seeds, messages], with easy and hard messages."""
    easy = generator.random(messages)
    return generator.random((2, seeds, messages)) < 0.4 + 0.6 * easy


def test_two_seeds_are_tested_by_every_way_of_flipping_the_messages_signs():
    net = np.array([2, 2, -1, 1, 1, 0, -2, 2, 1])
    sums = [sum(map(int.__mul__, signs, net.tolist())) for signs in _signs(len(net))]
    extreme = sum(abs(total) >= abs(net.sum()) for total in sums)
    assert float(statistics.sign_flip_p(net)) == pytest.approx(Fraction(extreme, len(sums)))


def _signs(length):
    return list(itertools.product((-1, 1), repeat=length))


def test_two_seeds_do_not_measure_training_noise():
    baseline, variant = disagreeing(300, 14, 9, seeds=2)
    variant[1] = True  # the second seed has no error at all
    paired = statistics.pair(baseline, variant)
    assert not paired.measures_noise and paired.seed_variance == 0
    assert paired.exact_p == pytest.approx(statistics.sign_flip_p((1 * variant - baseline).sum(0)))


def test_identical_seeds_add_nothing_to_one():
    one, many = (statistics.pair(*disagreeing(300, 14, 9, seeds)) for seeds in (1, 5))
    assert limits(many) == pytest.approx(limits(one))
    assert many.averaging == pytest.approx(1) and many.seed_variance == 0


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


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 6))
def test_test_and_interval_agree_with_three_seeds_and_more(draw, seeds):
    baseline, variant = random_answers(np.random.default_rng(draw), seeds)
    paired = statistics.pair(baseline, variant)
    low, high = limits(paired)
    assert low <= float(paired.difference) <= high
    assert (float(statistics.p_value(paired)) < 0.05) == (low > 0 or high < 0)


def test_repetitions_are_compared_each_for_itself():
    generator = np.random.default_rng(1)
    answers = np.stack([random_answers(generator, 4) for _ in range(5)])
    together = statistics.pair(answers[:, 0], answers[:, 1])
    low, high = statistics.interval(together)
    for index, (baseline, variant) in enumerate(answers):
        assert (low[index], high[index]) == pytest.approx(
            limits(statistics.pair(baseline, variant))
        )


# --- many comparisons, and how many messages it would take


def test_holm():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([]) == []


@pytest.mark.parametrize(("lost", "gained"), [(2, 7), (14, 9), (0, 3)])
def test_messages_needed_give_the_promised_power(lost, gained):
    paired = counts(lost, gained)
    needed = statistics.messages_needed(paired, (gained - lost) / 300, comparisons=1)
    generator = np.random.default_rng(0)
    shares = [lost / 300, gained / 300, 1 - (lost + gained) / 300]
    outcomes = generator.multinomial(needed, shares, size=4000)
    p = statistics.p_value(counts(outcomes[:, 0], outcomes[:, 1], needed))
    assert 0.72 < (p < 0.05).mean() < 0.85  # the exact test is a little shy


def test_more_comparisons_and_smaller_differences_need_more_messages():
    paired = counts(14, 9)
    needed = [
        statistics.messages_needed(paired, difference, comparisons)
        for difference, comparisons in ((0.02, 1), (0.02, 8), (0.01, 8))
    ]
    assert needed == sorted(needed) and needed[0] < needed[1] < needed[2]


def test_the_exact_test_needs_a_few_messages_whatever_the_difference():
    # 2 · 0.5⁶ is the first below 0.05; among 8 comparisons 2 · 0.5⁹ is the first below 0.05 / 8
    assert statistics.messages_needed(counts(0, 1, 1), 1.0, comparisons=1) == 6
    assert statistics.messages_needed(counts(0, 1, 1), 1.0, comparisons=8) == 9


def test_no_number_of_messages_overcomes_training_noise():
    baseline = np.ones((3, 300), bool)
    variant = baseline.copy()
    for seed, wrong in enumerate((0, 20, 40)):
        variant[seed, :wrong] = False
    paired = statistics.pair(baseline, variant)
    assert statistics.messages_needed(paired, float(paired.difference), 1) is None


# --- how far to trust it: a small part of docs/statistics.md's grid


def test_one_seed_covers_93_to_98_percent_and_raises_few_false_alarms():
    shares, points = (0.01, 0.02, 0.05, 0.1, 0.2), [point / 100 for point in range(11)]
    outcomes = enumerate_one_seed(shares, points)
    assert len(outcomes) == 2 + 3 + 6 + 11 + 11
    assert all(0.93 <= outcome.coverage <= 0.98 for outcome in outcomes)
    false_alarms = [each.rejected for each in outcomes if each.cell.difference == 0]
    assert max(false_alarms) <= 0.05


@pytest.mark.parametrize(
    "cell",
    [
        Cell(0.05, 0.0, seeds=2),
        Cell(0.05, 0.0, seeds=3, run_sd=0.01),
        Cell(0.05, 0.02, seeds=3, run_sd=0.01, consistency=0.9),
        Cell(0.1, 0.0, seeds=5, run_sd=0.01),
        Cell(0.1, 0.05, seeds=5, run_sd=0.02),
        Cell(0.05, 0.0, seeds=10, run_sd=0.005, consistency=0.9),
    ],
    ids=str,
)
def test_several_seeds_cover_and_raise_few_false_alarms(cell):
    repetitions = 1000  # three standard errors are two points
    outcome = simulate(cell, repetitions, np.random.default_rng(1))
    assert 0.93 - 0.02 <= outcome.coverage <= 0.98 + 0.02
    if cell.difference == 0:
        assert outcome.rejected <= 0.05 + 0.025


def test_simulated_studies_are_what_their_cell_says():
    cell = Cell(share=0.1, difference=0.03, seeds=3, run_sd=0.02)
    population = simulation._population(cell.share, cell.difference, cell.run_sd)
    right = simulation._draw(population, cell, 2000, np.random.default_rng(0))
    accuracies = right.mean(-1)  # [repetitions, rows, seeds]
    assert accuracies.mean((0, 2)) == pytest.approx([0.885, 0.915], abs=0.003)
    assert (right[:, 0] != right[:, 1]).mean() == pytest.approx(0.1, abs=0.003)
    # seeds of one study share their messages, so the spread within it is the runs' own and the
    # messages' for which a row's seeds differ; only the first does not shrink with messages
    assert accuracies.std(-1, ddof=1).mean() > 0.015
    assert simulate(Cell(0.01, 0.0, seeds=3, run_sd=0.02), 10, np.random.default_rng(0)) is None


def test_simulation_agrees_with_enumeration():
    exact = enumerate_one_seed([0.05], [0.02])[0]
    drawn = simulate(Cell(0.05, 0.02), 4000, np.random.default_rng(2))
    assert drawn.coverage == pytest.approx(exact.coverage, abs=0.012)
    assert drawn.rejected == pytest.approx(exact.rejected, abs=0.025)


def test_the_document_keeps_what_is_not_generated(tmp_path):
    outcomes = enumerate_one_seed([0.05], [0.0, 0.02])
    several = [simulate(Cell(0.05, 0.0, seeds=3), 50, np.random.default_rng(0))]
    generated = simulation.document(outcomes, outcomes, several, [(Cell(0.05, 0.0, 3), 0.04)], 50)
    text = f"before\n{simulation.START}\nold\n{simulation.END}\nafter\n"
    once = simulation.replace_generated(text, generated, tmp_path)
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "old" not in once
    assert simulation.replace_generated(once, generated, tmp_path) == once
    with pytest.raises(UserError, match="expected the lines"):
        simulation.replace_generated("no markers", generated, tmp_path)
