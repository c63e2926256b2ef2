import itertools
import math
import re
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

import simulation
from ablations.answers import power, statistics
from ablations.answers.written import interpretation
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
    assert not paired.measures_noise and paired.spread.seed_variance == 0
    assert paired.exact_p == pytest.approx(statistics.sign_flip_p((1 * variant - baseline).sum(0)))


def test_identical_seeds_add_nothing_to_one():
    one, many = (statistics.pair(*disagreeing(300, 14, 9, seeds)) for seeds in (1, 5))
    assert limits(many) == pytest.approx(limits(one))
    assert many.spread.averaging == pytest.approx(1) and many.spread.seed_variance == 0


def test_seeds_that_err_independently_average_out():
    generator = np.random.default_rng(0)
    baseline, variant = generator.random((2, 10, 3000)) < 0.9
    paired = statistics.pair(baseline, variant)
    assert paired.spread.averaging == pytest.approx(1 / 10, abs=0.02)
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
    """Two rows of 3,000 messages each, five seeds, whose runs differ by 1 point."""
    noise = statistics.RunNoise(np.asarray(0.01**2), 36)
    generator = np.random.default_rng(0)
    paired = statistics.pair(*(generator.random((2, 5, 3000)) < 0.95), noise)
    size = power.smallest_shown(paired, 8)
    # The noise alone, known with 36 degrees of freedom: the least that no message takes away.
    error = 0.01 * math.sqrt(2 / 5)
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


# --- the noise of training, pooled over a study's rows


def study(generator, rows, seeds, messages, run_sd):
    """Right answers [rows, seeds, messages] of rows that differ in nothing but luck."""
    chances = 0.9 + run_sd * generator.standard_normal((rows, seeds, 1))
    return generator.random((rows, seeds, messages)) < chances


def test_run_noise_is_the_mean_over_rows_of_what_the_messages_do_not_explain():
    generator = np.random.default_rng(0)
    right = study(generator, 6, 4, 5000, 0.03)
    noise = statistics.run_noise(right)
    explained = 0.09 / 5000
    own = right.mean(-1).var(-1, ddof=1) - explained
    assert float(noise.variance) == pytest.approx(own.mean(), rel=0.05)
    assert noise.freedom == 6 * 3
    assert statistics.run_noise(right[:, :2]) is None
    assert float(statistics.run_noise(study(generator, 200, 5, 300, 0)).variance) < 2e-5


def test_no_comparison_counts_less_noise_than_the_study_has():
    generator = np.random.default_rng(3)
    right = study(generator, 9, 3, 300, 0.02)
    noise = statistics.run_noise(right)
    for variant in range(1, 9):
        own = statistics.pair(right[0], right[variant]).spread
        counted = statistics.pair(right[0], right[variant], noise).spread
        floor = 2 * float(noise.variance)
        assert float(counted.seed_variance) == max(float(own.seed_variance), floor)
        uses_own = float(own.seed_variance) >= floor
        assert float(counted.seed_freedom) == (2 if uses_own else 9 * 2)


def test_quiet_rows_of_a_noisy_study_are_no_longer_told_apart():
    baseline, variant = disagreeing(300, 3, 15, seeds=3)
    alone = statistics.pair(baseline, variant)
    noisy = statistics.pair(baseline, variant, statistics.RunNoise(np.asarray(0.03**2), 16))
    assert float(statistics.p_value(alone)) < 0.05 < float(statistics.p_value(noisy))
    assert limits(noisy)[0] < limits(alone)[0]


def test_one_message_and_several_seeds():
    """With one message its part and the seeds' cannot be told apart: all is the seeds'."""
    right = np.array([[[True], [False], [True]], [[True], [True], [True]]])
    with np.errstate(all="raise"):
        paired = statistics.pair(*right, statistics.run_noise(right))
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


@pytest.mark.parametrize(
    "cell",
    [Cell(0.05, 0.0), Cell(0.05, 0.02), Cell(0.05, 0.0, 3, 0.01), Cell(0.05, 0.02, 5, 0.02)],
    ids=str,
)
def test_the_interval_of_an_average_effect_covers(cell):
    found = simulation.average_effect(cell, 1000, np.random.default_rng(1))
    assert 0.93 - 0.02 <= found.coverage <= 1
    if cell.difference == 0:
        assert found.rejected <= 0.05 + 0.02


# --- one accuracy with several seeds


def test_identical_seeds_give_wilsons_interval():
    right = np.repeat(np.random.default_rng(0).random((1, 300)) < 0.9, 4, axis=0)
    assert statistics.mean_accuracy_interval(right) == pytest.approx(
        statistics.wilson(right.mean(), 300)
    )


@given(st.integers(3, 7), st.integers(0, 60))
def test_rounding_is_no_noise_between_seeds(seeds, wrong):
    """Seeds that agree in every row: a variance of 1e-19 would cost the degrees of freedom."""
    right = np.ones((3, seeds, 301), bool)
    right[1, :, :wrong], right[2, :, : 2 * wrong] = False, False
    noise = statistics.run_noise(right)
    for row in right:
        assert statistics.mean_accuracy_interval(row, noise) == pytest.approx(
            statistics.wilson(row.mean(), 301)
        )


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_count_messages_only(seeds):
    right = np.random.default_rng(0).random((seeds, 300)) < 0.9
    assert statistics.mean_accuracy_interval(right) == pytest.approx(
        statistics.wilson(right.mean(), 300)
    )


def test_runs_that_differ_widen_a_rows_interval():
    right = np.ones((3, 300), bool)
    right[1, :30] = False
    low, high = statistics.mean_accuracy_interval(right)
    of_messages = statistics.wilson(right.mean(), 300)
    assert 0 <= low < of_messages[0] and of_messages[1] < high <= 1
    quiet = np.ones((3, 300), bool)
    pooled = statistics.mean_accuracy_interval(quiet, statistics.RunNoise(np.asarray(0.02**2), 16))
    assert pooled[0] < statistics.mean_accuracy_interval(quiet)[0]


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
    right = np.concatenate(
        list(simulation._draws(population, cell, 2000, np.random.default_rng(0)))
    )
    accuracies = right.mean(-1)  # [repetitions, rows, seeds]
    assert accuracies.mean((0, 2)) == pytest.approx([0.885, 0.915], abs=0.003)
    assert (right[:, 0] != right[:, 1]).mean() == pytest.approx(0.1, abs=0.003)
    # seeds of one study share their messages, so the spread within it is the runs' own and the
    # messages' for which a row's seeds differ; only the first does not shrink with messages
    assert accuracies.std(-1, ddof=1).mean() > 0.015
    assert simulate(Cell(0.01, 0.0, seeds=3, run_sd=0.02), 10, np.random.default_rng(0)) is None


@pytest.mark.parametrize("effects", simulation.EFFECTS)
def test_however_runs_differ_rows_without_a_difference_have_none(effects):
    cell = Cell(0.05, 0.0, seeds=10, run_sd=0.02, effects=effects)
    population = simulation._population(cell.share, 0.0, cell.run_sd)
    right = np.concatenate(
        list(simulation._draws(population, cell, 500, np.random.default_rng(0), rows=4))
    )
    runs = right.mean(-1)
    assert runs.mean((0, 2)) == pytest.approx([0.95] * 4, abs=0.003)
    # over rows, what the messages do not explain is the cell's standard deviation
    noise = np.sqrt(statistics.run_noise(right).variance.mean())
    assert noise == pytest.approx(0.02, rel=0.25)


@pytest.mark.parametrize("effects", simulation.EFFECTS)
def test_few_of_many_comparisons_are_false_alarms(effects):
    cell = Cell(0.05, 0.0, seeds=3, run_sd=0.02, effects=effects)
    found = simulation.family(cell, 500, np.random.default_rng(1))
    assert found.any_alarm <= 0.05 + 0.02
    if effects == "normal":  # what the pooled noise is for
        assert found.any_alarm_alone > 0.08


def test_simulation_agrees_with_enumeration():
    exact = enumerate_one_seed([0.05], [0.02])[0]
    drawn = simulate(Cell(0.05, 0.02), 4000, np.random.default_rng(2))
    assert drawn.coverage == pytest.approx(exact.coverage, abs=0.012)
    assert drawn.rejected == pytest.approx(exact.rejected, abs=0.025)
    assert drawn.equivalent == pytest.approx(exact.equivalent, abs=0.02)


def test_rows_a_margin_apart_are_rarely_called_equivalent():
    for messages in (300, 1000):
        for outcome in enumerate_one_seed([0.03, 0.05, 0.1], [0.02], messages):
            assert outcome.equivalent <= 0.055


def test_the_document_keeps_what_is_not_generated(tmp_path):
    generator = np.random.default_rng(0)
    null, real = Cell(0.05, 0.0, 3, 0.01), Cell(0.08, 0.05, 3, 0.01)
    outcomes = enumerate_one_seed([0.05], [0.0, 0.02])
    found = simulation.Simulated(
        one_seed=outcomes,
        dense=outcomes,
        several=[simulate(Cell(0.05, 0.0, seeds=3), 50, generator)],
        nulls=[simulation.family(null, 20, generator)],
        one_seed_nulls=[simulation.family(Cell(0.05, 0.0), 20, generator)],
        differences=[simulation.family(real, 20, generator)],
        equivalence=outcomes,
        grids=[simulation.average_effect(null, 20, generator)],
        power=[(null, *simulation.power_of_the_smallest_shown(null, 20, generator))],
        repetitions=50,
    )
    generated = simulation.document(found)
    assert "nan" not in generated
    text = f"before\n{simulation.START}\nold\n{simulation.END}\nafter\n"
    once = simulation.replace_generated(text, generated, tmp_path)
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "old" not in once
    assert simulation.replace_generated(once, generated, tmp_path) == once
    with pytest.raises(UserError, match="expected the lines"):
        simulation.replace_generated("no markers", generated, tmp_path)


def test_the_texts_say_what_the_simulation_found():
    """The one figure that a text for readers repeats from docs/statistics.md."""
    found = [
        simulation.family(Cell(0.05, 0.0, run_sd=run_sd), 2000, np.random.default_rng(1)).any_alarm
        for run_sd in (0.005, 0.01, 0.02)
    ]
    said = [float(number) / 100 for number in re.findall(r"\d+", interpretation.ONE_SEED_ALARMS)]
    assert found == pytest.approx(said, abs=0.03)
