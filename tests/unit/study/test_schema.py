"""The schema of config.yaml comes from the declarations, and says what editors need."""

import json

import jsonschema
import pytest
import yaml

from ablations.study import schema, settings
from ablations.study.settings import Choices, Training
from commands import ROOT

OPTIONS = (*settings.names(Choices), *settings.names(Training))


def test_the_file_for_editors_is_what_the_declarations_give() -> None:
    """If not: make schema."""
    written = (ROOT / "workflow/schemas/config.schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == schema.schema()


@pytest.mark.parametrize("folder", [".", "demo", "studies/tickets"])
def test_an_editor_accepts_what_the_door_does(folder: str) -> None:
    study = yaml.safe_load((ROOT / folder / "config.yaml").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema.schema())
    assert not list(validator.iter_errors(study))
    study["rows"][1] |= {"trainable_layers": "evrything", "epoch": 1, "sha256": None}
    assert list(validator.iter_errors(study))


def test_a_row_may_set_every_option_and_the_schema_explains_each() -> None:
    parts = schema.schema()["$defs"]
    row, grid = (parts[name]["properties"] for name in ("RowEntry", "GridEntry"))
    assert row.keys() == {"id", "grid", "choose", "published", "save_model", *OPTIONS}
    assert all(row[option]["description"].endswith(".") for option in OPTIONS)
    assert grid.keys() == set(OPTIONS) - {"micro_batch"}


def test_config_yaml_tells_of_every_option() -> None:
    text = (ROOT / "config.yaml").read_text(encoding="utf-8")
    assert [option for option in OPTIONS if f"{option}" not in text] == []


def test_an_option_that_is_not_set_leaves_row_files_as_they_are() -> None:
    defaults = settings.defaults()
    assert {"lora_rank", "accumulation_steps", "causal_mask"} <= defaults.keys()
    training = Training(
        epochs=1,
        batch_size=1,
        learning_rate=1.0,
        weight_decay=0.0,
        eval_every=1,
        eval_batches=1,
        precision="auto",
    )
    assert not json.loads(settings.files.as_json(training)).keys() & defaults.keys()
