"""The study of nineteen rows says what was published, and shares its rows with config.yaml."""

from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from ablations.answers.comparisons import differing
from ablations.files import as_json
from ablations.study import extends
from ablations.study.config import Row
from commands import ROOT, shared, table

MAIN, EXTENDED = extends.read_study(ROOT), extends.read_study(ROOT / "studies/extended")
LENGTHS: dict[Any, str] = {
    "longest_training_example": "longest train ex. (120)",
    "model_context_length": "context length (1024)",
    "variable": "variable: no padding",
}


def published(row: Row) -> dict[str, Any]:
    """What the columns of the published files hold."""
    found = row.published
    assert found
    return {
        "model": row.settings.model,
        "weights": row.settings.weights,
        "trainable_token": row.settings.trainable_token,
        "trainable_layers": row.settings.trainable_layers,
        "context_length": LENGTHS[row.settings.context_length],
        "device": found.device,
        "training_time_min": found.training_time_min,
        "training_accuracy": found.train,
        "validation_accuracy": found.validation,
        "test_accuracy": found.test,
    }


def test_rows_that_both_studies_have_are_the_same_row_files() -> None:
    assert len(MAIN.rows) == 8 and len(EXTENDED.rows) == 19
    for row in MAIN.rows:
        assert as_json(EXTENDED.row(row.id).settings) == as_json(row.settings)
        assert EXTENDED.row(row.id).published == row.published


def test_it_says_no_more_than_what_differs() -> None:
    text = (ROOT / "studies/extended/config.yaml").read_text(encoding="utf-8")
    own = {"title", "cache_dir", "cache_gb", "rows", "comparisons"}
    assert yaml.safe_load(text).keys() == {"extends", *own}
    same = {"title": MAIN.title, "cache_dir": MAIN.cache_dir, "cache_gb": MAIN.cache_gb}
    same |= {"rows": MAIN.rows, "questions": MAIN.questions}
    assert replace(EXTENDED, **same) == MAIN
    assert (EXTENDED.cache_dir, EXTENDED.cache_gb) == ("../../results/cache", 12)


def test_five_folds_are_the_eight_rows_with_every_text_tested() -> None:
    found = extends.read_study(ROOT / "studies/five-folds")
    split = found.dataset.split
    assert split and (split.folds, split.validation, split.seed) == (5, 0.1, 123)
    assert found.cache_dir == EXTENDED.cache_dir
    same = {"title": MAIN.title, "cache_dir": MAIN.cache_dir, "dataset": MAIN.dataset}
    assert replace(found, **same) == MAIN
    assert replace(found.dataset, split=MAIN.dataset.split) == MAIN.dataset


def test_families_differ_in_one_setting_wherever_they_are_compared() -> None:
    found = extends.read_study(ROOT / "studies/families")
    kinds = {row.model.dimensions.type for row in found.rows}
    assert len(kinds) == 8 and sum(row.model.dimensions.encoder for row in found.rows) == 9
    for asked in found.questions:
        if asked.baseline not in found.references:
            baseline, variant = (found.row(id) for id in (asked.baseline, asked.variant))
            assert len(differing(baseline.settings, variant.settings)) == 1
    assert {row.settings.trainable_layers for row in found.rows} == {"last_block", "all"}


def test_the_published_numbers_are_the_published_ones() -> None:
    eight = table(shared("reference/published.csv"))
    eleven = {int(line["row"]): line for line in table(shared("reference/published-extended.csv"))}
    numbers = [number for number in range(1, 20) if number not in eleven]
    lines = eleven | dict(zip(numbers, eight, strict=True))
    for number, row in enumerate(EXTENDED.rows, start=1):
        for name, value in published(row).items():
            expected = lines[number][name]
            assert value == (float(expected) if isinstance(value, float) else expected), row.id


def test_the_further_settings_are_the_published_ones() -> None:
    """The column `extra`, in words where it has no numbers."""
    words = {
        "": {},
        "last non-padding position": {},  # trainable_token says so
        "no causal mask": {"causal_mask": False},
        "ignore_index 50256 for padding": {"ignore_index": 50256},
        "average_embeddings": {"average_embeddings": True},
    }
    usual = EXTENDED.row("baseline").settings.compared()
    columns = ("model", "weights", "trainable_token", "trainable_layers", "context_length")
    for line in table(shared("reference/published-extended.csv")):
        row = EXTENDED.rows[int(line["row"]) - 1]
        other = row.settings.compared().items()
        further = {key: value for key, value in other if value != usual[key]}
        parts = line["extra"].split()
        numbers = (
            dict(zip(parts[::2], map(int, parts[1::2]), strict=True))
            if (line["extra"] not in words)
            else words[line["extra"]]
        )
        expected = {key: value for key, value in numbers.items() if value != usual[key]}
        assert {key: further[key] for key in further if key not in columns} == expected


def test_every_published_claim_is_a_question() -> None:
    numbers = {row.id: number for number, row in enumerate(EXTENDED.rows, start=1)}
    about_rows = [each for each in EXTENDED.questions if each.baseline in numbers]
    asked = {(numbers[each.baseline], numbers[each.variant]): each.claim for each in about_rows}
    claimed = {
        (int(line["baseline_row"]), int(line["variant_row"])): line["claim"]
        for line in table(shared("reference/published-claims.csv"))
    }
    assert {pair: claim for pair, claim in asked.items() if claim} == claimed


def test_both_ask_whether_the_baseline_is_better_than_counting() -> None:
    (question,) = (each for each in MAIN.questions if each.baseline in MAIN.references)
    assert question in EXTENDED.questions


@pytest.mark.parametrize("id", ["random-or-pretrained-clean", "flexible-token-clean"])
def test_a_clean_pair_differs_in_one_setting(id: str) -> None:
    question = next(question for question in EXTENDED.questions if question.id == id)
    one = EXTENDED.row(question.baseline).settings.compared()
    other = EXTENDED.row(question.variant).settings.compared()
    assert sum(one[key] != other[key] for key in one) == 1
