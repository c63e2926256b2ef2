"""What is decided of two rows: the numbers, the verdict, what becomes of a published claim.

The words are in golden/; here are those that depend on what no study there has.
"""

import csv
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablations.answers import power, statistics
from ablations.answers.written import interpretation, numbers, sentences
from ablations.study import config
from synthetic_runs import configuration, disagreeing, eight_rows, load, study, two_rows, write


def compared(folder, *arguments, **keys):
    """The one comparison of two rows."""
    two_rows(folder, *arguments, **keys)
    (comparison,) = load(folder).comparisons
    return comparison


def said(comparison):
    return "\n".join(sentences.answer(comparison))


def published(baseline, variant, claim=None, **keys):
    rows = [
        {"train": 1.0, "validation": 1.0, "test": test, "device": "V100"} | keys
        for test in (baseline, variant)
    ]
    return {"published": rows} | ({"claim": claim} if claim else {})


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eight")
    eight_rows(folder)
    return load(folder)


# --- the verdict


@pytest.mark.parametrize(
    ("lost", "gained", "seeds", "verdict", "words"),
    [
        (20, 2, 1, "worse", "Of these trained models, `variant` is less accurate than `baseline`."),
        (2, 20, 1, "better", "Of these trained models, `variant` is more accurate than"),
        (5, 6, 1, None, "No detectable difference between the trained models of `baseline` and"),
        (20, 2, 2, "worse", "**`variant` is less accurate than `baseline`.**"),
        (20, 2, 5, "worse", "**`variant` is less accurate than `baseline`.**"),
        (5, 6, 3, None, "No detectable difference between `baseline` and `variant`."),
    ],
)
def test_a_verdict_is_of_trained_models_unless_several_seeds_measure_the_noise(
    tmp_path, lost, gained, seeds, verdict, words
):
    found = compared(tmp_path, *disagreeing(300, lost, gained, seeds))
    assert found.verdict == (verdict or "no detectable difference")
    assert found.decided == (verdict is not None) and found.of_models == (seeds == 1)
    assert (found.lost, found.gained) == pytest.approx((lost, gained))
    assert words in said(found)
    assert ("On average, only" in said(found)) == (seeds > 1)


def test_the_verdict_is_the_adjusted_tests(eight):
    assert eight.comparisons[6].p < eight.comparisons[6].adjusted_p
    assert {found.among for found in eight.comparisons} == {8}
    for found in eight.comparisons:
        expected = found.adjusted_p < 0.05
        assert found.decided == expected == (found.verdict in ("better", "worse"))


def test_the_difference_with_its_interval_and_p(tmp_path):
    found = compared(tmp_path, *disagreeing(300, 14, 9))
    accuracies = [row.accuracy["test"].mean for row in (found.baseline, found.variant)]
    assert accuracies == pytest.approx([0.97, 0.9533333])
    assert str(found.overall) == "−1.67 (−5.09 to +1.58)" and found.overall.texts == 300
    assert found.p == found.adjusted_p == pytest.approx(0.4049, abs=1e-4)


def test_all_rows_of_a_study_tell_how_much_runs_differ(tmp_path):
    """The same two rows are told apart less surely where the study's other rows are noisy."""
    others = [{"id": f"other-{number}", "epochs": number} for number in range(6, 12)]
    rows = [*configuration()["rows"][:1], {"id": "a", "epochs": 1}, *others]
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": "a"}
    made = config.parse(configuration(rows=rows, seeds=[1, 2, 3], comparisons=[question]))
    right = dict(zip(("baseline", "a"), disagreeing(300, 3, 16, seeds=3), strict=True))
    right["a"][0, 20:23] = False
    draw, found = np.random.default_rng(0), []
    for wrong in ((12, 13, 14), (0, 30, 60)):
        for other in others:
            right[other["id"]] = np.ones((3, 300), bool)
            for seed, number in zip(right[other["id"]], draw.permutation(wrong), strict=True):
                seed[draw.permutation(300)[:number]] = False
        write(tmp_path, made, right)
        found.append(load(tmp_path))
    quiet, noisy = (read.comparisons[0].p for read in found)
    assert quiet < noisy / 2 < 0.05
    assert found[0].run_sd < 0.005 and found[1].run_sd == pytest.approx(0.1 * 0.75**0.5, rel=0.1)


def test_p_values_are_adjusted_for_the_comparisons_that_are_not_finished_too(tmp_path, eight):
    """Else a verdict so far could be withdrawn when the rest is finished."""
    eight_rows(tmp_path)
    whole = {found.question.id: found.adjusted_p for found in eight.comparisons}
    for row in ("first-token", "medium", "large", "full-context"):
        (tmp_path / f"runs/{row}/seed-123/metrics.json").unlink()
    read = load(tmp_path, so_far=True)
    assert 0 < len(read.comparisons) < len(whole) == read.asked
    assert all(found.adjusted_p >= whole[found.question.id] for found in read.comparisons)


def test_why_no_difference_is_detected_where_a_number_seems_to_say_otherwise(tmp_path):
    narrowly = "The interval excludes zero narrowly. The verdict follows the exact test."
    found = compared(tmp_path, *disagreeing(300, 0, 5))
    assert not found.decided and found.overall.low > 0 and narrowly in said(found)
    assert narrowly not in said(compared(tmp_path, *disagreeing(300, 5, 6)))
    asked = [
        {"id": id, "question": "?", "baseline": "baseline", "variant": id} for id in ("a", "b")
    ]
    baseline, a = disagreeing(300, 2, 10)
    right = {"baseline": baseline, "a": a, "b": baseline}
    rows = {"id": "a", "epochs": 1}, {"id": "b", "epochs": 2}
    first, _ = study(tmp_path, *rows, right=right, comparisons=asked).comparisons
    assert first.p < 0.05 < first.adjusted_p
    assert "Among 2 comparisons it does not: with so many" in said(first)


# --- equivalence, and what would have been shown


@pytest.mark.parametrize(
    ("size", "lost", "gained", "margin", "shown", "words"),
    [
        (1000, 6, 5, 2, True, "- Equivalent: the 90% interval −0.72 to +0.50 lies within ±2"),
        (300, 14, 9, 2, False, "- Not shown to be equivalent: the 90% interval −4.48 to +1.01"),
        (300, 14, 9, 5, True, "they are equivalent within ±5 points."),
        (3000, 5, 30, 2, True, "The difference is small: the 90% interval"),
    ],
)
def test_equivalence_is_the_90_percent_interval_within_the_users_margin(
    tmp_path, size, lost, gained, margin, shown, words
):
    found = compared(tmp_path, *disagreeing(size, lost, gained), margin=margin)
    equivalence = found.equivalence
    assert equivalence.shown == shown and equivalence.margin == margin / 100
    assert found.overall.low < equivalence.low < equivalence.high < found.overall.high
    inside = -margin / 100 < equivalence.low and equivalence.high < margin / 100
    assert inside == shown and words in said(found)


def test_few_texts_cannot_show_equivalence_and_what_is_shown_is_possible(tmp_path):
    assert not compared(tmp_path, *disagreeing(100, 0, 0)).equivalence.possible
    assert "100 test texts cannot show that" in interpretation.markdown(load(tmp_path))
    assert compared(tmp_path, *disagreeing(300, 0, 0)).equivalence.possible
    baseline, variant = np.ones((2, 5, 75), bool)  # five seeds average out what one errs in
    variant[0, 0] = False
    found = compared(tmp_path, baseline, variant).equivalence
    assert found.shown and found.possible


def test_the_smallest_difference_that_the_study_would_show(tmp_path):
    found = compared(tmp_path, *disagreeing(300, 14, 9))
    assert 0.04 < found.smallest_shown < 0.06
    assert "is the smallest that this study would show in four of five cases.\n" in said(found)
    assert "is the smallest that" not in said(compared(tmp_path, *disagreeing(300, 20, 2)))
    assert "four of five cases, at best.\n" in said(
        compared(tmp_path, *disagreeing(300, 14, 9, seeds=3))
    )
    found = compared(tmp_path, *disagreeing(5, 1, 0))
    assert found.smallest_shown is None and "This study is too small, or its" in said(found)


def test_what_five_folds_would_have_given_is_told_where_a_question_is_open(tmp_path):
    found = compared(tmp_path, *disagreeing(300, 14, 9))
    twin = statistics.one_seed(np.array(14 * 5), np.array(9 * 5), 1500)
    assert found.with_folds == pytest.approx(power.smallest_shown(twin, 1), abs=2e-3)
    read, line = load(tmp_path), "**What 5 folds would have given**"
    assert read.texts.collection == 1494
    said = interpretation.how_to_read(read)
    assert line in said and "a test of all 1,494 texts instead of 300" in said
    ends = f"{100 * found.with_folds:.1f} points instead of {100 * found.smallest_shown:.1f}"
    assert f"shown {ends}, for the question left open" in said
    compared(tmp_path, *disagreeing(300, 30, 0))
    assert line not in interpretation.how_to_read(load(tmp_path))


def test_folds_that_would_show_no_more_are_not_named(tmp_path):
    """Ten seeds that err on other texts each show more than one seed with folds."""
    compared(tmp_path, *np.random.default_rng(0).random((2, 10, 300)) < 0.8, margin=0.5)
    read = load(tmp_path)
    (found,) = read.comparisons
    assert found.is_open and found.with_folds > found.smallest_shown
    assert "folds would have given" not in interpretation.how_to_read(read)


def test_with_seeds_five_folds_are_as_noisy_as_they_are(tmp_path):
    """Two runs that differ: of five the mean varies by two fifths of their variance."""
    draw = np.random.default_rng(0)
    right = draw.random((2, 2, 300)) < np.array([[[0.9], [0.8]], [[0.8], [0.9]]])
    pair = statistics.pair(*right)
    more = power.with_folds(pair, 1494, 5)
    assert more.spread.variances == pytest.approx(pair.spread.variances * 2 / 5)
    assert (more.texts, more.averaging) == (1494, 1)


def test_no_smallest_difference_is_larger_than_any_that_can_be(tmp_path):
    """With three noisy seeds it would be 78 points, from an accuracy of 50%."""
    right = np.zeros((2, 3, 60), bool)
    for row, counts in zip(right, ([40, 30, 20], [20, 40, 30]), strict=True):
        for seed, count in zip(row, counts, strict=True):
            seed[:count] = True
    assert power.smallest_shown(statistics.pair(*right), 1) > 0.5
    assert compared(tmp_path, *right).smallest_shown is None


# --- texts and settings


def test_near_copies_of_training_texts_are_left_out_too(tmp_path):
    found = compared(tmp_path, *disagreeing(100, 10, 0), seen=[1, 3, 5, 6])
    assert found.distinct.texts == 96 and found.distinct.difference == pytest.approx(-6 / 96)
    assert found.overall.difference == pytest.approx(-0.1)
    assert compared(tmp_path, *disagreeing(100, 10, 0), seen=range(100)).distinct is None


def test_shares_of_seeds_are_whole_texts_where_they_are(tmp_path):
    found = compared(tmp_path, *disagreeing(175, 62, 15))
    assert "Only `baseline` is right on 62 texts, only `variant` on 15 texts" in said(found)
    baseline, variant = disagreeing(300, 3, 0, seeds=3)
    variant[0, :5] = False
    found = compared(tmp_path, baseline, variant)
    assert "only `baseline` is right on 3.7 texts, only `variant` on 0 texts" in said(found)
    found = compared(tmp_path, *disagreeing(300, 0, 0))
    assert "- Both rows get the same test texts right.\n" in said(found)


LORA = {"trainable_layers": "lora", "lora_rank": 16, "lora_alpha": 16}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"trainable_token": "first"}, "Changed: trainable_token (last → first)."),
        ({"weights": "pretrained"}, "The two rows have the same settings."),
        ({"epochs": 10}, "Changed: epochs (5 → 10)."),
        ({"trainable_layers": 1}, "The two rows have the same settings."),  # the last block
        ({"trainable_layers": 2}, "Changed: trainable_layers (last_block → last_two_blocks)."),
        ({"causal_mask": False}, "Changed: causal_mask (true → false)."),
        ({"ignore_index": 50256}, "Changed: ignore_index (none → 50256)."),
        (LORA, "Changed: trainable_layers (last_block → lora)."),  # LoRA's own are no more of them
        (
            {"average_embeddings": True, "trainable_token": "first"},  # which is not read
            "Changed: average_embeddings (false → true).",
        ),
    ],
)
def test_the_settings_in_which_two_rows_differ(tmp_path, changed, words):
    found = compared(tmp_path, *disagreeing(300, 9, 0), changed=changed)
    assert f"- {words}" in said(found) and not found.confounded


def lacking(comparison):
    """The rows that a study lacks: like which one, with which setting as the other's."""
    return [(pair.setting.name, pair.baseline, pair.variant) for pair in comparison.clean_pairs]


def test_confounded_rows_name_the_rows_that_would_make_it_clean(tmp_path):
    changed = {"weights": "random", "trainable_layers": "all"}
    found = compared(tmp_path, *disagreeing(300, 20, 2), changed=changed)
    assert found.confounded and len(found.settings) == 2
    assert lacking(found) == [("weights", None, "variant"), ("trainable_layers", None, "variant")]
    assert "the study lacks a row: one like `variant` with weights pretrained." in said(found)
    assert "Which of the changed settings is the reason cannot be told.**" in said(found)
    found = compared(tmp_path, *disagreeing(300, 1, 2), changed=changed)
    assert "The effects of the changed settings may cancel out.**" in said(found)


def test_a_row_that_would_make_it_clean_is_one_that_a_study_can_have(tmp_path):
    """No row without padding has batches of several texts, so none is asked for."""
    changed = {"context_length": "variable", "batch_size": 1}
    found = compared(tmp_path, *disagreeing(300, 1, 2), changed=changed)
    assert lacking(found) == [("context_length", None, "variant"), ("batch_size", "baseline", None)]
    assert "one like `baseline` with batch_size 1." in said(found)


@pytest.mark.parametrize(
    ("rows", "variant", "pairs"),
    [
        (  # LoRA's own options go with it
            [
                {"weights": "random"},
                {"id": "lora", "weights": "pretrained", **LORA},
                {"id": "random-lora", **LORA},
            ],
            "lora",
            [("weights", "random-lora", "lora"), ("trainable_layers", "baseline", "random-lora")],
        ),
        (  # the baseline's token could not be averaged with
            [
                {"trainable_token": "flexible"},
                {
                    "id": "average",
                    "average_embeddings": True,
                    "trainable_token": "last",
                    "epochs": 9,
                },
                {"id": "longer", "epochs": 9},
            ],
            "average",
            [("average_embeddings", "longer", "average"), ("epochs", "baseline", "longer")],
        ),
    ],
)
def test_a_clean_row_has_what_goes_with_a_setting(tmp_path, rows, variant, pairs):
    rows[0] = configuration()["rows"][0] | rows[0]
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": variant}
    (found,) = study(tmp_path, rows=rows, comparisons=[question]).comparisons
    assert sorted(lacking(found)) == sorted(pairs)


def test_the_published_random_weights_claim_is_confounded_and_has_a_clean_pair(tmp_path, eight):
    found = next(each for each in eight.comparisons if each.confounded)
    pairs = [
        ("weights", "all-layers", "random-weights"),
        ("trainable_layers", "baseline", "all-layers"),
    ]
    assert lacking(found) == pairs
    eight_rows(tmp_path)
    (tmp_path / "runs/all-layers/seed-123/metrics.json").unlink()
    found = next(each for each in load(tmp_path, so_far=True).comparisons if each.confounded)
    assert lacking(found) == pairs and found.clean_pairs[0].unfinished == "all-layers"
    assert "(`all-layers` is not finished)" in said(found)


# --- time


def test_time_is_a_ratio_on_one_device(tmp_path):
    layers = {"trainable_layers": "all"}
    both = published(0.95, 0.9, training_time_min=0.5)
    both["published"][1]["training_time_min"] = 1.0
    found = compared(tmp_path, *disagreeing(300, 1, 0), changed=layers, comparison=both)
    assert found.time_ratio == pytest.approx(56.4 / 23.4)
    assert "ratio 2.41 (published: 2.00, with everything computed again" in said(found)
    both = published(0.95, 0.9, training_time_min=0.5)
    both["published"][1]["device"] = "A100"
    found = compared(tmp_path, *disagreeing(300, 1, 0), comparison=both)
    assert "ratio 1.00.\n" in said(found)


@pytest.mark.parametrize(
    ("different", "obstacle"),
    [
        ({"device": "a*b*|c"}, r"the runs used different devices (NVIDIA H200 and a\*b\*\|c)"),
        ({"shared_device": True}, "other jobs ran on the device at the same time"),
        ({"threads": 2}, "the runs used different numbers of threads"),
        ({"training_time_seconds": 0}, "a training time is zero"),
    ],
)
def test_times_that_do_not_compare(tmp_path, different, obstacle):
    found = compared(tmp_path, *disagreeing(300, 1, 0), per_row={"variant": different})
    assert found.time_ratio is None
    assert f"- Training times are not compared: {obstacle}." in said(found)


# --- what becomes of a published claim


@pytest.mark.parametrize(
    ("claim", "published_difference", "lost", "gained", "outcome", "why"),
    [
        ("worse", -0.06, 20, 2, "confirmed", ""),
        ("worse", -0.15, 20, 2, "confirmed", ", but the published difference lies outside the"),
        ("better", 0.06, 2, 20, "confirmed", ""),
        ("better", 0.06, 20, 2, "contradicted", ": the published difference lies outside"),
        ("better", None, 20, 2, "contradicted", ": the difference here goes the other way"),
        ("worse", -0.15, 5, 6, "contradicted", ": the published difference lies outside"),
        ("worse", -0.01, 5, 6, "not settled here", ": the interval contains the published"),
        ("worse", None, 5, 6, "not settled here", ""),
        ("similar", 0.0, 1, 1, "confirmed", ""),
        ("similar", 0.0, 14, 9, "not settled here", ": the interval contains the published"),
        ("similar", 0.0, 20, 2, "contradicted", ": the published difference lies outside"),
        ("similar", None, 2, 12, "not settled here", ""),  # better, but perhaps by less than 2
        ("similar", None, 2, 30, "contradicted", ": the interval lies outside the margin"),
    ],
)
def test_outcomes(tmp_path, claim, published_difference, lost, gained, outcome, why):
    asked = {"claim": claim}
    if published_difference is not None:
        asked = published(0.80, 0.80 + published_difference, claim)
    found = compared(tmp_path, *disagreeing(300, lost, gained), comparison=asked)
    assert found.outcome == outcome
    assert f"**{outcome.capitalize()}**{why}" in said(found)


@pytest.mark.parametrize("seed", range(3))
def test_a_study_that_repeats_the_published_accuracies_contradicts_none_of_them(tmp_path, seed):
    """Equal differences lie in every interval; what 300 texts cannot show is not settled."""
    eight_rows(tmp_path, draw=seed)
    outcomes = {each.question.id: each.outcome for each in load(tmp_path).comparisons}
    assert "contradicted" not in outcomes.values()
    for clear in ("which-token", "last-layer-or-block", "medium-model", "full-context"):
        assert outcomes[clear] == "confirmed"
    assert outcomes["random-or-pretrained-clean"] is None


def test_numbers_without_a_claim_and_nothing_beside_stand_ins(tmp_path):
    found = compared(tmp_path, *disagreeing(300, 20, 2), comparison=published(0.95, 0.8))
    assert "without a claim about this pair (95.00% and 80.00%: −15.00 points)." in said(found)
    found = compared(
        tmp_path, *disagreeing(300, 20, 2), comparison=published(0.95, 0.8, "worse"), notes=["x"]
    )
    assert found.outcome is found.published_difference is None and "ublished" not in said(found)


# --- the whole document


def test_rows_with_and_without_published_numbers_are_in_one_table(tmp_path):
    second = configuration()["rows"][1]
    second["published"].pop("training_time_min")
    text = interpretation.markdown(study(tmp_path, second, {"id": "own", "epochs": 1}))
    assert "states no comparisons" in text
    (own,) = [line for line in text.splitlines() if "| own " in line]
    assert [cell.strip() for cell in own.split("|")[3:5]] == ["100.00%", "100.00%"]
    assert own.rstrip(" |").endswith("(NVIDIA H200)")


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 4), st.sampled_from([None, "better"]))
def test_it_reads_well_with_any_numbers(tmp_path, lost, gained, seeds, claim):
    two_rows(
        tmp_path,
        *disagreeing(40, lost, gained, seeds),
        comparison={"claim": claim} if claim else {},
    )
    flaws = re.compile(r"nan|None|inf |  |\.\.| \.|\( |-0\.00| 1 texts| 1 seeds")
    for line in interpretation.markdown(load(tmp_path)).splitlines():
        assert line.startswith("|") or not flaws.search(line), line


def test_the_numbers_behind_the_answers(eight, tmp_path):
    lines = list(csv.DictReader(numbers.comparisons(eight).splitlines()))
    assert [line["id"] for line in lines] == [c["id"] for c in configuration()["comparisons"]]
    third, found = lines[2], eight.comparisons[2]
    assert third["settings"] == "trainable_layers: last_block → all"
    assert float(third["difference_low"]) == pytest.approx(found.overall.low, rel=1e-5)
    assert (third["verdict"], third["outcome"]) == (found.verdict, found.outcome)
    assert third["equivalent"] == "false"
    assert float(third["smallest_difference_shown"]) == pytest.approx(found.smallest_shown, 1e-5)
    assert lines[5]["confounded"] == "true" and lines[6]["claim"] == lines[6]["outcome"] == ""
    assert numbers.comparisons(study(tmp_path)).splitlines() == [",".join(numbers.COMPARISON)]
