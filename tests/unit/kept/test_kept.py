"""A kept model gives the row's own predictions: by ablations.predict, and by transformers.

Models are nano and trained on random texts; what is compared is logits, message by message.
"""

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from safetensors.torch import load_file

import programs
import runs
from ablations.data.tokenizer import of_merges
from ablations.errors import UserError
from ablations.kept import model as kept_model
from ablations.model import gpt2
from ablations.model.gpt2 import FinalNorm
from ablations.model.layers import Head, Reading, draw
from ablations.study.dimensions import Dimensions
from ablations.study.models import Hub, Model, ModelFolder

TOLERANCE = 1e-5
NANO = Dimensions(n_layer=3, n_head=2, n_embd=8, n_positions=24, vocab_size=257)
SIZES = {"train": 24, "validation": 9, "test": 21}
VARIABLE = {"context_length": "variable", "batch_size": 1}

ROWS: dict[str, dict[str, Any]] = {
    "last": {},
    "first": {"token": "first"},
    "flexible, cut": {"token": "flexible", "context_length": 5},
    "variable": {**VARIABLE, "layers": "last_two_blocks"},
    "no mask": {"causal_mask": False},
    "mean, variable": {**VARIABLE, "average_embeddings": True},
    "lora": {"layers": "lora", "lora_rank": 3, "lora_alpha": 2},
    "lora, random": {"layers": "lora", "weights": "random", "token": "flexible"},
    "last layer": {"layers": "last_layer", "weights": "random"},
    "all positions": {"context_length": "model_context_length"},
    "more classes than width": {"classes": 11, "layers": "all"},
}
IN_TRANSFORMERS = [
    name
    for name, options in ROWS.items()
    if not options.keys() & {"causal_mask", "average_embeddings", "classes"}
]


def texts_of(options: dict[str, Any]) -> dict[str, list[str]]:
    """Random texts of up to 20 bytes; one spells a special token, one is empty where it may be."""
    draw = random.Random(5)
    found = {
        split: ["".join(draw.choices("ab cé€!\n0", k=draw.randint(2, 6))) for _ in range(size)]
        for split, size in SIZES.items()
    }
    found["test"][3] = "<|endoftext|>"
    found["test"][4] = " a  b\n"
    found["test"][5] = "" if options.get("context_length") != "variable" else "e"
    return found


def train(folder: Path, options: dict[str, Any]) -> list[str]:
    """Trains FOLDER's row and keeps it in FOLDER/model; returns the test set's texts."""
    texts, chosen = texts_of(options), {"weights": "pretrained", "context_length": 12} | options
    classes = tuple(f"class {label}" for label in range(chosen.pop("classes", 3)))
    ids = {split: of_merges(()).encode(found) for split, found in texts.items()}
    labels = {
        split: np.array([len(text) % len(classes) for text in found], np.int64)
        for split, found in texts.items()
    }
    runs.write_tokens(folder, ids, labels, classes)
    runs.write_checkpoint(folder, NANO)
    layers = chosen.pop("layers", "last_block")
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "eval_every": 100}
    runs.row(folder, layers=layers, dimensions=NANO, **training | chosen)
    runs.train(folder, "--keep")
    runs.keep(folder)
    return texts["test"]


def logits_of(folder: Path) -> np.ndarray:
    """The run's own logits of the test set, [texts, classes]."""
    return np.array(runs.logits(folder / "run/predictions.csv")["test"])


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each row's folder and test texts, trained once."""
    return runs.once(tmp_path_factory, ROWS, train)


@pytest.mark.parametrize("name", ROWS)
def test_predictions_are_the_rows_whatever_stands_beside_a_text(kept, name):
    folder, texts = kept(name)
    expected = logits_of(folder)
    assert np.ptp(expected, axis=0).min() > 1e-3  # the rows tell texts apart at all
    found = runs.predicted(folder / "model", texts)
    assert found.numpy() == pytest.approx(expected, abs=TOLERANCE)
    alone = torch.cat([runs.predicted(folder / "model", [text]) for text in texts[:8]])
    assert alone.numpy() == pytest.approx(expected[:8], abs=TOLERANCE)


@pytest.mark.parametrize("name", IN_TRANSFORMERS)
def test_what_the_card_says_of_transformers_gives_the_same_predictions(kept, name):
    """The card's own lines are run."""
    pytest.importorskip("transformers")
    folder, texts = kept(name)
    told = "reads the last token before the padding" in (folder / "model/README.md").read_text()
    assert told == (name in ("flexible, cut", "variable", "lora, random"))
    # what the card makes an exception of
    chosen = [n for n, text in enumerate(texts) if text or not told]
    found = runs.by_the_card(folder / "model", [texts[n] for n in chosen])
    expected = torch.tensor(logits_of(folder)[chosen]).softmax(-1)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=TOLERANCE)


@pytest.mark.parametrize("name", sorted(set(ROWS) - set(IN_TRANSFORMERS)))
def test_a_card_promises_nothing_that_transformers_cannot_do(kept, name):
    folder, _ = kept(name)
    assert runs.card_lines(folder / "model") is None
    text = (folder / "model/README.md").read_text()
    assert "Only `ablations.predict` gives the row's predictions." in text


@pytest.mark.parametrize("name", ["last", "flexible, cut"])
def test_transformers_pipeline_by_the_folder_alone(kept, name):
    transformers = pytest.importorskip("transformers")
    folder, texts = kept(name)
    texts = list(filter(None, texts))
    expected = torch.tensor(logits_of(folder)).softmax(-1).max(-1)
    classify = transformers.pipeline("text-classification", model=str(folder / "model"))
    found = classify(texts, padding="max_length", truncation=True)
    wanted = [n for n, text in enumerate(texts_of({})["test"]) if text]
    assert [line["label"] for line in found] == [f"class {expected.indices[n]}" for n in wanted]
    assert [line["score"] for line in found] == pytest.approx(
        expected.values[wanted].tolist(), abs=TOLERANCE
    )


def test_transformers_refuses_a_batch_whose_last_position_it_would_not_read(kept):
    """Rather than give other predictions in silence."""
    transformers = pytest.importorskip("transformers")
    folder, _ = kept("last")
    model = transformers.GPT2ForSequenceClassification.from_pretrained(folder / "model")
    with pytest.raises(ValueError, match="no padding token is defined"):
        model(torch.zeros(2, 12, dtype=torch.long))


def test_a_kept_model_is_a_checkpoint_for_another_study(kept, tmp_path):
    """Its head is not taken: the new row's is new."""
    from ablations.model import checkpoint, fetch

    folder, _ = kept("all positions")
    fetch.take_folder(folder / "model", NANO, tmp_path / "mine" / "manifest.json")
    found = dict(checkpoint.read(tmp_path / "mine", gpt2.tensor_shapes(NANO)))
    stored = load_file(folder / "model/model.safetensors")
    assert found and all(torch.equal(found[name], stored[f"transformer.{name}"]) for name in found)


def test_the_card_says_how_it_was_made_and_how_well_it_does(kept, tmp_path):
    folder, _ = kept("lora")
    shutil.copytree(folder, tmp_path / "copy")
    shape = {"n_layer": 3, "n_head": 2, "n_embd": 8}
    hub = Model("gpt2", NANO, hub=Hub(repo="someone/gpt2", revision="abc", **shape))
    runs.keep(tmp_path / "copy", "--note", "Generated texts, not messages.", model=hub)
    card = (tmp_path / "copy/model/README.md").read_text()
    metrics = json.loads((folder / "run/metrics.json").read_text())
    accuracy, n, z = metrics["accuracy"]["test"], SIZES["test"], 1.959964
    center = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    for said in (
        "base_model: someone/gpt2\n",
        "[someone/gpt2](https://huggingface.co/someone/gpt2) at revision `abc`",
        "\n> Generated texts, not messages.\n",
        ", on texts of a test, with these settings:",
        "| lora_rank | 3 |",
        f"| 21 of the test set | {accuracy:.2%} (95% interval {center - half:.2%} to"
        f" {center + half:.2%}, Wilson) |",
        "class 0 / class 1 / class 2",
    ):
        assert said in card
    runs.keep(tmp_path / "copy", model=Model("mine", NANO, folder=ModelFolder(path="x")))
    assert "base_model" not in (tmp_path / "copy/model/README.md").read_text()


def test_the_card_promises_no_more_than_the_row_s_precision_allows(kept, tmp_path):
    folder, _ = kept("flexible, cut")
    exact = "With `transformers`, the same predictions:\n"
    assert exact in (folder / "model/README.md").read_text()
    shutil.copytree(folder, tmp_path / "copy")
    metrics = tmp_path / "copy/run/metrics.json"
    found = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(found | {"precision": "bfloat16"}))
    runs.keep(tmp_path / "copy")
    text = (tmp_path / "copy/model/README.md").read_text()
    said = "same predictions up to rounding, since the row computed in bfloat16:\n"
    assert said in text and exact not in text


def test_writing_again_gives_the_same_bytes_and_half_a_folder_is_no_model(kept, monkeypatch):
    folder, texts = kept("first")
    before = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    runs.keep(folder)
    assert {path.name: path.read_bytes() for path in (folder / "model").iterdir()} == before

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(gpt2, "save_file", killed)
        runs.keep(folder)
    assert not (folder / "model/config.json").exists()
    done = programs.run("ablations.predict", folder / "model", "a")
    assert done.returncode == 1 and "model has no manifest.json; expected the folder" in done.stderr
    runs.keep(folder)
    assert len(runs.predicted(folder / "model", texts)) == len(texts)


def test_what_another_row_trained_is_refused(kept, tmp_path):
    shutil.copytree(kept("last")[0], tmp_path / "copy")
    runs.row(tmp_path / "copy", layers="last_layer", dimensions=NANO, weights="pretrained")
    with pytest.raises(UserError, match=r"trained.safetensors holds -2.bias; it is not what row"):
        runs.keep(tmp_path / "copy")


# --- moving the bias


@hypothesis(max_examples=50)
@given(classes=st.integers(2, 10), width=st.sampled_from([4, 8]), seed=st.integers(0, 10**6))
def test_a_folded_bias_changes_no_logit(classes, width, seed):
    head, norm, reading = Head(width, classes), FinalNorm(width), Reading()
    draw(head, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        norm.bias.normal_()
        x = torch.randn(50, width)
        before = head(norm(x, reading), reading)
        kept_model.fold_bias(norm, head)
        after = head(norm(x, reading), reading)
    assert after.numpy() == pytest.approx(before.numpy(), abs=TOLERANCE)
    if classes < width:
        assert not head.linear.bias.any()


def test_a_bias_that_no_shift_gives_stays():
    """Two classes with one direction, told apart by the bias alone."""
    head, norm = Head(4, 2), FinalNorm(4)
    draw(head, torch.Generator())
    with torch.no_grad():
        head.linear.weight[1] = head.linear.weight[0]
        head.linear.bias.copy_(torch.tensor([1.0, 2.0]))
    kept_model.fold_bias(norm, head)
    assert head.linear.bias.tolist() == [1.0, 2.0] and not norm.bias.any()
