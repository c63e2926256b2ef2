"""Which of several places decides an option: the row, else the baseline, else training, else none.

An option may be left out everywhere; then it has its default.
"""

from typing import Any

import pytest
from msgspec import structs

from ablations.study import config, words
from ablations.study.settings import defaults
from synthetic_runs import configuration

# An option with a default, and three other values for it.
OPTIONS: list[tuple[str, list[Any]]] = [
    ("accumulation_steps", [2, 3, 4]),
    ("ignore_index", [7, 8, 9]),
    ("micro_batch", [1, 2, 4]),
]
OF_ROWS = [("causal_mask", False), ("average_embeddings", True)]


def found(row: dict[str, Any], baseline: dict[str, Any], training: dict[str, Any]) -> Any:
    """The settings of a row of a study that holds these."""
    made = configuration(comparisons=[])
    made["training"] |= training
    made["rows"] = [made["rows"][0] | baseline, {"id": "other", **row}]
    return config.parse(made).row("other").settings


@pytest.mark.parametrize(("name", "values"), OPTIONS, ids=str)
def test_the_nearest_place_decides(name: str, values: list[Any]) -> None:
    own, inherited, general = ({name: value} for value in values)

    def option(*places: dict[str, Any]) -> Any:
        return getattr(found(*places).training, name)

    assert option(own, inherited, general) == values[0]
    assert option({}, inherited, general) == values[1]
    assert option({}, inherited, {}) == values[1]
    assert option({}, {}, general) == values[2]
    assert option({}, {}, {}) == defaults()[name]


@pytest.mark.parametrize(("name", "value"), OF_ROWS)
def test_a_row_takes_options_with_a_default_from_the_baseline_too(name: str, value: Any) -> None:
    assert getattr(found({}, {name: value}, {}), name) == value
    assert getattr(found({name: not value}, {name: value}, {}), name) != value
    assert getattr(found({}, {}, {}), name) == defaults()[name]


def test_a_row_takes_lora_s_options_from_the_baseline_too() -> None:
    baseline = {"trainable_layers": "lora", "lora_rank": 3, "lora_alpha": 5}
    inherited = found({}, baseline, {})
    assert (inherited.lora_rank, inherited.lora_alpha) == (3, 5)


def test_an_option_that_is_not_read_decides_nothing() -> None:
    lora = found({"trainable_layers": "lora"}, {}, {})
    assert lora.compared().keys() == lora.deciding().keys()
    unread = found({"average_embeddings": True}, {}, {})
    assert lora.deciding().keys() - unread.deciding().keys() == {
        *("lora_rank", "lora_alpha", "lora_blocks", "trainable_token")
    }


@pytest.mark.parametrize(
    ("row", "same"),
    [
        ({"trainable_layers": 1}, {"trainable_layers": "last_block"}),
        ({"trainable_layers": 2}, {"trainable_layers": "last_two_blocks"}),
        ({"trainable_layers": "lora", "lora_blocks": 12}, {"trainable_layers": "lora"}),
    ],
)
def test_two_names_of_one_value_are_no_difference(
    row: dict[str, Any], same: dict[str, Any]
) -> None:
    one, other = found(row, {}, {}), found(same, {}, {})
    assert one.compared() == other.compared() and words.changes(one, other, 120) == []
    of = [words.cell("trainable_layers", each, 120) for each in (one, other)]
    assert of[0] == of[1]


def test_an_encoder_is_told_to_read_both_ways_and_no_padding() -> None:
    row = found({}, {}, {})
    encoder = structs.replace(row, dimensions=structs.replace(row.dimensions, encoder=True))
    assert encoder.compared() == row.compared()  # which comes with the model
    assert [words.cell(name, encoder, 120) for name in ("causal_mask", "mask_padding")] == [
        *("no causal mask", "padding masked")
    ]


def test_a_row_that_averages_keeps_its_token() -> None:
    """It is not read, but in the row's file, by which a finished run is known."""
    average = {"average_embeddings": True, "trainable_token": "first"}
    assert found(average, {}, {}).trainable_token == "first"


def test_a_row_does_not_take_from_the_baseline_whether_its_model_is_kept() -> None:
    """And whether it is decides nothing else."""
    made = configuration(comparisons=[])
    made["rows"] = [made["rows"][0] | {"save_model": True}, {"id": "other"}]
    study = config.parse(made)
    assert [row.save_model for row in study.rows] == [True, False]
    del made["rows"][0]["save_model"]
    assert config.parse(made).row("baseline").settings == study.row("baseline").settings
