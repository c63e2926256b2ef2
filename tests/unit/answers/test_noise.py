"""What runs differ by: measured by an analysis of variance, moderated by the study's rows."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ablations.answers import noise, statistics
from ablations.answers.noise import Contrast, Typical

FOLDS = np.arange(60) % 5


def limits(paired):
    low, high = statistics.interval(paired)
    return float(low), float(high)


def study(generator, rows, seeds, texts, run_sd, accuracy=0.9):
    """Right answers [rows, seeds, texts] of rows that differ in nothing but luck.

    `run_sd` is a number, or one for each row.
    """
    sds = np.broadcast_to(run_sd, (rows,))[:, None, None]
    chances = accuracy + sds * generator.standard_normal((rows, seeds, 1))
    return generator.random((rows, seeds, texts)) < chances


def in_folds(generator, rows, folds, run_sd, seeds=1):
    """The same with folds: each has its own chance of a right answer, the seeds alike."""
    sds = np.broadcast_to(run_sd, (rows,))[:, None]
    chances = 0.9 + sds * generator.standard_normal((rows, folds.max() + 1))
    return generator.random((rows, seeds, len(folds))) < chances[:, None, folds]


def measured(mean_square, runs=4, explained=0.0, texts=10**12):
    """A contrast of one sum with this variance between its runs."""
    return Contrast(
        texts=texts,
        folds=False,
        runs=float(runs),
        freedom=runs - 1,
        grain=1 / texts,
        mean=np.zeros(np.shape(mean_square)),
        square=np.ones(np.shape(mean_square)),
        text_square=np.ones(np.shape(mean_square)),
        averaging=np.ones(np.shape(mean_square)),
        mean_square=np.asarray(mean_square),
        explained=np.full(np.shape(mean_square), explained),
    )


# --- the analysis of variance


@given(st.integers(0, 10_000), st.sampled_from([[20, 20, 20], [30, 20, 10, 3], [5, 40]]))
def test_folds_are_a_one_way_analysis_of_variance(draw, sizes):
    generator = np.random.default_rng(draw)
    folds = np.repeat(np.arange(len(sizes)), sizes)
    right = generator.random((2, 1, len(folds))) < 0.7
    found = noise.contrast(right, [[-1, 1]], folds)
    difference = right[1, 0].astype(float) - right[0, 0]
    expected = stats.f_oneway(*(difference[folds == fold] for fold in range(len(sizes))))
    assert float(found.mean[0]) == pytest.approx(difference.mean())
    assert found.freedom == len(sizes) - 1
    assert float(found.mean_square[0]) == pytest.approx(
        expected.statistic * float(found.explained[0])
    )


def test_seeds_are_a_two_way_analysis_of_variance():
    right = np.array([[[0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]]], bool)
    found = noise.contrast(right, [[1]])
    # means of seeds 3/4, 2/4, 4/4; of texts 1/3, 2/3, 1, 1; of all 3/4
    assert float(found.mean_square[0]) == pytest.approx(1 / 16)
    rest = 9 / 4 - 3 * (25 + 1 + 9 + 9) / 144 - 4 * 2 / 16  # sum of squares left over
    assert float(found.explained[0]) == pytest.approx(rest / 6 / 4)
    assert found.runs == 3 and found.freedom == 2 and not found.folds


@given(st.integers(0, 10_000), st.permutations(range(4)), st.permutations(range(5)))
def test_the_order_of_seeds_folds_and_texts_says_nothing(draw, seeds, names):
    generator = np.random.default_rng(draw)
    right = in_folds(generator, 3, FOLDS, 0.05, seeds=4)
    order = generator.permutation(60)
    for folds, other in ((None, None), (FOLDS, np.array(names)[FOLDS[order]])):
        one, same = (
            statistics.pair(*rows[:2], noise.prior(rows, each), each)
            for rows, each in ((right, folds), (right[:, seeds][..., order], other))
        )
        assert limits(one) == pytest.approx(limits(same), abs=1e-9)
        assert float(statistics.p_value(one)) == pytest.approx(float(statistics.p_value(same)))


def test_one_fold_is_one_split():
    right = study(np.random.default_rng(0), 3, 4, 60, 0.05)
    for seeds in (1, 4):
        some = right[:, :seeds]
        found = [
            limits(statistics.pair(*some[:2], noise.prior(some, folds), folds))
            for folds in (None, np.zeros(60, int), np.full(60, 3))
        ]
        assert found[0] == found[1] == found[2]


def test_seeds_that_agree_say_no_more_of_folds_than_one():
    right = in_folds(np.random.default_rng(1), 3, FOLDS, 0.1)
    one, three = (
        statistics.pair(*rows[:2], noise.prior(rows, FOLDS), FOLDS)
        for rows in (right, np.repeat(right, 3, axis=1))
    )
    assert limits(three) == pytest.approx(limits(one))
    assert float(three.averaging) == 1


def test_seeds_that_err_on_their_own_texts_average_out_within_folds():
    folds = np.arange(3000) % 5
    right = np.random.default_rng(0).random((2, 10, 3000)) < 0.9
    paired = statistics.pair(*right, None, folds)
    assert paired.runs == 5 and float(paired.averaging) == pytest.approx(1 / 10, abs=0.02)


def test_with_many_texts_it_is_students_t_test_of_the_folds():
    folds = np.repeat(np.arange(5), 10_000)
    right = np.ones((2, 1, 50_000), bool)
    lost = np.array([500, 900, 1000, 1200, 1900])
    for fold, number in enumerate(lost):
        right[1, 0, fold * 10_000 : fold * 10_000 + number] = False
    half = stats.t.ppf(0.975, 4) * lost.std(ddof=1) / 10_000 / math.sqrt(5)
    expected = [-0.11 - half, -0.11 + half]
    assert limits(statistics.pair(*right, None, folds)) == pytest.approx(expected, abs=1e-3)
    low, high = statistics.mean_accuracy_interval(right[1], None, folds)
    assert [float(low), float(high)] == pytest.approx([0.89 - half, 0.89 + half], abs=1e-3)


def test_folds_with_few_texts_or_none():
    right = in_folds(np.random.default_rng(2), 3, FOLDS, 0.05)
    for some in (FOLDS > 0, (FOLDS == 1) | (np.arange(60) == 0), np.arange(60) < 5, FOLDS == 2):
        folds = FOLDS[some]
        with np.errstate(all="raise", under="ignore"):
            prior = noise.prior(right[..., some], folds)
            paired = statistics.pair(*right[:2, :, some], prior, folds)
            low, high = limits(paired)
            ends = statistics.mean_accuracy_interval(right[0][:, some], prior, folds)
        assert paired.runs == len(np.unique(folds)) and paired.texts == some.sum()
        assert -1 <= low <= float(paired.difference) <= high <= 1
        assert 0 <= ends[0] <= right[0][:, some].mean() <= ends[1] <= 1


def test_what_folds_share_is_in_no_difference():
    """Rows that find the same folds hard differ no more for it."""
    generator = np.random.default_rng(0)
    folds = np.arange(1000) % 5
    hard = np.array([0.5, 0.7, 0.8, 0.9, 1.0])[folds]
    right = generator.random(1000) < hard
    rows = np.stack([right ^ (generator.random(1000) < 0.02) for _ in range(4)])[:, None]
    prior = noise.prior(rows, folds)
    assert float(prior.rows.variance) > 0.1**2 and float(prior.pairs.variance) < 0.01**2


# --- moderation


@given(
    st.integers(2, 10),
    st.floats(1e-5, 1e-2),
    st.floats(1e-5, 1e-2),
    st.floats(0, 40),
    st.floats(0.2, 6),
)
def test_without_texts_it_is_the_moderated_t_test(runs, own, typical, known, score):
    """Smyth's (2004): mean squares weighted by their degrees of freedom, which add up."""
    found = measured([own], runs)
    spread = noise.spread(found, Typical(np.asarray(typical), np.asarray(known)))
    moderated = (known * typical + (runs - 1) * own) / (known + runs - 1)
    distance = score * math.sqrt(moderated / runs)
    p = statistics._chance(np.array([distance]), np.zeros(1), spread)
    assert float(p[0]) == pytest.approx(2 * stats.t.sf(score, known + runs - 1), rel=1e-3)


@given(st.floats(1e-5, 1e-2), st.floats(1e-5, 1e-2), st.floats(0, 1e3))
def test_a_moderated_variance_lies_between_own_and_typical(own, typical, known):
    spread = noise.spread(measured([own]), Typical(np.asarray(typical), np.asarray(known)))
    # the mean of χ² over its degrees of freedom is 1
    moderated = 4 / float((spread.chances / spread.variances).sum())
    assert min(own, typical) * 0.999 <= moderated <= max(own, typical) * 1.001


@pytest.mark.parametrize(("variance", "freedom"), [(1e-4, 4.0), (4e-4, 12.0)])
def test_the_typical_variance_is_found_from_many_rows(variance, freedom):
    generator = np.random.default_rng(0)
    true = variance * freedom / generator.chisquare(freedom, 20_000)
    explained = 5e-5
    seen = (true + explained) * generator.chisquare(4, 20_000) / 4
    found = noise._typical(
        measured(seen, 5, explained, 10**6), np.ones(20_000, bool), np.asarray(20_000)
    )
    # what texts explain is the same in all, so the sum varies less than its part
    assert float(found.variance) == pytest.approx(variance, rel=0.15)
    assert freedom < float(found.freedom) < 3 * freedom


def test_rows_alike_are_pooled_and_rows_unlike_are_not():
    generator = np.random.default_rng(5)
    alike = noise.prior(study(generator, 12, 4, 20_000, 0.02))
    unlike = noise.prior(study(generator, 12, 4, 20_000, [0.001] * 6 + [0.05] * 6))
    assert math.sqrt(float(alike.rows.variance)) == pytest.approx(0.02, rel=0.25)
    assert math.sqrt(float(alike.pairs.variance)) == pytest.approx(0.02 * 2**0.5, rel=0.25)
    assert float(alike.rows.freedom) > 10 > 3 > float(unlike.rows.freedom)


def test_no_more_degrees_of_freedom_than_the_study_has():
    right = study(np.random.default_rng(0), 6, 4, 3000, 0.02)
    prior = noise.prior(right)
    assert float(prior.rows.freedom) <= 5 * 3 and float(prior.pairs.freedom) <= 4 * 3
    again = noise.prior(np.concatenate([right, right[:3]]))  # rows that answer alike count once
    for one, other in ((prior.rows, again.rows), (prior.pairs, again.pairs)):
        assert float(one.variance) == pytest.approx(float(other.variance))
        assert float(one.freedom) == pytest.approx(float(other.freedom))
    assert float(noise.prior(right[:2]).pairs.freedom) == 0
    assert noise.prior(right[:, :1]) is None
    assert float(noise.prior(right[:1]).rows.freedom) == 0  # a study of one row


def test_a_quiet_row_keeps_its_narrow_interval_beside_a_noisy_one():
    generator = np.random.default_rng(0)
    right = study(generator, 8, 4, 1000, [0.001] * 4 + [0.06] * 4)
    prior = noise.prior(right)
    quiet, noisy = (
        [float(np.ptp(statistics.mean_accuracy_interval(row, prior))) for row in rows]
        for rows in (right[:4], right[4:])
    )
    assert max(quiet) < 0.5 * np.mean(noisy)
    of_texts = float(np.ptp(statistics.wilson(0.9, 1000)))
    assert max(quiet) < 1.6 * of_texts


@pytest.mark.parametrize("folds", [None, FOLDS], ids=["seeds", "folds"])
def test_rows_that_answer_alike_have_no_difference(folds):
    right = in_folds(np.random.default_rng(3), 4, FOLDS, 0.1, seeds=3)
    paired = statistics.pair(right[0], right[0], noise.prior(right, folds), folds)
    low, high = limits(paired)
    assert statistics.p_value(paired) == pytest.approx(1, abs=1e-12) and low < 0 < high


def test_runs_of_a_study_that_never_differ_add_nothing():
    right = np.repeat(np.random.default_rng(0).random((3, 1, 300)) < 0.9, 4, axis=1)
    paired = statistics.pair(*right[:2], noise.prior(right))
    assert limits(paired) == pytest.approx(limits(statistics.pair(*right[:2, :1])))


# --- a reference, which every seed would give the same answers


def test_a_references_difference_has_the_rows_noise_only():
    generator = np.random.default_rng(0)
    right = study(generator, 6, 4, 2000, 0.02)
    reference = generator.random((1, 2000)) < 0.85
    prior = noise.prior(right)
    found = statistics.pair(reference, right[0], prior)
    repeated = statistics.pair(np.repeat(reference, 4, axis=0), right[0], prior)
    assert float(found.difference) == pytest.approx(right[0].mean() - reference.mean())
    assert found.runs == 4
    row = noise.spread(noise.contrast(right[:1], [[1]]), prior.rows)
    middle = (found.spread.variances @ found.spread.chances) / (row.variances[0] @ row.chances[0])
    assert 0.8 < float(middle) < 1.2
    assert np.ptp(limits(found)) < np.ptp(limits(repeated))  # taken for a row of its own


def test_references_in_folds_are_compared_as_rows_are():
    right = in_folds(np.random.default_rng(0), 3, FOLDS, 0.1)
    prior = noise.prior(right, FOLDS)
    seeds = np.repeat(right[0], 3, axis=0)
    assert limits(statistics.pair(right[1], seeds, prior, FOLDS)) == pytest.approx(
        limits(statistics.pair(right[1], right[0], prior, FOLDS))
    )


def test_two_references_are_compared_as_two_trained_models_are():
    one, other = np.random.default_rng(0).random((2, 1, 300)) < 0.9
    prior = noise.prior(study(np.random.default_rng(1), 3, 4, 300, 0.02))
    assert not statistics.pair(one, other, prior).measures_noise
    assert statistics.mean_accuracy_interval(one, prior) == pytest.approx(
        statistics.wilson(one.mean(), 300)
    )


# --- many repetitions at once


@pytest.mark.parametrize("folds", [None, FOLDS], ids=["seeds", "folds"])
def test_repetitions_are_each_for_itself(folds):
    generator = np.random.default_rng(1)
    right = np.stack([in_folds(generator, 3, FOLDS, 0.1, seeds=2) for _ in range(4)])
    prior = noise.prior(right, folds)
    together = statistics.pair(right[:, 0], right[:, 1], prior, folds)
    low, high = statistics.interval(together)
    rows = statistics.mean_accuracy_interval(right[:, 0], prior, folds)
    for index, each in enumerate(right):
        alone = noise.prior(each, folds)
        assert (low[index], high[index]) == pytest.approx(
            limits(statistics.pair(*each[:2], alone, folds))
        )
        assert [end[index] for end in rows] == pytest.approx(
            [float(end) for end in statistics.mean_accuracy_interval(each[0], alone, folds)]
        )


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 6), st.booleans())
def test_test_and_interval_agree(draw, runs, folded):
    generator = np.random.default_rng(draw)
    folds = np.arange(60) % runs if folded else None
    right = generator.random((3, 1 if folded else runs, 60)) < 0.4 + 0.6 * generator.random(60)
    for prior in (noise.prior(right, folds), None):
        for one, other in itertools.combinations(right, 2):
            paired = statistics.pair(one, other, prior, folds)
            low, high = limits(paired)
            assert low <= float(paired.difference) <= high
            assert (float(statistics.p_value(paired)) < 0.05) == (low > 0 or high < 0)
