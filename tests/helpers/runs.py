"""A run of a nano model on made-up tokens, as files for the program that trains."""

import csv
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

import plain
import texts
from ablations import files
from ablations.code import Code
from ablations.data import tokens
from ablations.data.tokenizer import Tokenizer
from ablations.machine import device
from ablations.model import checkpoint, gpt2
from ablations.study import cut, settings
from ablations.study.dimensions import Dimensions
from ablations.study.models import Model
from ablations.study.settings import Settings, Training
from ablations.training import run
from ablations.training.hidden_states import TrunkManifest
from ablations.training.resume import Identity

DIMENSIONS = Dimensions(n_layer=2, n_head=2, n_embd=8, n_positions=16, vocab_size=257)
SEED = 123
# Settings of rows that are trained by the plain loop too.
RECIPE: dict[str, Any] = {"epochs": 2, "batch_size": 4, "learning_rate": 2e-3}
RECIPE |= {"weight_decay": 0.1, "eval_every": 3, "eval_batches": 2, "weights": "pretrained"}
RECIPE |= {"trainable_layers": "last_block", "trainable_token": "last"}
# What may differ between identical runs.
MACHINE_FACTS = (
    "training_time_seconds",
    "trunk_time_seconds",
    "peak_memory_bytes",
    "device",
    "versions",
    "shared_device",
)


def settings_of(
    *,
    layers: str = "all",
    token: str = "last",
    dimensions: Dimensions = DIMENSIONS,
    **options: Any,
) -> Settings:
    """A row's: random weights unless told otherwise, so that no checkpoint is needed."""
    training = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.1}
    training |= {"eval_every": 5, "eval_batches": 2, "precision": "float32"}
    training |= {key: options.pop(key) for key in settings.names(Training) if key in options}
    choices = {"model": "nano", "weights": "random", "context_length": 12, **options}
    return Settings(
        row="baseline",
        dimensions=dimensions,
        trainable_token=token,
        trainable_layers=layers,
        training=Training(**training),
        **choices,
    )


def row(folder: Path, **options: Any) -> Path:
    """Writes a row file of such settings."""
    path = folder / "row.json"
    files.write_json(path, settings_of(**options))
    return path


def identity(row: Settings) -> Identity:
    """What a saved state of this row's is of, where nothing else matters."""
    return Identity(
        row=row,
        seed=SEED,
        fold=None,
        tokens_sha256="",
        checkpoint_sha256=None,
        code="",
        rounding=device.current("float32", 1).rounding,
        engine=None,
    )


def tokens_file(folder: Path, seed: int = 0) -> Path:
    """Writes a tokens file: random bytes, more than half of them odd in one class."""
    draw = np.random.default_rng(seed)
    sizes = {"train": 42, "validation": 9, "test": 17}
    labels = {split: np.arange(size, dtype=np.int64) % 2 for split, size in sizes.items()}
    ids = {
        split: [draw.integers(0, 100, 10, dtype=np.int32) * 2 + int(label) for label in labels]
        for split, labels in labels.items()
    }
    return write_tokens(folder, ids, labels)


def write_tokens(
    folder: Path,
    ids: Any,
    labels: Any,
    classes: tuple[str, ...] = ("a", "b"),
    padding: int = 256,
    **told: Any,
) -> Path:
    """Writes FOLDER/tokens.safetensors with these ids and labels by split."""
    path = folder / "tokens.safetensors"
    tokens.write(path, texts.as_tokens(ids, labels, classes, padding, **told))
    return path


def encode(
    folder: Path,
    name: str,
    used: Tokenizer,
    found: Mapping[str, Sequence[str]],
    labels: Any,
    classes: tuple[str, ...] = ("a", "b"),
) -> Path:
    """Writes FOLDER/tokens.safetensors with these texts, by split, encoded by this tokenizer."""
    ids = {split: used.encode(of_split) for split, of_split in found.items()}
    told = {"tokenizer": name, "vocab_size": used.vocab_size, "closing": used.closing}
    return write_tokens(folder, ids, labels, classes, used.padding_id, **told)


def write_checkpoint(folder: Path, dimensions: Dimensions = DIMENSIONS, seed: int = 3) -> Path:
    """Writes FOLDER/checkpoint, random weights as a pretrained model's; its manifest."""
    path, layers = folder / "checkpoint", gpt2.layers(dimensions, seed)
    gpt2.write(path, gpt2.checkpoint_tensors(layers, dimensions), dimensions)
    return path / checkpoint.MANIFEST


def arguments(
    folder: Path, *, threads: int = 1, code: str = "of code", cache_gb: float = 1
) -> list[str | Path]:
    """The command line that trains FOLDER/row.json into FOLDER/run."""
    row = settings.read(folder / "row.json")
    pretrained = row.weights == "pretrained" or not row.dimensions.is_gpt2
    weights = [folder / "checkpoint" / checkpoint.MANIFEST] if pretrained else []
    trunk = []
    # what the trunk's job would have written
    if cut.trunk(row, SEED):
        sha256 = checkpoint.read_manifest(folder / "checkpoint").sha256 if pretrained else None
        manifest = TrunkManifest(checkpoint_sha256=sha256, sequences="", code="of trunk")
        trunk = [folder / "trunk.json"]
        files.write_json(*trunk, manifest)
    files.write_json(folder / "code.json", Code("training.run", code))
    return [
        *("--row", folder / "row.json", "--seed", str(SEED)),
        *("--tokens", folder / "tokens.safetensors", "--checkpoint", *weights),
        *("--trunk", *trunk, "--code", folder / "code.json"),
        *("--cache", folder / "cache", "--cache-gb", str(cache_gb), "--threads", str(threads)),
        *("--state", folder / f"state/seed-{SEED}.safetensors"),
        *("--output-dir", folder / "run", "--log", folder / "train.log"),
    ]


def train(folder: Path, *more: str, **options: Any) -> dict[str, object]:
    """Trains FOLDER/row.json in this process; its results."""
    run.main(run.parser().parse_args([*map(str, arguments(folder, **options)), *more]))
    return results(folder / "run")


def train_options(
    folder: Path, options: dict[str, Any], dimensions: Dimensions, *more: str
) -> dict[str, Any]:
    """Trains a row of these options as config.yaml names them; its metrics, and its `logits`."""
    chosen = dict(options)
    layers, token = chosen.pop("trainable_layers"), chosen.pop("trainable_token")
    row(folder, layers=layers, token=token, dimensions=dimensions, **chosen)
    train(folder, *more)
    metrics: dict[str, Any] = json.loads((folder / "run/metrics.json").read_text())
    return metrics | {"logits": logits(folder / "run/predictions.csv")}


def as_lists(
    ids: Mapping[str, Sequence[Any]], labels: Mapping[str, Any]
) -> tuple[dict[str, list[list[int]]], dict[str, list[int]]]:
    """Texts and labels by split, as the plain loop takes them."""
    return (
        {split: [list(map(int, text)) for text in found] for split, found in ids.items()},
        {split: list(map(int, found)) for split, found in labels.items()},
    )


def keep(folder: Path, *more: str, model: Model | None = None) -> None:
    """Keeps the model that was trained by `train(FOLDER, "--keep")` in FOLDER/model."""
    from ablations.kept import write  # statsmodels too, which each process of the tests would pay

    row = settings.read(folder / "row.json")
    files.write_json(folder / "model.json", model or Model("nano", row.dimensions))
    pretrained = row.weights == "pretrained" or not row.dimensions.is_gpt2
    weights = ["--checkpoint", folder / "checkpoint" / checkpoint.MANIFEST] if pretrained else []
    arguments = [
        *("--row", folder / "row.json", "--seed", SEED, "--data", "texts of a test"),
        *("--tokens", folder / "tokens.safetensors", "--model", folder / "model.json", *weights),
        *("--trained", folder / "run" / run.TRAINED, "--metrics", folder / "run/metrics.json"),
        *("--predictions", folder / "run/predictions.csv", "--dataset", "{}"),
        *("--output", folder / "model/manifest.json"),
    ]
    write.main(write.parser().parse_args([*map(str, arguments), *more]))


def once(
    factory: pytest.TempPathFactory,
    rows: Mapping[str, dict[str, Any]],
    make: Callable[[Path, dict[str, Any]], list[str]],
) -> Callable[[str], tuple[Path, list[str]]]:
    """Gives a row's folder and its test texts by the row's name, each made when first asked for."""

    @functools.cache
    def get(name: str) -> tuple[Path, list[str]]:
        folder = factory.mktemp("row")
        return folder, make(folder, dict(rows[name]))

    return get


def results(folder: Path) -> dict[str, object]:
    """The files of a run that must not differ, without the facts about machine and time."""
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = {key: value for key, value in metrics.items() if key not in MACHINE_FACTS}
    texts = {name: (folder / name).read_bytes() for name in ("predictions.csv", "history.csv")}
    return {"metrics.json": json.dumps(kept), **texts}


def by_the_card(model: Path, texts: Sequence[str]) -> Tensor:
    """The probabilities that the lines of a kept model's README give; they are run."""
    known: dict[str, Any] = {"FOLDER": model, "texts": list(texts)}
    lines = card_lines(model)
    assert lines
    exec(lines, known)
    found: Tensor = known["probabilities"]
    return found


def card_lines(model: Path) -> str | None:
    """The lines of Python in a kept model's README."""
    found = re.search(r"```python\n(.*?)```", (model / "README.md").read_text(), re.DOTALL)
    return found and found[1]


def logits(predictions: Path) -> dict[str, list[list[float]]]:
    """The logits of a run's texts, by split."""
    found: dict[str, list[list[float]]] = {}
    with predictions.open(newline="") as file:
        for line in csv.DictReader(file):
            values = [float(value) for key, value in line.items() if key.startswith("logit_")]
            assert int(line["predicted"]) == values.index(max(values))
            found.setdefault(line["split"], []).append(values)
    return found


def predicted(model: Path, texts: Sequence[str]) -> Tensor:
    """The logits that ablations.predict computes of these texts, [texts, classes]."""
    from ablations.predict import Classifier  # pandas too, as above

    classifier = Classifier(model, threads=1)
    return classifier.logits(classifier.ids(texts, texts))


def assert_same(ours: dict[str, Any], theirs: plain.Result) -> None:
    """Asserts that a run's metrics, with its `logits`, are the plain loop's."""
    assert len(ours["history"]) == len(theirs.history)
    for mine, plains in zip(ours["history"], theirs.history, strict=True):
        assert mine == pytest.approx(plains, abs=1e-5)
    for mine, plains in zip(ours["epoch_accuracy"], theirs.epoch_accuracy, strict=True):
        assert mine == pytest.approx(plains, abs=1e-5)
    assert ours["accuracy"] == pytest.approx(theirs.accuracy, abs=1e-5)
    for split, found in theirs.logits.items():
        assert np.array(ours["logits"][split]) == pytest.approx(found.numpy(), abs=1e-5)
