"""What options and their values are called, in the published study's words."""

from typing import Any

import pytest
from msgspec import structs

from ablations.study import words
from ablations.study.config import parse
from ablations.study.settings import OPTIONS, NamedLayers, Settings, get_args
from synthetic_runs import configuration

BASELINE = parse(configuration(comparisons=[])).rows[0].settings


def row(**changes: Any) -> Settings:
    made = configuration(comparisons=[])
    made["rows"].append({"id": "row", **changes})
    return parse(made).row("row").settings


@pytest.mark.parametrize(
    ("setting", "cell", "change"),
    [
        ({"model": "gpt2-medium (355M)"}, "gpt2-medium (355M)", "gpt2-medium"),
        ({"weights": "random"}, "random", "random weights"),
        ({"trainable_token": "first"}, "first", "first token"),
        (
            {"trainable_token": "flexible"},
            "flexible (last token before the padding)",
            "last token before the padding",
        ),
        ({"trainable_layers": "all"}, "all", "all layers"),
        ({"trainable_layers": "last_two_blocks"}, "last_two_blocks", "last two blocks"),
        ({"trainable_layers": "lora", "lora_rank": 16}, *["lora (rank 16, alpha 8)"] * 2),
        ({"trainable_layers": 3}, *["last 3 blocks"] * 2),
        (
            {"trainable_layers": "lora", "lora_blocks": 2},
            *["lora (rank 8, alpha 8, last 2 blocks)"] * 2,
        ),
        ({"train_size": 200}, "200", "200 training texts"),
        ({"context_length": "model_context_length"}, *["context length (120)"] * 2),
        ({"context_length": 64}, "64", "context length 64"),
        (
            {"context_length": "variable", "batch_size": 1},
            "variable: no padding (batch size 1)",
            "no padding",
        ),
        ({"causal_mask": False}, *["no causal mask"] * 2),
        ({"average_embeddings": True}, *["average over all positions"] * 2),
        ({"mask_padding": True}, *["padding masked"] * 2),
        ({"accumulation_steps": 4}, "accumulation over 4 batches", "4 batches accumulated"),
        (
            {"ignore_index": 50256},
            "50256 (no effect: no class has it)",
            "ignore_index 50256 (no effect)",
        ),
        ({"learning_rate": 1e-4}, "0.0001", "learning_rate 0.0001"),
        ({"precision": "tf32"}, "tf32", "precision tf32"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_setting_in_its_column_and_as_a_change(
    setting: dict[str, Any], cell: str, change: str
) -> None:
    changed = row(**setting)
    assert words.cell(next(iter(setting)), changed, 120) == cell
    assert words.changes(changed, BASELINE, 120) == [change]


def test_what_the_baseline_has_has_words_too() -> None:
    cells = [words.cell(name, BASELINE, 120) for name in words.columns(BASELINE)]
    assert cells[:5] == [
        *("gpt2-small (124M)", "pretrained", "last", "last_block", "longest train ex. (120)")
    ]
    assert cells[5:8] == ["all", "causal mask", "one position"]
    assert cells[-2:] == ["no accumulation", "–"]
    small = structs.replace(BASELINE, training=structs.replace(BASELINE.training, ignore_index=7))
    assert words.changes(BASELINE, small, 120) == ["ignore_index –"]
    fewer = structs.replace(BASELINE, train_size=80)
    assert words.changes(BASELINE, fewer, 120) == ["all training texts"]
    assert words.changes(fewer, BASELINE, 120) == ["80 training texts"]


def test_names_are_short_in_ids_and_the_published_ones_in_headings() -> None:
    assert [OPTIONS[name].words.short for name in ("learning_rate", "epochs")] == ["lr", "epochs"]
    headings = [option.words.heading for option in OPTIONS.values()]
    assert headings[:2] == ["Model", "Weights"] and "epochs" in headings
    for used in ([option.words.short for option in OPTIONS.values()], headings):
        assert len(set(used)) == len(OPTIONS)


def test_every_choice_of_trainable_layers_has_a_marker_of_its_own() -> None:
    layers = OPTIONS["trainable_layers"].words
    named = [layers.markers[name] for name in get_args(NamedLayers)]
    assert len({*named, layers.marker}) == 1 + len(named)
