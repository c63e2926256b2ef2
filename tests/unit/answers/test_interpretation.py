import csv
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ablations.answers import interpretation
from ablations.answers.comparisons import compare_all
from ablations.study import config
from synthetic_runs import configuration, disagreeing, eight_rows, load, program, two_rows, write


def text(folder):
    """interpretation.md, spaces made plain so that sentences can be searched."""
    read = load(folder)
    return interpretation.markdown(read, compare_all(read))


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
        "Of these two trained models, `variant` is less accurate than `baseline`; training noise"
        " was not measured."
    )
    two_rows(tmp_path, *disagreeing(300, 2, 20))
    assert "`variant` is more accurate than `baseline`" in verdict(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 5, 6))
    assert verdict(tmp_path) == (
        "No detectable difference between these two trained models, `baseline` and `variant`, at"
        " this sample size; training noise was not measured."
    )
    assert "the exact McNemar test gives p below 0.05" in text(tmp_path)
    assert "Every row was trained once" in text(tmp_path)


def test_two_seeds_are_said_to_be_too_few(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2, seeds=2))
    assert verdict(tmp_path) == (
        "Of these trained models (two seeds each), `variant` is less accurate than `baseline`;"
        " training noise was not measured."
    )
    assert "2 seeds, too few to measure the noise of training" in text(tmp_path)
    assert "an exact sign-flip test over messages" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 5, 6, seeds=2))
    assert verdict(tmp_path).startswith(
        "No detectable difference between these trained models (two seeds each), `baseline` and"
    )


def test_many_seeds_speak_of_the_rows(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2, seeds=5))
    assert verdict(tmp_path) == "`variant` is less accurate than `baseline`, over 5 seeds."
    assert "on average 20 messages only `baseline` gets right" in answer(tmp_path)
    assert "count both the choice of messages and the noise of training" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 5, 6, seeds=3))
    assert verdict(tmp_path) == (
        "No detectable difference between `baseline` and `variant` at this sample size, over"
        " 3 seeds."
    )


def test_few_seeds_are_said_to_measure_training_noise_roughly(tmp_path):
    for seeds, rough in ((2, False), (3, True), (4, True), (5, False)):
        two_rows(tmp_path, *disagreeing(300, 5, 6, seeds=seeds))
        assert ("measure that noise only roughly" in text(tmp_path)) == rough


def test_an_interval_that_leaves_out_zero_beside_no_verdict_is_explained(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 0, 5))
    assert "The interval just leaves out zero, but the verdict is the exact test's." in answer(
        tmp_path
    )
    two_rows(tmp_path, *disagreeing(300, 5, 6))
    assert "leaves out zero" not in answer(tmp_path)
    rows = [*configuration()["rows"][:1], {"id": "a", "epochs": 1}, {"id": "b", "epochs": 2}]
    comparisons = [
        {"id": id, "question": "?", "baseline": "baseline", "variant": id} for id in ("a", "b")
    ]
    made = configuration(rows=rows, comparisons=comparisons)
    baseline, a = disagreeing(300, 2, 10)
    right = {"baseline": baseline, "a": a, "b": baseline}
    write(tmp_path, config.parse(made), right)
    assert (
        "Alone, this comparison would count as a difference; as one of 2, which give chance as many"
        " occasions, it does not."
    ) in answer(tmp_path)


def test_the_verdict_is_the_adjusted_tests(tmp_path):
    eight_rows(tmp_path)
    seventh = compare_all(load(tmp_path))[6]
    assert seventh.p < seventh.adjusted_p
    for comparison in compare_all(load(tmp_path)):
        expected = comparison.adjusted_p < 0.05
        assert comparison.decided == expected == (comparison.verdict in ("better", "worse"))
    assert "adjusted for 8 comparisons by Holm's method" in text(tmp_path)
    assert "each by itself, not adjusted" in text(tmp_path)


# --- what it rests on


def test_the_difference_with_its_interval_and_p(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert (
        "- Test accuracy 97.00% → 95.33%: −1.67 points (95% interval −5.09 to +1.58); 14 messages"
        " only `baseline` gets right, 9 messages only `variant`; p = 0.40.\n"
    ) in answer(tmp_path)


def test_a_tie(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 1))
    assert "a tie, 0.00 points (95% interval −1.56 to +1.56); 1 message only" in answer(tmp_path)
    assert "to show a true difference of 1 point four times in five" in answer(tmp_path)
    assert verdict(tmp_path).startswith("No detectable difference")


def test_identical_predictions(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 0, 0))
    assert (
        "both rows classify every test message alike. A difference within −1.26 to +1.26 points is"
        " not excluded (95% interval)."
    ) in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 0, 0, seeds=3))
    assert "classify every test message alike with every seed." in answer(tmp_path)


def test_shares_of_seeds_are_whole_messages_where_they_are(tmp_path):
    two_rows(tmp_path, *disagreeing(175, 62, 15))
    assert "; 62 messages only `baseline` gets right, 15 messages only" in answer(tmp_path)
    baseline, variant = disagreeing(300, 3, 0, seeds=3)
    variant[0, :5] = False
    two_rows(tmp_path, baseline, variant)
    assert "on average 3.7 messages only `baseline` gets right, 0 messages" in answer(tmp_path)


def test_messages_not_seen_in_training_are_also_compared(tmp_path):
    two_rows(tmp_path, *disagreeing(100, 10, 0), seen=[1, 3, 5, 6])
    assert "on the 96 messages not seen in training −6.25." in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(100, 10, 0), seen=range(100))
    assert "not seen in training" not in answer(tmp_path)


def test_how_many_messages_an_undecided_comparison_would_take(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert (
        "- It would take about 2,200 test messages instead of 300 to show a true difference as"
        " large as the one measured (−1.67 points) four times in five.\n"
    ) in answer(tmp_path)
    eight_rows(tmp_path / "eight")
    strict = "four times in five, at the strictest level that Holm's method asks of 8 comparisons."
    assert strict in text(tmp_path / "eight")
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    assert "It would take" not in answer(tmp_path)


def test_training_noise_that_no_number_of_messages_overcomes(tmp_path):
    baseline, variant = disagreeing(300, 0, 0, seeds=3)
    variant[1, :10] = False
    variant[2, :25] = False
    two_rows(tmp_path, baseline, variant)
    assert "training noise is too large for 3 seeds; more seeds would help." in answer(tmp_path)


# --- the settings


def test_one_setting(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 14, 9))
    assert "`baseline` → `variant` changes one setting: trainable_token (last → first)." in answer(
        tmp_path
    )


def test_no_setting(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), changed={"weights": "pretrained"})
    assert "The two rows have the same settings" in answer(tmp_path)


def test_training_options_are_settings_too(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), changed={"epochs": 10})
    assert "changes one setting: epochs (5 → 10)." in answer(tmp_path)


def test_confounded_rows_name_the_rows_that_would_make_it_clean(tmp_path):
    changed = {"weights": "random", "trainable_layers": "all"}
    two_rows(tmp_path, *disagreeing(300, 20, 2), changed=changed)
    assert "**Confounded:** `baseline` → `variant` changes 2 settings at once" in answer(tmp_path)
    for name, value in (("weights", "pretrained"), ("trainable_layers", "last_block")):
        assert (
            f"For {name} alone the study lacks a row: one like `variant` with {name} {value}."
        ) in answer(tmp_path)
    assert verdict(tmp_path).endswith("; which of the settings is responsible cannot be told.")
    assert "worse, confounded" in text(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 1, 2), changed=changed)
    assert verdict(tmp_path).endswith("; effects of the settings may have cancelled out.")


def test_the_published_random_weights_claim_is_confounded_and_has_a_clean_pair(tmp_path):
    eight_rows(tmp_path)
    assert (
        "For weights alone compare `all-layers` with `random-weights`. For trainable_layers alone"
        " compare `baseline` with `all-layers`."
    ) in text(tmp_path)


# --- time


def test_time_is_a_ratio_on_one_device(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 1, 0), changed={"trainable_layers": "all"})
    assert (
        "- Training time 0.39 min → 0.94 min, 2.41 times as long, with the output of frozen layers"
        " computed once and reused.\n"
    ) in answer(tmp_path)
    two_rows(tmp_path, *disagreeing(300, 1, 0), trunk_time_seconds=0.0)
    assert "Training time 0.39 min → 0.39 min, 1.00 times as long.\n" in answer(tmp_path)
    two_rows(
        tmp_path, *disagreeing(300, 1, 0), per_row={"variant": {"training_time_seconds": 1000}}
    )
    assert "43 times as long" in answer(tmp_path)


def test_the_published_ratio_stands_beside_ours(tmp_path):
    both = published(0.95, 0.9, "worse", training_time_min=0.5)
    both["published"][1]["training_time_min"] = 1.0
    two_rows(tmp_path, *disagreeing(300, 1, 0), comparison=both)
    assert "the published ratio, of loops that recompute everything, is 2.00." in answer(tmp_path)
    both = published(0.95, 0.9, "worse", training_time_min=0.5)
    both["published"][1]["device"] = "A100"
    two_rows(tmp_path, *disagreeing(300, 1, 0), comparison=both)
    assert "published ratio" not in answer(tmp_path)


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
    assert compare_all(load(tmp_path))[0].time.ratio is None


# --- what was published


@pytest.mark.parametrize(
    ("lost", "gained", "claim", "agrees"),
    [
        (20, 2, "worse", True),
        (20, 2, "better", False),
        (20, 2, "similar", False),
        (2, 20, "better", True),
        (5, 6, "similar", True),
        (5, 6, "worse", False),
    ],
)
def test_the_two_agree_when_the_verdict_class_is_the_same(tmp_path, lost, gained, claim, agrees):
    two_rows(tmp_path, *disagreeing(300, lost, gained), comparison=published(0.95, 0.8, claim))
    said = f"Published: {claim} (95.00% → 80.00%, −15.00 points). "
    outcome = "The two agree." if agrees else "The two do not agree: here, "
    assert said + outcome in answer(tmp_path)
    assert compare_all(load(tmp_path))[0].agrees is agrees


def test_a_published_difference_that_our_interval_allows(tmp_path):
    comparison = published(0.95, 0.96, "better")
    two_rows(tmp_path, *disagreeing(300, 5, 6), comparison=comparison)
    assert "though the published difference lies within our interval." in answer(tmp_path)


def test_a_claim_without_numbers(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison={"claim": "worse"})
    assert "- Published: worse. The two agree.\n" in answer(tmp_path)


def test_numbers_without_a_claim(tmp_path):
    comparison = published(0.95, 0.8, "worse")
    del comparison["claim"]
    two_rows(tmp_path, *disagreeing(300, 20, 2), comparison=comparison)
    assert (
        "- Published without a claim about this pair (95.00% → 80.00%, −15.00 points).\n"
    ) in answer(tmp_path)


def test_where_nothing_was_published_nothing_is_said_of_it(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    assert "ublished" not in text(tmp_path)


# --- the whole document


def test_every_question_of_the_default_study_is_answered(tmp_path):
    eight_rows(tmp_path)
    document = text(tmp_path)
    for number, entry in enumerate(configuration()["comparisons"], start=1):
        assert f"## {number}. {entry['question']}\n" in document
    beside = document.partition("## Measured beside published")[2]
    assert (
        "| 95.00%, 95.00% (0.00)" in beside and "0.39 min (NVIDIA H200), 0.39 min (V100)" in beside
    )
    assert len([line for line in beside.splitlines() if line.startswith("| ")]) == 1 + 8


def test_rows_with_and_without_published_numbers_stand_side_by_side(tmp_path):
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


def test_standins_are_named_above_all_and_make_published_numbers_no_yardstick(tmp_path):
    comparison = published(0.95, 0.9, "worse")
    two_rows(tmp_path, *disagreeing(300, 1, 0), comparison=comparison, notes=["Stand-in: nano."])
    before, _, after = text(tmp_path).partition("## In short")
    assert "> **Stand-in: nano.**" in before
    assert "they are no yardstick" in after


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
    lines = list(
        csv.DictReader(interpretation.comma_separated(compare_all(load(tmp_path))).splitlines())
    )
    assert [line["id"] for line in lines] == [c["id"] for c in configuration()["comparisons"]]
    third = lines[2]
    assert third["settings"] == "trainable_layers: last_block → all"
    assert float(third["difference_low"]) < float(third["difference"])
    assert third["verdict"] == "no detectable difference" and third["agrees"] == "false"
    assert int(third["messages_needed"]) > 300 and lines[0]["messages_needed"] == ""
    assert lines[5]["confounded"] == "true" and lines[6]["claim"] == lines[6]["agrees"] == ""


def test_the_program_writes_both_files(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    facts = json.loads((tmp_path / "study.json").read_text()) | {"questions": []}
    (tmp_path / "study.json").write_text(json.dumps(facts))
    outputs = tmp_path / "i.md", tmp_path / "c.csv"
    done = program(tmp_path, "interpretation", "--markdown", outputs[0], "--csv", outputs[1])
    assert done.returncode == 0, done.stderr
    assert outputs[0].read_text() == text(tmp_path)
    assert outputs[1].read_text().splitlines() == [",".join(interpretation.CSV_HEADINGS)]
