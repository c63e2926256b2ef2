"""A kept model that is no GPT-2 gives the row's own predictions, and so do the card's lines."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import families
import runs
from ablations.data import tokenizer
from ablations.errors import UserError
from ablations.model import checkpoint, fetch, shape
from ablations.predict import Classifier
from ablations.study.models import Model, ModelFolder

pytest.importorskip("transformers")
SIZES = {"train": 24, "validation": 9, "test": 21}
WORDS = ["free", "prize", "call", "now", "home", "tonight", "see", "you", "then", "ok"]
LENGTH = 12
ROWS: dict[str, dict[str, Any]] = {
    "last": {"kind": "llama"},
    "masked, averaged": {"kind": "llama", "mask_padding": True, "average_embeddings": True},
    "flexible, lora": {"kind": "gpt_neox", "token": "flexible", "layers": "lora", "lora_rank": 2},
    "variable": {"kind": "qwen3", "context_length": "variable", "batch_size": 1, "layers": 2},
    "no mask, flexible": {"kind": "llama", "causal_mask": False, "token": "flexible"},
    "averaged": {"kind": "gpt_neox", "average_embeddings": True, "layers": "last_layer"},
    "encoder": {"kind": "roberta", "layers": "last_two_blocks"},
    "encoder, first": {"kind": "bert", "token": "first", "layers": "all"},
    "encoder, averaged": {"kind": "distilbert", "average_embeddings": True, "weights": "random"},
    "encoder, all": {"kind": "modernbert", "layers": "all", "weights": "random"},
}


def texts_of(seed: int) -> dict[str, list[str]]:
    """Random texts, some longer than what is read; one is empty."""
    draw = random.Random(seed)
    made = {
        split: [" ".join(draw.choices(WORDS, k=draw.randint(2, 9))) for _ in range(size)]
        for split, size in SIZES.items()
    }
    made["test"][3] = " a  b\nÉ"
    return made


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each row's folder and test texts, trained and kept once."""
    return runs.once(tmp_path_factory, ROWS, train)


def train(folder: Path, options: dict[str, Any]) -> list[str]:
    """Trains FOLDER's row and keeps it in FOLDER/model; returns the test set's texts."""
    texts, kind = texts_of(7), options.pop("kind")
    size = families.save_tokenizer(folder / "mine", kind, WORDS)
    families.save(folder / "mine", kind, vocab_size=size)
    dimensions = shape.of_folder(folder / "mine", "mine")
    fetch.take_folder(folder / "mine", dimensions, folder / "checkpoint/manifest.json")
    used = tokenizer.of_folder(folder / "mine", "mine")
    labels = {split: ["free" in text for text in found] for split, found in texts.items()}
    runs.encode(folder, "mine", used, texts, labels, ("ham", "spam"))
    training = {"epochs": 2, "batch_size": 4, "learning_rate": 0.01, "eval_every": 100}
    chosen = {"weights": "pretrained", "layers": "last_block", "context_length": LENGTH}
    runs.row(folder, dimensions=dimensions, **training | chosen | options)
    runs.train(folder, "--keep")
    model = Model("mine", dimensions, folder=ModelFolder(path="mine"))
    runs.keep(folder, "--tokenizer", str(folder / "mine/manifest.json"), model=model)
    return texts["test"]


@pytest.mark.parametrize("name", ROWS)
def test_predictions_are_the_row_s_by_predict_and_by_the_card_s_lines(kept, name):
    folder, texts = kept(name)
    expected = torch.tensor(runs.logits(folder / "run/predictions.csv")["test"])
    assert np.ptp(expected.numpy(), axis=0).min() > 1e-3  # the row tells texts apart at all
    found = runs.predicted(folder / "model", texts)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)

    assert "GPT-2" not in (folder / "model/README.md").read_text()
    found = runs.by_the_card(folder / "model", texts)
    torch.testing.assert_close(found, expected.softmax(-1), atol=1e-5, rtol=0)


def test_a_folder_holds_the_base_model_in_its_own_class_and_the_head(kept):
    folder, _ = kept("encoder, first")
    names = {"config.json", "head.safetensors", "manifest.json", "model.safetensors"}
    assert names < {path.name for path in (folder / "model").iterdir()}
    stated = json.loads((folder / "model/config.json").read_text())
    assert stated["architectures"] == ["BertModel"]
    taken = checkpoint.read_manifest(folder / "checkpoint").dimensions
    assert checkpoint.read_manifest(folder / "model").dimensions == taken


def test_a_head_that_is_another_s_or_gone_is_a_message(kept, tmp_path):
    shutil.copytree(kept("last")[0] / "model", tmp_path / "model")
    head = tmp_path / "model/head.safetensors"
    save_file({"weight": torch.zeros(3, families.WIDTH), "bias": torch.zeros(3)}, head)
    with pytest.raises(UserError, match=r"head.safetensors is not the head of a model: Error"):
        Classifier(tmp_path / "model", threads=1)
    head.unlink()
    with pytest.raises(UserError, match=r"head.safetensors is not the head of a model: No such"):
        Classifier(tmp_path / "model", threads=1)
