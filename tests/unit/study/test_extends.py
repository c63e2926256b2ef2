"""A study that extends another: what it takes from there, and where a mistake is said to stand."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import tiny
from ablations.errors import UserError
from ablations.study import extends, schema

SHARES = {"train": 0.7, "validation": 0.1, "seed": 1}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    tiny.config(tmp_path)
    return tmp_path


def study(folder: Path, **found: Any) -> Path:
    """A folder with a study that extends the one above it."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"extends": "../config.yaml", **found}, sort_keys=False)
    (folder / "config.yaml").write_text(text)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        extends.read_study(folder)
    return str(caught.value)


def test_its_keys_replace_mappings_key_by_key_and_lists_whole(base: Path) -> None:
    changes = {"seeds": [1, 2], "training": {"epochs": 3}, "dataset": {"split": {"seed": 7}}}
    found, below = (extends.read_study(each) for each in (study(base / "mine", **changes), base))
    assert found.seeds == (1, 2)
    assert {row.settings.training.epochs for row in found.rows} == {3}
    assert found.row("baseline").settings.training.batch_size == 8
    assert found.dataset.split and below.dataset.split
    assert found.dataset.split.seed == 7 and found.dataset.split.train == 0.7
    assert [row.id for row in found.rows] == [row.id for row in below.rows]

    rows = study(base / "rows", rows=tiny.ROWS[:1])
    assert [row.id for row in extends.read_study(rows).rows] == ["baseline"]


def test_null_takes_a_key_away(base: Path) -> None:
    """A model of another kind has other keys."""
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 8}
    hub = {"repo": "user/name", "revision": "abc", "vocab_size": 257, "pretrain": None, **shape}
    found = extends.read_study(study(base / "mine", models={"nano": hub}))
    assert found.models["nano"].hub and found.models["nano"].dimensions.n_layer == 1


def test_each_file_may_extend_another_relative_to_itself(base: Path) -> None:
    study(base / "a", title="a", seeds=[1])
    last = base / "b/c"
    last.mkdir(parents=True)
    (last / "config.yaml").write_text("extends: ../../a/config.yaml\ntitle: c\n")
    found = extends.read_study(last)
    assert (found.title, found.seeds, len(found.rows)) == ("c", (1,), 3)
    (base / "link").symlink_to(last)  # `..` is the folder above the real one
    assert extends.read_study(base / "link") == found


def test_what_an_extended_file_names_is_relative_to_the_working_directory(base: Path) -> None:
    tiny.config(base, models={"nano": {"path": "own"}})
    said = refusal(study(base / "mine"))
    assert f"relative to {base / 'mine'}, with config.json" in said


@pytest.mark.parametrize(
    ("where", "changes", "mistake"),
    [
        ("config.yaml", {"training": {"epochs": 0}}, "training: epochs: 0 is out of range"),
        ("mine/config.yaml", {"training": {"epochs": 0}}, "training: epochs: 0 is out of range"),
        ("config.yaml", {"training": {"epoch": 1}}, "training: unknown key 'epoch'"),
        ("mine/config.yaml", {"training": {"epoch": 1}}, "training: unknown key 'epoch'"),
        ("config.yaml", {"sedes": [1]}, "the configuration: unknown key 'sedes'"),
        ("mine/config.yaml", {"sedes": [1]}, "the configuration: unknown key 'sedes'"),
        ("config.yaml", {"rows": [{"id": "A"}]}, "rows: A: id: 'A'"),
        ("mine/config.yaml", {"rows": [{"id": "A"}]}, "rows: A: id: 'A'"),
        ("mine/config.yaml", {"training": {"epochs": None}}, "training: missing key epochs"),
        ("mine/config.yaml", {"seeds": None}, "the configuration: missing key seeds"),
    ],
)
def test_a_mistake_is_said_with_the_file_that_it_stands_in(
    base: Path, where: str, changes: dict[str, Any], mistake: str
) -> None:
    if where == "config.yaml":
        tiny.config(base, **changes)
        changes = {"training": {"batch_size": 4}, "dataset": {"split": {"seed": 1}}}
    study(base / "mine", **changes)
    header, line = refusal(base / "mine").splitlines()
    assert header == "The configuration is not valid:"
    file, told = line.split(": ", 1)
    assert Path(file).absolute().resolve() == base / where
    assert told.startswith(mistake)


def test_what_does_not_go_with_the_study_is_said_with_what_takes_it_away(base: Path) -> None:
    """The extended file is right, and so it is said which line of the study helps."""
    tiny.config(base, dataset={"files": "a.csv", "text": "a", "label": "b", "split": SHARES})
    generated = {"generated": {"messages": 100, "seed": 0}}
    _, *lines = refusal(study(base / "mine", dataset=generated)).splitlines()
    for key, line in zip(("files", "text", "label"), lines, strict=True):
        assert f"{base.name}/config.yaml: dataset: unknown key '{key}'; allowed: generated" in line
        assert f" (`dataset: {{{key}: null}}` in " in line
        assert line.endswith("mine/config.yaml takes it away)")
    nothing = dict.fromkeys(["files", "text", "label"])
    assert extends.read_study(study(base / "mine", dataset=generated | nothing))

    split = {"folds": 3, "validation": 0.1, "seed": 1}
    tiny.config(base, dataset={**generated, "keep_together": True, "split": split})
    cut = {"split": {"train": 0.7, "folds": None}}
    _, line = refusal(study(base / "mine", dataset=cut)).splitlines()
    assert f"{base.name}/config.yaml: dataset: keep_together: nothing is cut into folds" in line
    assert " (`dataset: {keep_together: null}` in " in line
    assert extends.read_study(study(base / "mine", dataset=cut | {"keep_together": None}))


def test_nothing_takes_away_what_is_needed_or_wrong_where_it_stands(base: Path) -> None:
    rows = refusal(study(base / "mine", models={"nano": None, "other": tiny.MODEL}))
    tiny.config(base, training={"epoch": 1})
    for said in (rows, refusal(study(base / "mine", seeds=[1]))):
        assert f"{base.name}/config.yaml: " in said and "takes it away" not in said


def test_a_slip_in_an_extended_file_is_told_with_file_and_line(base: Path) -> None:
    (base / "config.yaml").write_text("seeds: [1\n")
    said = refusal(study(base / "mine"))
    assert said.split(",")[0].endswith(f"{base.name}/config.yaml")
    assert "line 2, column 1: a bracket is not closed" in said


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("../confg.yaml", "../confg.yaml names no file; expected a configuration in YAML"),
        ("..", ".. names no file"),
        ("x" * 300, f"{'x' * 300} names no file"),
        (["a"], "['a'] is not allowed; allowed: a file, such as ../config.yaml"),
        ("", "'' is not allowed"),
        ("config.yaml", "config.yaml goes in a circle"),
        ("../circle/config.yaml", "../mine/config.yaml goes in a circle"),
    ],
)
def test_what_cannot_be_extended_is_refused_by_name(base: Path, named: object, said: str) -> None:
    study(base / "circle", extends="../mine/config.yaml")
    told = refusal(study(base / "mine", extends=named))
    assert "mine/config.yaml: extends: " in told or "circle/config.yaml: extends: " in told
    assert said in told or ("goes in a circle" in said and "goes in a circle" in told)


def test_a_misspelt_extends_is_told(base: Path) -> None:
    (base / "mine").mkdir()
    (base / "mine/config.yaml").write_text("extend: ../config.yaml\n")
    assert "unknown key 'extend' (did you mean extends?)" in refusal(base / "mine")


def test_an_editor_accepts_keys_left_out_but_not_within_lists(base: Path) -> None:
    validator = jsonschema.Draft202012Validator(schema.schema())
    changes: dict[str, Any] = {
        "extends": "../config.yaml",
        "training": {"epochs": 1},
        "dataset": {"split": {"seed": 1}, "files": None},
        "models": {"nano": {"n_layer": 3}},
    }
    assert not list(validator.iter_errors(changes))
    del changes["extends"]
    assert list(validator.iter_errors(changes))
    changes["extends"] = "../config.yaml"
    for wrong in ({"training": {"epochs": 0}}, {"rows": [{"epochs": 1}]}, {"sedes": [1]}):
        assert list(validator.iter_errors(changes | wrong)), wrong
    whole = extends.whole(base / "config.yaml")
    assert not list(validator.iter_errors(whole))
