"""config.yaml is checked: every mistake is one clear message, every good file typed values."""

import copy
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ablations.errors import UserError
from ablations.files import as_json
from ablations.study.config import parse
from ablations.study.dataset import Shares, Texts
from ablations.study.entries import Config, GridEntry, Published, Question, RowEntry
from ablations.study.kinds import Kind, kinds
from ablations.study.models import Folder, Hub, ModelFolder, Pretrain, Recipe
from ablations.study.paths import slug
from ablations.study.schema import schema
from ablations.study.settings import Training
from commands import ROOT

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))

Path_ = tuple[Any, ...]  # the keys that lead to a node; in a list, an entry's id or its number


def default() -> dict[str, Any]:
    return copy.deepcopy(DEFAULT)


def reach(config: Any, path: Path_) -> tuple[Any, Any]:
    """The list or mapping that holds the last key of a path, and that key or number."""
    for depth, key in enumerate(path):
        if isinstance(config, list) and isinstance(key, str):
            key = next(i for i, entry in enumerate(config) if entry["id"] == key)
        if depth == len(path) - 1:
            return config, key
        config = config[key]
    raise AssertionError("no path")


def changed(path: Path_, value: Any) -> dict[str, Any]:
    """The default configuration with one node replaced, or added."""
    config = default()
    parent, key = reach(config, path)
    parent[key] = value
    return config


def without(path: Path_) -> dict[str, Any]:
    """The default configuration with one node removed."""
    config = default()
    parent, key = reach(config, path)
    del parent[key]
    return config


def message(config: object) -> str:
    with pytest.raises(UserError) as caught:
        parse(config)
    text = str(caught.value)
    assert text and "Traceback" not in text
    return text


SMALL = "gpt2-small (124M)"

# --- wrong values, made from the declarations

# Where in a configuration there is an entry of each kind.
ENTRIES: dict[type, Path_] = {
    Config: (),
    Training: ("training",),
    RowEntry: ("rows", "first-token"),
    GridEntry: ("rows", "sweep", "grid"),
    Published: ("rows", "large", "published"),
    Question: ("comparisons", "medium-model"),
    Hub: ("models", SMALL),
    ModelFolder: ("models", "mine"),
    Pretrain: ("models", "nano"),
    Recipe: ("models", "nano", "pretrain"),
    Texts: ("dataset",),
    Shares: ("dataset", "split"),
}
OF_ANY_TYPE = [None, True, 2.5, "no such word", [1], {"a": 1}, math.nan, math.inf, 2**63]
TAKES: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: type(value) is bool,
    int: lambda value: type(value) is int and value < 2**63,
    float: lambda value: type(value) in (int, float) and math.isfinite(value),
    str: lambda value: type(value) is str,
    "list": lambda value: type(value) is list,
    "entry": lambda value: type(value) is dict,
    "mapping": lambda value: type(value) is dict,
    "choice": lambda value: False,  # none of them is one of its words
}


def with_every_entry() -> dict[str, Any]:
    config = default()
    recipe = {"steps": 1, "batch_size": 1, "learning_rate": 1, "seed": 1}
    size = {"n_layer": 1, "n_head": 1, "n_embd": 1, "n_positions": 8}
    config["models"] |= {"mine": {"path": "no"}, "nano": {"pretrain": recipe, **size}}
    config["rows"].append({"id": "sweep", "grid": {"epochs": [1]}})
    return config


def wrong_values(kind: Kind) -> Iterator[tuple[Any, str]]:
    """Values beyond what is declared, and what the message says of each."""
    if kind.shape == "choice":
        words = [str(word) for word in get_args(kind.type)]
        allowed = kind.told("allowed") or ", ".join(words)
        yield f"{words[0]}s", f" (did you mean {words[0]}?); allowed: {allowed}"
    if kind.type is float:
        yield "5e-5", "allowed: a finite number; write it as a number, such as 5.0e-5"
    for bound, step, said in (("ge", -1, "at least"), ("gt", 0, "more than"), ("le", 1, "at most")):
        if (limit := kind.told(bound)) is not None:
            yield limit + step, " is out of range; allowed: "
            yield limit + step, f"{said} {limit}"
    if kind.told("min_length"):
        yield {"list": [], "mapping": {}}.get(kind.shape, ""), ""
    if kind.told("max_length"):
        yield "m" * 101, " has 101 characters; allowed: at most 100"
    if kind.told("pattern"):
        yield "a\n", f" is not allowed; allowed: {kind.told('allowed')}"


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        pytest.param(entry, field, id=f"{entry.__name__}-{field.name}")
        for entry in ENTRIES
        for field in structs.fields(entry)
        if field.name != "mirror"  # which may be null
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(entry: type, field: Any) -> None:
    allowed = list(kinds(field.type))
    types = [kind.type if kind.shape == "plain" else kind.shape for kind in allowed]
    wrong = [(value, "; allowed: ") for value in OF_ANY_TYPE]
    wrong = [pair for pair in wrong if not any(TAKES[each](pair[0]) for each in types)]
    for kind in allowed:
        wrong += wrong_values(kind)
    for value, said in wrong:
        config = with_every_entry()
        path = (*ENTRIES[entry], field.name)
        parent, key = reach(config, path)
        parent[key] = value
        (line,) = message(config).splitlines()
        where = path[:-2] if field.name == "id" else path[:-1]  # an entry is named by its id
        assert line.startswith("".join(f"{part}: " for part in where))
        assert f"{field.name}: {value!r:.70}" in line and said in line


def test_a_whole_number_in_quotes_is_told_with_a_whole_number() -> None:
    for path in (("dataset", "split", "folds"), ("rows", "first-token", "train_size")):
        said = message(changed(path, "16"))
        assert (
            "'16' is not allowed; allowed: a whole number; write it as a number, such as 5" in said
        )
        assert "5.0e-5" not in said
    assert "write it" not in message(changed(("rows", "first-token", "causal_mask"), "1"))


# What is wrong with more than a value; where, and with what; what the message must name.
MISTAKES = {
    "unknown key": (
        ("row",),
        [],
        ["unknown key 'row'", "did you mean rows?", "allowed: ", "comparisons", "seeds"],
    ),
    "half a pair of a label and its class": (
        ("dataset", "classes"),
        [["a"], "b"],
        ["dataset: classes: [0]: ['a'] is not allowed; allowed: a text or a whole number;"],
    ),
    "unknown row key": (
        ("rows", "first-token", "trainable_tokens"),
        "first",
        ["rows: first-token: ", "'trainable_tokens'", "did you mean trainable_token?", "weights"],
    ),
    "unknown model key": (
        ("models", SMALL, "heads"),
        12,
        [f"models: {SMALL}: ", "'heads'", "allowed: ", "n_head", "revision"],
    ),
    "context length beyond the positions, as 1025.0": (
        ("rows", "full-context", "context_length"),
        1025.0,
        ["rows: full-context: context_length: 1025", "allowed: at most 1024", SMALL],
    ),
    "unknown model": (
        ("rows", "medium", "model"),
        "gpt2-medium",
        ["rows: medium: model: 'gpt2-medium'", "did you mean gpt2-medium (355M)?", SMALL],
    ),
    "a batch larger than the training set": (
        ("rows", "first-token", "batch_size"),
        1046,
        [
            "rows: first-token: batch_size: 1046 is out of range",
            "allowed: at most the training texts, which are no more than 1045 (0.7 of 1494)",
        ],
    ),
    "duplicate row id": (
        ("rows", "medium", "id"),
        "large",
        ["rows: large: the id appears 2 times", "allowed: once"],
    ),
    "no baseline": (
        ("rows", "baseline", "id"),
        "base",
        ["rows: no row has the id baseline", "found: base, first-token"],
    ),
    "row that is no mapping": (
        ("rows", 2),
        "last-layer",
        ["rows: [2]: 'last-layer'", "allowed: a mapping"],
    ),
    "a seed twice": (("seeds",), [123, 7, 123.0], ["seeds: [123, 7, 123.0]", "twice", "once"]),
    "nothing left to test": (
        ("dataset", "split", "train"),
        0.9,
        ["dataset: split: train 0.9 and validation 0.1", "allowed: a sum below 1"],
    ),
    "no URL": (
        ("dataset", "urls"),
        ["ftp://example.org/sms.zip"],
        ["dataset: urls: [0]: 'ftp://example.org/sms.zip'", "allowed: a URL", "https://"],
    ),
    "heads that do not divide the width": (
        ("models", SMALL, "n_head"),
        11,
        [f"models: {SMALL}: n_embd: 768", "allowed: a multiple of n_head, which is 11"],
    ),
    "model without letters": (
        ("models", "../"),
        DEFAULT["models"][SMALL],
        ["models: '../'", "no letter or digit"],
    ),
    "model name that is a number": (
        ("models", 124),
        DEFAULT["models"][SMALL],
        ["models: 124", "allowed: a text on one line, in quotes"],
    ),
    "models that share file names": (
        ("models", "GPT2-Small 124M"),
        DEFAULT["models"][SMALL],
        [f"models: '{SMALL}' and 'GPT2-Small 124M'", "another name"],
    ),
    "folder that does not exist": (
        ("models", "mine"),
        {"path": "no/such/folder"},
        ["models: mine: path: no/such/folder", "config.json", "model.safetensors"],
    ),
    "comparison naming no row": (
        ("comparisons", "medium-model", "variant"),
        "meduim",
        ["comparisons: medium-model: variant: ", "'meduim'", "did you mean medium?", "first-token"],
    ),
    "comparison of a row with itself": (
        ("comparisons", "medium-model", "variant"),
        "baseline",
        ["comparisons: medium-model: ", "both baseline", "two rows"],
    ),
    "duplicate comparison id": (
        ("comparisons", "medium-model", "id"),
        "large-model",
        ["comparisons: large-model: the id appears 2 times", "allowed: once"],
    ),
}


@pytest.mark.parametrize("path, value, named", MISTAKES.values(), ids=MISTAKES)
def test_mistake(path: Path_, value: Any, named: list[str]) -> None:
    text = message(changed(path, value))
    assert len(text.splitlines()) == 1, text
    for part in named:
        assert part in text


@pytest.mark.parametrize(
    "path, named",
    [
        (("seeds",), ["the configuration: missing key seeds"]),
        (("dataset", "split"), ["dataset: missing key split"]),
        (("training", "precision"), ["training: missing key precision"]),
        (("models", SMALL, "revision"), [f"models: {SMALL}: missing key revision"]),
        (("rows", "first-token", "id"), ["rows: [1]: missing key id"]),
        (("rows", "baseline", "weights"), ["rows: baseline: weights is missing", "context_length"]),
        (("comparisons", "full-context", "variant"), ["full-context: missing key variant"]),
    ],
)
def test_missing_key(path: Path_, named: list[str]) -> None:
    text = message(without(path))
    assert len(text.splitlines()) == 1, text
    for part in named:
        assert part in text


@pytest.mark.parametrize("config", [None, [], "rows", 1, True, {}])
def test_a_file_that_is_no_configuration(config: object) -> None:
    assert message(config).startswith("the configuration: ")


def test_every_mistake_is_told_once() -> None:
    config = changed(("rows", "medium", "weights"), "rnadom")
    config["training"] |= {"epochs": 0, "precision": "double"}
    del config["dataset"]["split"]["seed"]
    text = message(config)
    assert len(text.splitlines()) == 4
    for part in ("rows: medium", "epochs: 0", "'double'", "split: missing key seed"):
        assert text.count(part) == 1


def test_another_study_s_cache_is_not_emptied() -> None:
    config = changed(("cache_dir",), "../other/results/cache") | {"cache_gb": 0}
    text = message(config)
    assert "cache_gb: 0" in text and "cache_dir: ../other/results/cache" in text
    assert "allowed: more than 0, or no cache_dir" in text


# --- folder models


def folder(path: Path, config_json: str | None) -> dict[str, Any]:
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"")  # its content is the checkpoint reader's business
    if config_json is not None:
        (path / "config.json").write_text(config_json)
    return changed(("models", "mine"), {"path": str(path)})


NANO = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 64, "vocab_size": 50257}


def test_folder_model_takes_its_dimensions_from_config_json(tmp_path: Path) -> None:
    config = folder(tmp_path / "nano", json.dumps(NANO | {"model_type": "gpt2"}))
    config["rows"].append({"id": "mine", "model": "mine", "context_length": 64})
    row = parse(config).row("mine")
    assert row.settings.weights == "pretrained"
    assert row.model.folder == ModelFolder(path=str(tmp_path / "nano"))
    assert msgspec.to_builtins(row.settings.dimensions) == NANO
    assert str(tmp_path) not in as_json(row.settings)

    config["rows"][-1]["context_length"] = 65
    assert "rows: mine: context_length: 65" in message(config)


@pytest.mark.parametrize(
    "config_json, named",
    [
        (None, ["holds no config.json", "expected a folder"]),
        ("", ["is not readable JSON"]),
        ("{", ["is not readable JSON"]),
        ("[" * 100_000, ["is not readable JSON"]),
        ("[12, 12]", ["[12, 12]", "expected keys n_layer"]),
        ("{}", ["n_layer: None", "vocab_size: None", "allowed: a whole number above 0"]),
        (json.dumps(NANO | {"n_layer": "2"}), ["n_layer: '2'", "allowed: a whole number"]),
        (json.dumps(NANO | {"n_layer": 2.5}), ["n_layer: 2.5", "allowed: a whole number"]),
        (json.dumps(NANO | {"n_layer": True}), ["n_layer: True", "allowed: a whole number"]),
        (json.dumps(NANO | {"n_layer": math.inf}), ["n_layer: inf", "allowed: a whole number"]),
        (json.dumps(NANO | {"n_head": 0}), ["n_head: 0", "allowed: a whole number above 0"]),
        (json.dumps(NANO | {"n_head": 3}), ["n_embd: 8", "multiple of n_head, which is 3"]),
        (json.dumps(NANO | {"vocab_size": 257}), ["vocab_size: 257", "gpt2", "50257"]),
    ],
)
def test_malformed_folder_model(tmp_path: Path, config_json: str | None, named: list[str]) -> None:
    text = message(folder(tmp_path / "nano", config_json))
    assert f"models: mine: path: {tmp_path / 'nano'}" in text
    for part in named:
        assert part in text


# --- models that are no GPT-2


PYTHIA = {
    **{"repo": "EleutherAI/pythia-160m", "revision": "a" * 40, "type": "gpt_neox"},
    **{"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 2048, "vocab_size": 50304},
}
DISTIL = {
    **{"model_type": "distilbert", "n_layers": 6, "n_heads": 12, "dim": 768},
    **{"max_position_embeddings": 512, "vocab_size": 30522},
}


def test_a_model_of_another_type_states_its_whole_shape() -> None:
    config = changed(("models", "pythia"), PYTHIA | {"block_weights": 7_087_872})
    config["rows"].append({"id": "pythia", "model": "pythia", "context_length": 120})
    row = parse(config).row("pythia")
    keys = ("type", "n_layer", "n_head", "n_embd", "n_positions", "vocab_size")
    stated = {key: PYTHIA[key] for key in keys} | {"block_weights": 7_087_872}
    assert msgspec.to_builtins(row.settings.dimensions) == stated
    # GPT-2's are written as ever, also where their type is said
    config["models"][SMALL]["type"] = "".join(["gpt", "2"])
    small = parse(config).row("baseline").settings.dimensions
    assert list(msgspec.to_builtins(small)) == [
        *("n_layer", "n_head", "n_embd", "n_positions", "vocab_size")
    ]
    for key in ("n_positions", "vocab_size"):
        rest = {name: value for name, value in PYTHIA.items() if name != key}
        said = message(changed(("models", "pythia"), rest))
        assert said.startswith(f"models: pythia: missing key {key}, which a model of type gpt_neox")
        assert "describe EleutherAI/pythia-160m prints its lines" in said


def test_another_model_s_tokenizer_has_a_name_of_its_own(tmp_path: Path) -> None:
    config = folder(tmp_path / "distil", json.dumps(DISTIL))
    study = parse(config)
    assert study.models["mine"].tokenizer == "mine" and study.models[SMALL].tokenizer == "gpt2"
    config["models"]["GPT2"] = config["models"]["mine"]
    assert "models: 'GPT2' is of type distilbert, and its tokenizer would have" in message(config)


def test_what_only_other_models_state_is_refused_of_a_gpt2(tmp_path: Path) -> None:
    for key, value in (("encoder", True), ("block_weights", 5)):
        said = f"{key}: {str(value).lower()} is not allowed of a GPT-2; allowed: with a model of"
        assert message(changed(("models", SMALL, key), value)).startswith(
            f"models: {SMALL}: {said}"
        )
    mine = folder(tmp_path / "nano", json.dumps(NANO))
    mine["models"]["mine"]["n_positions"] = 8
    assert message(mine).startswith("models: mine: n_positions: is not allowed of a GPT-2")
    assert "type: 'GPT 2' is not allowed; allowed: the model_type of its config.json" in message(
        changed(("models", SMALL, "type"), "GPT 2")
    )


def test_a_folder_of_another_type_takes_its_shape_by_any_of_the_usual_keys(tmp_path: Path) -> None:
    config = folder(tmp_path / "distil", json.dumps(DISTIL))
    config["models"]["mine"] |= {"encoder": True, "n_positions": 500}
    found = parse(config).models["mine"].dimensions
    assert (found.type, found.encoder, found.n_layer) == ("distilbert", True, 6)
    assert (found.n_head, found.n_embd, found.n_positions) == (12, 768, 500)
    config["models"]["mine"]["n_positions"] = 513
    assert message(config) == (
        "models: mine: n_positions: 513 is out of range; allowed: at most 512, as its config.json"
        " says"
    )


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"n_layers": None}, "n_layer is missing; expected one of the keys n_layer, num_hidden_la"),
        ({"dim": 7.5}, "n_embd: 7.5 is not allowed; allowed: a whole number above 0"),
        (
            {"auto_map": {"AutoModel": "modeling_distil.Distil"}},
            "auto_map names code that comes with the model, which is never run; expected a"
            " distilbert that transformers knows without it",
        ),
    ],
)
def test_another_model_s_config_json_that_is_refused(tmp_path: Path, change, reason) -> None:
    text = message(folder(tmp_path / "distil", json.dumps(DISTIL | change)))
    assert text.startswith(f"models: mine: path: {tmp_path}/distil/config.json: {reason}")


def test_a_title_that_nobody_gave_names_gpt2_where_all_models_are() -> None:
    config = default()
    del config["title"]
    assert parse(config).title == "Finetuning ablations of GPT-2"
    config["models"]["pythia"] = PYTHIA
    assert parse(config).title == "Finetuning ablations"


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "config.yaml"])
def test_folder_model_with_an_impossible_path(path: str) -> None:
    assert "holds no config.json" in message(changed(("models", "mine"), {"path": path}))


def test_a_file_that_cannot_be_read_is_a_mistake_like_others(tmp_path: Path) -> None:
    """Each kind of file whose checksum Snakemake would ask for, with a traceback around the error.

    It is a file by its permissions too: its first byte cannot be read.
    """
    broken = Path("/proc/self/mem")
    if not broken.is_file():
        pytest.skip("only Linux has such a file")
    texts = {"files": str(broken), "format": "csv", "text": "a", "label": "b"}
    texts["split"] = {"train": 0.5, "validation": 0.2, "seed": 1}
    said = "cannot be read: Input/output error"
    assert message(changed(("dataset",), texts)) == f"dataset: files: '{broken}' {said}"

    model = folder(tmp_path / "nano", json.dumps(NANO))
    (tmp_path / "nano/model.safetensors").unlink(missing_ok=True)
    (tmp_path / "nano/model.safetensors").symlink_to(broken)
    expected = f"path: {tmp_path / 'nano'} holds a model.safetensors that {said}"
    assert message(model) == f"models: mine: {expected}"

    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0}))
    (tmp_path / "merges.txt").symlink_to(broken)
    tokenizer = changed(("tokenizer",), {"path": str(tmp_path)})
    assert message(tokenizer) == f"tokenizer: path: {tmp_path}/merges.txt {said}"


# --- good configurations


def test_the_default_configuration() -> None:
    study = parse(DEFAULT)
    assert [row.id for row in study.rows] == [row["id"] for row in DEFAULT["rows"]]
    assert all(model.hub for model in study.models.values())
    assert study.row("large").published.test == 0.9667
    clean = study.questions[6]
    assert (clean.baseline, clean.variant, clean.claim) == (
        "all-layers",
        "random-weights",
        None,
    )


@pytest.mark.parametrize("position", range(len(DEFAULT["rows"])))
def test_rows_inherit_from_the_baseline_wherever_it_is(position: int) -> None:
    config = default()
    baseline = config["rows"].pop(0)
    config["rows"].insert(position, baseline | {"epochs": 7, "learning_rate": 1e-4})
    config["rows"].append({"id": "plain"})
    study = parse(config)
    assert study.rows[position].id == "baseline"
    plain, large = study.row("plain"), study.row("large")
    assert plain.published is None
    assert plain.settings == structs.replace(study.row("baseline").settings, row="plain")
    assert (
        large.settings.weights,
        large.settings.training.epochs,
        large.settings.training.learning_rate,
    ) == (
        "pretrained",
        7,
        1e-4,
    )
    assert large.model.name == "gpt2-large (774M)"


def test_a_row_overrides_training_for_itself_alone() -> None:
    study = parse(changed(("rows", "medium", "epochs"), 9))
    assert study.row("medium").settings.training.epochs == 9
    assert {row.settings.training.epochs for row in study.rows if row.id != "medium"} == {5}


def test_models_that_the_workflow_pretrains() -> None:
    pretrain = {"steps": 10, "batch_size": 8, "learning_rate": 1, "seed": 1.0}
    size = {"n_layer": 2.0, "n_head": 2, "n_embd": 8, "n_positions": 64}
    config = changed(("models", "nano"), {"pretrain": pretrain, **size})
    config["tokenizer"] = "bytes"
    config["dataset"] = {
        "generated": {"messages": 40, "seed": 1},
        "split": {"train": 0.7, "validation": 0.1, "seed": 1},
    }
    model = parse(config).models["nano"]
    assert model.pretrain
    assert model.pretrain.pretrain == Recipe(steps=10, batch_size=8, learning_rate=1.0, seed=1)
    assert (model.dimensions.n_layer, model.dimensions.vocab_size) == (2, 257)


def test_two_rows_with_equal_settings_may_be_compared() -> None:
    """A control: two runs of the same settings must show no difference."""
    config = default()
    config["rows"].append({"id": "control"})
    config["comparisons"] = [
        {"id": "control", "question": "None?", "baseline": "baseline", "variant": "control"}
    ]
    assert parse(config).questions[0].variant == "control"


def respelt(node: Any, draw: Any) -> Any:
    """The same configuration with keys in another order and whole numbers as fractions."""
    if isinstance(node, dict):
        keys = draw(st.permutations(list(node)))
        return {key: respelt(node[key], draw) for key in keys}
    if isinstance(node, list):
        return [respelt(value, draw) for value in node]
    if type(node) is int and draw(st.booleans()):
        return float(node)
    return int(node) if isinstance(node, float) and node.is_integer() else node


@settings(max_examples=25)
@given(st.data())
def test_spelling_does_not_matter(data: st.DataObject) -> None:
    study, other = parse(default()), parse(respelt(default(), data.draw))
    assert other.seeds == study.seeds and all(type(seed) is int for seed in other.seeds)
    for row in study.rows:
        # the bytes of the row file, on which a rerun depends
        assert as_json(other.row(row.id).settings) == as_json(row.settings)
    assert (other.dataset, other.questions) == (study.dataset, study.questions)


@settings(max_examples=200)
@given(st.text(max_size=30))
def test_a_model_name_becomes_a_harmless_file_name(name: str) -> None:
    found = slug(name)
    assert all(c.isascii() and (c.isalnum() or c in ".-") for c in found)
    assert not found.startswith((".", "-"))
    assert slug(found) == found


@pytest.mark.parametrize("id", ["../x", "a/b", "a b", "$(x)", "a;b", "-rf", ".", "", "ä", "a\0"])
def test_row_ids_with_path_or_shell_tricks(id: str) -> None:
    assert f"id: {id!r}" in message(changed(("rows", "medium", "id"), id))


# --- anything at all

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, 8.0, "8", "1e-3", "baseline", "../x", "a\n", "."])
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.none(), inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "path", "pretrain", "generated"]), inner)
    ),
    max_leaves=5,
)


def nodes(node: Any, path: Path_ = ()) -> list[Path_]:
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else []
    )
    return [path, *(found for key, value in items for found in nodes(value, (*path, key)))]


def mutated(config: Any, data: st.DataObject) -> Any:
    """The configuration with one node replaced, removed, doubled, or given a stray neighbour."""
    path = data.draw(st.sampled_from(nodes(config)))
    if not path:
        return data.draw(VALUES)
    parent = config
    for key in path[:-1]:
        parent = parent[key]
    match data.draw(st.sampled_from(["replace", "replace", "remove", "double", "add"])):
        case "replace":
            parent[path[-1]] = data.draw(VALUES)
        case "remove":
            del parent[path[-1]]
        case "double" if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[path[-1]]))
        case _ if isinstance(parent, dict):
            parent[data.draw(st.text(max_size=5) | st.integers())] = data.draw(VALUES)
    return config


@settings(max_examples=150)
@given(st.data())
def test_anything_is_either_accepted_or_refused_in_words(data: st.DataObject) -> None:
    config: Any = default()
    for _ in range(data.draw(st.integers(1, 3))):
        config = mutated(config, data) if isinstance(config, dict | list) else config
    before = copy.deepcopy(config)
    try:
        study = parse(config)
    except UserError as error:
        assert str(error).strip()
    else:
        for row in study.rows:
            as_json(row.settings)
    assert repr(config) == repr(before)  # repr, because NaN is not itself


@settings(max_examples=50)
@given(
    where=st.sampled_from(
        [(), ("dataset",), ("training",), ("models", SMALL), ("rows", "medium"), ("comparisons", 0)]
    ),
    key=st.text(min_size=1, max_size=12),
)
def test_any_unknown_key_is_named(where: Path_, key: str) -> None:
    if not key.isidentifier() or key in json.dumps(schema()):
        key = f"{key}?"
    text = message(changed((*where, key), 1))
    assert f"unknown key {key!r}" in text
    assert all(str(part) in text for part in where if part != 0)


def test_a_tokenizer_of_the_user_s_own_gives_the_models_their_number_of_tokens(tmp_path):
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "<|endoftext|>": 299}))
    study = parse(changed(("tokenizer",), {"path": str(tmp_path)}))
    assert study.tokenizer == Folder(path=str(tmp_path))
    assert {model.dimensions.vocab_size for model in study.models.values()} == {300}
    said = f"Your own tokenizer: that of {tmp_path}, not GPT-2's."
    assert said in study.outline.notes

    small = changed(("tokenizer",), {"path": str(tmp_path)})
    small["models"][SMALL]["vocab_size"] = 299
    expected = f"vocab_size: 299 does not fit the tokenizer of {tmp_path}, which has 300 tokens"
    assert message(small) == f"models: {SMALL}: {expected}"
    (tmp_path / "vocab.json").write_text("[]")
    assert "vocab.json holds []; expected an id for each token" in message(
        changed(("tokenizer",), {"path": str(tmp_path)})
    )
    (tmp_path / "vocab.json").write_text("[" * 100_000)
    assert "vocab.json is not readable JSON" in message(
        changed(("tokenizer",), {"path": str(tmp_path)})
    )
    assert "holds no tokenizer; expected tokenizer.json, or vocab.json and merges.txt" in message(
        changed(("tokenizer",), {"path": str(tmp_path / "none")})
    )
    assert "tokenizer: unknown key 'pth'" in message(changed(("tokenizer",), {"pth": "x"}))


def test_a_tokenizer_of_the_hub_states_its_number_of_tokens():
    entry = {"repo": "someone/gpt2", "revision": "a" * 40, "vocab_size": 50300}
    study = parse(changed(("tokenizer",), entry))
    assert {model.dimensions.vocab_size for model in study.models.values()} == {50300}
    assert "Your own tokenizer: that of someone/gpt2, not GPT-2's." in study.outline.notes
    small = changed(("tokenizer",), entry)
    small["models"][SMALL]["vocab_size"] = 50257
    expected = (
        "vocab_size: 50257 does not fit the tokenizer of someone/gpt2, which has 50300 tokens"
    )
    assert message(small) == f"models: {SMALL}: {expected}"
    del entry["vocab_size"]
    assert "tokenizer: missing key vocab_size" in message(changed(("tokenizer",), entry))


def test_a_batch_holds_no_more_than_the_generated_training_messages() -> None:
    demo = yaml.safe_load((ROOT / "demo/config.yaml").read_text())
    most = int(demo["dataset"]["split"]["train"] * demo["dataset"]["generated"]["messages"])
    demo["rows"][1]["batch_size"] = most
    parse(demo)
    demo["rows"][1]["batch_size"] = most + 1
    assert f"rows: first-token: batch_size: {most + 1} is out of range" in message(demo)


def test_a_file_of_texts_at_a_url_is_not_taken_for_the_published_archive() -> None:
    alone = {"urls": ["https://example.org/reviews.csv"], "sha256": "0" * 64}
    text = message(default() | {"dataset": alone | {"split": DEFAULT["dataset"]["split"]}})
    assert text == "dataset: missing key text and label"


@pytest.mark.parametrize("url", ["http://[/a.csv", "https://example.org/?name=a.csv"])
def test_a_file_has_a_name_whatever_its_url(url: str) -> None:
    own = {"urls": [url], "sha256": "0" * 64, "text": "text", "label": "label"}
    study = parse(default() | {"dataset": own | {"split": DEFAULT["dataset"]["split"]}})
    assert re.fullmatch(r"[\w.-]+\.csv", study.dataset.description)
