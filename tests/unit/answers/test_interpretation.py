import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablations.answers import power, statistics
from ablations.answers.written import interpretation, numbers
from ablations.study import config
from synthetic_runs import configuration, disagreeing, eight_rows, load, two_rows, write


def text(folder):
    """interpretation.md, spaces made plain so that sentences can be searched."""
    read = load(folder)
    return interpretation.markdown(read)


def answer(folder):
    """The one question's section."""
    return text(folder).partition("## 1. ")[2].partition("## Measured")[0]


def verdict(folder):
    """The one sentence in bold."""
    (line,) = [line for line in answer(folder).splitlines() if line.startswith("**")]
    return line.strip("*")


def published(baseline, variant, claim, **keys):
    rows = [
        {"train": 1.0, "validation": 1.0, "test": test, "device": "V100"} | keys
        for test in (baseline, variant)
    ]
    return {"published": rows, "claim": claim}


# --- the verdict


def test_one_seed_speaks_of_two_trained_models(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    assert verdict(tmp_path) == (
        "Of these trained models, `variant` is less accurate than `baseline`."
    )
    two_rows(tmp_path, *disagreeing(300, 2, 20))
    assert "`variant` is more accurate than `baseline`" in verdict(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 5, 6))
    assert verdict(tmp_path) == (
        "No detectable difference between the trained models of `baseline` and `variant`."
    )
    assert "only if the exact McNemar test gives p below 0.05." in text(tmp_path)
    assert text(tmp_path).count("Every row was trained once") == 1
    assert f"gave a false alarm in {interpretation.ONE_SEED_ALARMS} of the studies" in text(
        tmp_path
    )


def test_two_seeds_are_said_to_be_too_few(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2, seeds=2))
    assert verdict(tmp_path) == (
        "Of these trained models, `variant` is less accurate than `baseline`."
    )
    assert "**2 seeds** are too few to measure the noise of training" in text(tmp_path)
    assert "an exact sign-flip test over messages" in text(tmp_path)


def test_three_seeds_and_more_speak_of_the_rows(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2, seeds=5))
    assert verdict(tmp_path) == "`variant` is less accurate than `baseline`."
    assert "On average, only `baseline` is right on 20 messages" in answer(tmp_path)
    assert (
        "a standard deviation of 0.00 points between the runs of a row, beyond what 300 test"
        " messages explain."
    ) in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 5, 6, seeds=3))
    assert verdict(tmp_path) == "No detectable difference between `baseline` and `variant`."


def test_all_rows_of_a_study_tell_how_much_runs_differ(tmp_path):
    """Two rows whose seeds agree are not told apart in a study whose other rows are noisy."""
    rows = [*configuration()["rows"][:1], {"id": "a", "epochs": 1}, {"id": "b", "epochs": 2}]
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": "a"}
    made = config.parse(configuration(rows=rows, seeds=[1, 2, 3], comparisons=[question]))
    baseline, a = disagreeing(300, 3, 16, seeds=3)
    noisy = np.ones((3, 300), bool)
    for seed, wrong in enumerate((0, 30, 60)):
        noisy[seed, :wrong] = False
    for b, decided in ((baseline, True), (noisy, False)):
        write(tmp_path, made, {"baseline": baseline, "a": a, "b": b})
        assert load(tmp_path).comparisons[0].decided == decided
    assert "a standard deviation of 5.7" in text(tmp_path)


def test_an_interval_that_excludes_zero_without_a_verdict_is_explained(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 0, 5))
    assert "The interval excludes zero narrowly. The verdict follows the exact test." in answer(
        tmp_path
    )
    two_rows(tmp_path, *disagreeing(300, 5, 6))
    assert "excludes zero" not in answer(tmp_path)
    rows = [*configuration()["rows"][:1], {"id": "a", "epochs": 1}, {"id": "b", "epochs": 2}]
    comparisons = [
        {"id": id, "question": "?", "baseline": "baseline", "variant": id} for id in ("a", "b")
    ]
    made = configuration(rows=rows, comparisons=comparisons)
    baseline, a = disagreeing(300, 2, 10)
    right = {"baseline": baseline, "a": a, "b": baseline}
    write(tmp_path, config.parse(made), right)
    assert "Among 2 comparisons it does not: with so many" in answer(tmp_path)


def test_the_verdict_is_the_adjusted_tests(tmp_path):
    eight_rows(tmp_path)
    seventh = load(tmp_path).comparisons[6]
    assert seventh.p < seventh.adjusted_p
    for comparison in load(tmp_path).comparisons:
        expected = comparison.adjusted_p < 0.05
        assert comparison.decided == expected == (comparison.verdict in ("better", "worse"))
    assert "adjusted for 8 comparisons by Holm's method" in text(tmp_path)
    assert "is for its own comparison and is not adjusted" in text(tmp_path)


# --- equivalence, and what would have been shown


def test_rows_that_differ_by_less_than_the_margin_are_equivalent(tmp_path):
    two_rows(tmp_path, *disagreeing(1000, 6, 5))
    assert verdict(tmp_path) == (
        "No detectable difference between the trained models of `baseline` and `variant`; they are"
        " equivalent within ±2 points."
    )
    assert "- Equivalent: the 90% interval −0.72 to +0.50 lies within ±2 points.\n" in answer(
        tmp_path
    )
    assert "no detectable difference, equivalent within ±2 points" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    (found,) = load(tmp_path).comparisons
    assert found.overall.low < found.equivalence.low < -0.02
    low, high = (f"{100 * end:+.2f}" for end in (found.equivalence.low, found.equivalence.high))
    limits = f"the 90% interval {low} to {high}".replace("-", "−")
    assert f"- Not shown to be equivalent: {limits} reaches beyond ±2 points.\n" in answer(tmp_path)


def test_the_margin_is_the_users(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9), margin=5)
    assert "they are equivalent within ±5 points" in verdict(tmp_path)
    assert "lies within ±5 points (`margin` in the configuration)" in text(tmp_path)


def test_a_difference_can_be_real_and_small(tmp_path):
    two_rows(tmp_path, *disagreeing(3000, 5, 30))
    assert verdict(tmp_path) == (
        "Of these trained models, `variant` is more accurate than `baseline`; they are equivalent"
        " within ±2 points."
    )
    assert "The difference is small: the 90% interval" in answer(tmp_path)


def test_few_messages_cannot_show_equivalence(tmp_path):
    two_rows(tmp_path, *disagreeing(100, 0, 0))
    assert "100 test messages cannot show that, whatever the rows answer." in text(tmp_path)
    assert "equivalent" not in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 0, 0))
    assert "cannot show that" not in text(tmp_path)


def test_what_is_shown_is_never_said_to_be_impossible(tmp_path):
    """Five seeds average out what one seed errs in."""
    baseline, variant = np.ones((2, 5, 75), bool)
    variant[0, 0] = False
    two_rows(tmp_path, baseline, variant)
    assert "they are equivalent within ±2 points" in verdict(tmp_path)
    assert "cannot show that" not in text(tmp_path)


def test_the_smallest_difference_that_the_study_would_show(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    (found,) = load(tmp_path).comparisons
    points = 100 * found.smallest_shown
    assert 4 < points < 6
    assert (
        f"- A true difference of {points:.1f} points is the smallest that this study would show in"
        " four of five cases.\n"
    ) in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    assert "is the smallest that" not in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(5, 1, 0))
    assert "This study is too small, or its runs differ too much" in answer(tmp_path)


def test_no_smallest_difference_is_larger_than_any_that_can_be(tmp_path):
    """With three noisy seeds it would be 78 points, from an accuracy of 50%."""
    right = np.zeros((2, 3, 60), bool)
    for row, counts in zip(right, ([40, 30, 20], [20, 40, 30]), strict=True):
        for seed, count in zip(row, counts, strict=True):
            seed[:count] = True
    assert power.smallest_shown(statistics.pair(*right), 1) > 0.5
    two_rows(tmp_path, *right)
    (found,) = load(tmp_path).comparisons
    assert found.smallest_shown is None
    assert "too small, or its runs differ too much" in answer(tmp_path)


def test_what_the_smallest_difference_rests_on_is_said(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert "for rows that disagree as often as these do.\n" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    assert "The smallest difference" not in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 14, 9, seeds=3))
    assert "would show in four of five cases, at best.\n" in answer(tmp_path)
    assert "were shown in two of three to three of four cases (docs/statistics.md)" in text(
        tmp_path
    )
    eight_rows(tmp_path)
    assert "at the strictest level of Holm's method, 0.05 / 8.\n" in text(tmp_path)


def test_equivalence_is_said_not_to_be_adjusted_where_there_are_several(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert "not adjusted" not in text(tmp_path)
    eight_rows(tmp_path)
    assert "This is not adjusted for the number of comparisons.\n" in text(tmp_path)


# --- what it rests on


def test_the_difference_with_its_interval_and_p(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert (
        "- Test accuracy: 97.00% (`baseline`), 95.33% (`variant`). Difference: −1.67 points (95%"
        " interval −5.09 to +1.58).\n"
        "- Only `baseline` is right on 14 messages, only `variant` on 9 messages: p = 0.40.\n"
    ) in answer(tmp_path)


def test_identical_predictions(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 0, 0))
    assert "Difference: 0.00 points (95% interval −1.26 to +1.26)." in answer(tmp_path)
    assert "- Both rows get the same test messages right.\n" in answer(tmp_path)


def test_shares_of_seeds_are_whole_messages_where_they_are(tmp_path):
    two_rows(tmp_path, *disagreeing(175, 62, 15))
    assert "Only `baseline` is right on 62 messages, only `variant` on 15 messages" in answer(
        tmp_path
    )
    baseline, variant = disagreeing(300, 3, 0, seeds=3)
    variant[0, :5] = False
    two_rows(tmp_path, baseline, variant)
    assert "only `baseline` is right on 3.7 messages, only `variant` on 0 messages" in answer(
        tmp_path
    )


def test_near_copies_of_training_messages_are_left_out_too(tmp_path):
    two_rows(tmp_path, *disagreeing(100, 10, 0), seen=[1, 3, 5, 6])
    assert "Without near-copies of training messages (96 messages): −6.25 points (" in answer(
        tmp_path
    )
    assert "4 of the test messages are equal or nearly equal" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(100, 10, 0), seen=range(100))
    assert "near-copies" not in answer(tmp_path)


# --- the settings


def test_one_setting(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert "- Changed: trainable_token (last → first).\n" in answer(tmp_path)


def test_no_setting(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), changed={"weights": "pretrained"})
    assert "The two rows have the same settings." in answer(tmp_path)


def test_training_options_are_settings_too(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), changed={"epochs": 10})
    assert "- Changed: epochs (5 → 10).\n" in answer(tmp_path)


def test_confounded_rows_name_the_rows_that_would_make_it_clean(tmp_path):
    changed = {"weights": "random", "trainable_layers": "all"}
    two_rows(tmp_path, *disagreeing(300, 20, 2), changed=changed)
    assert "**Confounded:** 2 settings change at once" in answer(tmp_path)
    for name, value in (("weights", "pretrained"), ("trainable_layers", "last_block")):
        assert (
            f"For {name} alone, the study lacks a row: one like `variant` with {name} {value}."
        ) in answer(tmp_path)
    assert verdict(tmp_path).endswith("Which of the changed settings is the reason cannot be told.")
    assert "worse, confounded" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 1, 2), changed=changed)
    assert verdict(tmp_path).endswith("The effects of the changed settings may cancel out.")


def test_a_clean_row_that_is_not_finished_is_not_said_to_be_lacking(tmp_path):
    eight_rows(tmp_path)
    (tmp_path / "runs/all-layers/seed-123/metrics.json").unlink()
    results = load(tmp_path, so_far=True)
    said = interpretation.markdown(results)
    assert "lacks a row" not in said
    assert (
        "For weights alone, compare `all-layers` with `random-weights` (`all-layers` is not"
        " finished)."
    ) in said


def test_p_values_are_adjusted_for_the_comparisons_that_are_not_finished_too(tmp_path):
    """Else a verdict so far could be withdrawn when the rest is finished."""
    eight_rows(tmp_path)
    whole = {found.question.id: found.adjusted_p for found in load(tmp_path).comparisons}
    for row in ("first-token", "medium", "large", "full-context"):
        (tmp_path / f"runs/{row}/seed-123/metrics.json").unlink()
    results = load(tmp_path, so_far=True)
    part = results.comparisons
    assert 0 < len(part) < len(whole)
    assert all(found.adjusted_p >= whole[found.question.id] for found in part)
    assert f"adjusted for {len(whole)} comparisons" in interpretation.markdown(results)


def test_a_row_that_would_make_it_clean_is_one_that_a_study_can_have(tmp_path):
    """No row without padding has batches of several texts, so none is asked for."""
    changed = {"context_length": "variable", "batch_size": 1}
    two_rows(tmp_path, *disagreeing(300, 1, 2), changed=changed)
    for name, row, value in (
        ("context_length", "variant", "longest_training_example"),
        ("batch_size", "baseline", "1"),
    ):
        assert (
            f"For {name} alone, the study lacks a row: one like `{row}` with {name} {value}."
        ) in answer(tmp_path)


def test_a_clean_row_takes_loras_own_options_with_it(tmp_path):
    lora = {"trainable_layers": "lora", "lora_rank": 16}
    rows = [
        configuration()["rows"][0] | {"weights": "random"},
        {"id": "lora", "weights": "pretrained", **lora},
        {"id": "random-lora", **lora},
    ]
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": "lora"}
    parsed = config.parse(configuration(rows=rows, comparisons=[question]))
    write(tmp_path, parsed, {row.id: np.ones((1, 20), bool) for row in parsed.rows})
    assert (
        "For weights alone, compare `random-lora` with `lora`. For trainable_layers alone, compare"
        " `baseline` with `random-lora`."
    ) in answer(tmp_path)


def test_lora_s_own_options_are_no_further_difference_from_other_layers(tmp_path):
    lora = {"trainable_layers": "lora", "lora_rank": 16, "lora_alpha": 16}
    two_rows(tmp_path, *disagreeing(300, 9, 0), changed=lora)
    (comparison,) = load(tmp_path).comparisons
    assert [setting.name for setting in comparison.settings] == ["trainable_layers"]
    assert not comparison.confounded


def test_the_token_is_no_further_difference_from_an_average(tmp_path):
    average = {"average_embeddings": True, "trainable_token": "first"}
    two_rows(tmp_path, *disagreeing(300, 9, 0), changed=average)
    assert "- Changed: average_embeddings (false → true).\n" in answer(tmp_path)


def test_a_clean_row_without_an_average_has_the_other_row_s_token(tmp_path):
    """The baseline's could not be averaged with its own."""
    rows = [
        configuration()["rows"][0] | {"trainable_token": "flexible"},
        {"id": "average", "average_embeddings": True, "trainable_token": "last", "epochs": 9},
        {"id": "longer", "epochs": 9},
    ]
    question = {"id": "q", "question": "?", "baseline": "baseline", "variant": "average"}
    parsed = config.parse(configuration(rows=rows, comparisons=[question]))
    write(tmp_path, parsed, {row.id: np.ones((1, 20), bool) for row in parsed.rows})
    assert "For average_embeddings alone, compare `longer` with `average`." in answer(tmp_path)


def test_the_published_random_weights_claim_is_confounded_and_has_a_clean_pair(tmp_path):
    eight_rows(tmp_path)
    assert (
        "For weights alone, compare `all-layers` with `random-weights`. For trainable_layers alone,"
        " compare `baseline` with `all-layers`."
    ) in text(tmp_path)


# --- time


def test_time_is_a_ratio_on_one_device(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), changed={"trainable_layers": "all"})
    assert (
        "- Training time: 0.39 min (`baseline`), 0.94 min (`variant`), ratio 2.41.\n"
    ) in answer(tmp_path)
    assert "The output of frozen layers is computed once and reused." in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 1, 0), trunk_time_seconds=0.0)
    assert "is computed once" not in text(tmp_path)
    two_rows(
        tmp_path, *disagreeing(300, 1, 0), per_row={"variant": {"training_time_seconds": 1000}}
    )
    assert "ratio 43." in answer(tmp_path)


def test_the_published_ratio_is_beside_ours(tmp_path):
    both = published(0.95, 0.9, "worse", training_time_min=0.5)
    both["published"][1]["training_time_min"] = 1.0
    two_rows(tmp_path, *disagreeing(300, 1, 0), comparison=both)
    assert "(published: 2.00, with everything computed again in every epoch)" in answer(tmp_path)
    both = published(0.95, 0.9, "worse", training_time_min=0.5)
    both["published"][1]["device"] = "A100"
    two_rows(tmp_path, *disagreeing(300, 1, 0), comparison=both)
    assert "(published: " not in answer(tmp_path)


@pytest.mark.parametrize(
    ("different", "obstacle"),
    [
        ({"device": "a CPU"}, "the runs used different devices (NVIDIA H200 and a CPU)"),
        ({"shared_device": True}, "other jobs ran on the device at the same time"),
        ({"threads": 2}, "the runs used different numbers of threads"),
        ({"training_time_seconds": 0}, "a training time is zero"),
    ],
)
def test_times_that_do_not_compare(tmp_path, different, obstacle):
    two_rows(tmp_path, *disagreeing(300, 1, 0), per_row={"variant": different})
    assert f"- Training times are not compared: {obstacle}.\n" in answer(tmp_path)
    assert load(tmp_path).comparisons[0].time.ratio is None


def test_devices_are_no_markup(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), per_row={"variant": {"device": "a*b*|c"}})
    assert r"different devices (NVIDIA H200 and a\*b\*\|c)" in answer(tmp_path)


# --- what becomes of a published claim


@pytest.mark.parametrize(
    ("claim", "published_difference", "lost", "gained", "outcome"),
    [
        ("worse", -0.06, 20, 2, "confirmed"),
        ("worse", -0.15, 20, 2, "confirmed"),  # the claim is a direction
        ("better", 0.06, 2, 20, "confirmed"),
        ("better", 0.06, 20, 2, "contradicted"),
        ("better", None, 20, 2, "contradicted"),
        ("worse", -0.15, 5, 6, "contradicted"),  # so large a difference is excluded
        ("worse", -0.01, 5, 6, "not settled here"),
        ("worse", None, 5, 6, "not settled here"),
        ("similar", 0.0, 1, 1, "confirmed"),
        ("similar", 0.0, 14, 9, "not settled here"),
        ("similar", 0.0, 20, 2, "contradicted"),
        ("similar", None, 2, 12, "not settled here"),  # better, but perhaps by less than 2 points
        ("similar", None, 2, 30, "contradicted"),
    ],
)
def test_outcomes(tmp_path, claim, published_difference, lost, gained, outcome):
    comparison = {"claim": claim}
    if published_difference is not None:
        comparison = published(0.80, 0.80 + published_difference, claim)
    two_rows(tmp_path, *disagreeing(300, lost, gained), comparison=comparison)
    assert load(tmp_path).comparisons[0].outcome == outcome
    assert f"**{outcome.capitalize()}**" in answer(tmp_path)


@pytest.mark.parametrize("seed", range(5))
def test_a_study_that_repeats_the_published_accuracies_contradicts_none_of_them(tmp_path, seed):
    """Equal differences lie in every interval; what 300 messages cannot show is not settled."""
    eight_rows(tmp_path, draw=seed)
    outcomes = {each.question.id: each.outcome for each in load(tmp_path).comparisons}
    assert "contradicted" not in outcomes.values()
    for clear in ("which-token", "last-layer-or-block", "medium-model", "full-context"):
        assert outcomes[clear] == "confirmed"
    assert outcomes["random-or-pretrained-clean"] is None


def test_published_numbers_and_the_reason_are_given(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison=published(0.95, 0.8, "worse"))
    assert (
        "- Published: worse (95.00% and 80.00%: −15.00 points). **Confirmed**, but the published"
        " difference lies outside the interval.\n"
    ) in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 5, 6), comparison=published(0.95, 0.96, "better"))
    assert (
        "**Not settled here**: the interval contains the published difference and zero."
        in answer(tmp_path)
    )
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison={"claim": "worse"})
    assert "- Published: worse. **Confirmed**.\n" in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison={"claim": "better"})
    assert "**Contradicted**: the difference here goes the other way." in answer(tmp_path)


def test_a_difference_the_other_way_contradicts_only_as_a_verdict(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 6, 5), comparison={"claim": "better"})
    assert "**Not settled here**" in answer(tmp_path)
    assert "*Contradicted*: the verdict is a difference the other way, or" in text(tmp_path)


def test_a_repetition_is_not_called_a_replication(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison={"claim": "worse"})
    assert "It is not an independent replication." in text(tmp_path)


def test_numbers_without_a_claim(tmp_path):
    comparison = published(0.95, 0.8, "worse")
    del comparison["claim"]
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison=comparison)
    assert (
        "- Published, without a claim about this pair (95.00% and 80.00%: −15.00 points).\n"
    ) in answer(tmp_path)


def test_values_are_written_as_in_the_configuration(tmp_path):
    changed = {"causal_mask": False, "ignore_index": 50256}
    two_rows(tmp_path, *disagreeing(300, 6, 5), changed=changed)
    for found in (text(tmp_path), numbers.comparisons(load(tmp_path))):
        assert "causal_mask" in found and "true → false" in found and "none → 50256" in found


def test_where_nothing_was_published_nothing_is_said_of_it(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    assert "ublished" not in text(tmp_path)


# --- the whole document


def test_every_question_of_the_default_study_is_answered(tmp_path):
    eight_rows(tmp_path)
    document = text(tmp_path)
    for number, entry in enumerate(configuration()["comparisons"], start=1):
        assert f"## {number}. {entry['question']}\n" in document
    beside = document.partition("## Measured and published")[2]
    assert (
        "| 95.00%, 95.00% (0.00)" in beside and "0.39 min (NVIDIA H200), 0.39 min (V100)" in beside
    )
    assert len([line for line in beside.splitlines() if line.startswith("| ")]) == 1 + 8


def test_rows_with_and_without_published_numbers_are_in_one_table(tmp_path):
    made = configuration()
    made["rows"] = [*made["rows"][:2], {"id": "own", "epochs": 1}]
    made["rows"][1]["published"].pop("training_time_min")
    made["comparisons"] = []
    parsed = config.parse(made)
    write(tmp_path, parsed, {row.id: np.ones((1, 20), bool) for row in parsed.rows})
    lines = text(tmp_path).splitlines()
    assert "states no comparisons" in text(tmp_path)
    (own,) = [line for line in lines if "| own " in line]
    assert [cell.strip() for cell in own.split("|")[3:5]] == ["100.00%", "100.00%"]
    assert own.rstrip(" |").endswith("(NVIDIA H200)")


def test_nothing_published_is_shown_beside_standins(tmp_path):
    comparison = published(0.95, 0.9, "worse")
    two_rows(tmp_path, *disagreeing(300, 1, 0), comparison=comparison, notes=["Stand-in: nano."])
    assert "> **Stand-in: nano.**" in text(tmp_path).partition("## In short")[0]
    assert "ublished" not in text(tmp_path)
    assert load(tmp_path).comparisons[0].outcome is None


def test_a_study_without_answers_says_why(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    (tmp_path / "runs/variant/seed-100/metrics.json").unlink()
    read = load(tmp_path, so_far=True)
    document = interpretation.markdown(read)
    assert "No comparison has both its rows finished." in document
    assert "> **Provisional: 1 run is missing. variant (seed 100: not finished)." in document
    assert "states no comparisons" not in document


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 4), st.sampled_from([None, "better"]))
def test_it_reads_well_with_any_numbers(tmp_path, lost, gained, seeds, claim):
    comparison = {"claim": claim} if claim else {}
    two_rows(tmp_path, *disagreeing(40, lost, gained, seeds), comparison=comparison)
    document = text(tmp_path)
    for flaw in ("nan", "None", "inf ", "  ", "..", " .", "( ", "-0.00", " 1 messages", " 1 seeds"):
        for line in document.splitlines():
            assert flaw not in line or line.startswith("|"), (flaw, line)


# --- comparisons.csv and the program


def test_the_numbers_behind_the_answers(tmp_path):
    eight_rows(tmp_path)
    lines = list(csv.DictReader(numbers.comparisons(load(tmp_path)).splitlines()))
    assert [line["id"] for line in lines] == [c["id"] for c in configuration()["comparisons"]]
    third = lines[2]
    assert third["settings"] == "trainable_layers: last_block → all"
    assert float(third["difference_low"]) < float(third["difference"])
    assert third["verdict"] == "no detectable difference"
    assert third["outcome"] == "not settled here" and third["equivalent"] == "false"
    assert 0.02 < float(third["smallest_difference_shown"]) < 0.1
    assert lines[5]["confounded"] == "true" and lines[6]["claim"] == lines[6]["outcome"] == ""


def test_a_study_without_questions_has_no_comparisons(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    facts = json.loads((tmp_path / "study.json").read_text()) | {"questions": []}
    (tmp_path / "study.json").write_text(json.dumps(facts))
    read = load(tmp_path)
    assert read.comparisons == ()
    assert numbers.comparisons(read).splitlines() == [",".join(numbers.CSV_HEADINGS)]
