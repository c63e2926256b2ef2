"""A kept model with a tokenizer of the user's own: its files, and the row's own predictions."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import runs
import small_tokenizers
from ablations import files
from ablations.data import tokenizer
from ablations.study.dataset import SPLITS
from ablations.study.dimensions import Dimensions
from ablations.training import predictions

SHAPE = Dimensions(n_layer=2, n_head=2, n_embd=8, n_positions=24, vocab_size=340)
LONG = 3 * "the mat, aaaa the cat sat on the mat! "
TEXTS = ["the cat", "", LONG, "a 你好 covid", "théme \n x", "\0"]


@pytest.mark.parametrize("kind", small_tokenizers.KINDS)
@pytest.mark.parametrize("token", ["last", "flexible"])
def test_predict_and_the_card_encode_as_training_did(tmp_path: Path, kind: str, token: str) -> None:
    own = tmp_path / "own"
    small_tokenizers.write(own, kind)
    files.write_json(own / "manifest.json", {})
    used = tokenizer.of_folder(own, "own")
    labels = dict.fromkeys(SPLITS, np.arange(len(TEXTS)) % 2)
    runs.encode(tmp_path, "own", used, dict.fromkeys(SPLITS, TEXTS), labels)
    runs.row(tmp_path, token=token, dimensions=SHAPE, batch_size=2, context_length=12)
    runs.train(tmp_path, "--keep")
    runs.keep(tmp_path, "--tokenizer", str(own / "manifest.json"))

    read = predictions.read(tmp_path / "run/predictions.csv", 2)["test"].logits
    kept = tmp_path / "model"
    assert runs.predicted(kept, TEXTS).numpy() == pytest.approx(read, abs=1e-5)
    shutil.rmtree(own)
    assert "the spelling of a special token" in (kept / "README.md").read_text()
    # an empty text without a token is an exception that the card tells of
    chosen = [n for n, ids in enumerate(used.encode(TEXTS)) if len(ids)]
    found = runs.by_the_card(kept, [TEXTS[n] for n in chosen])
    expected = torch.tensor(read[chosen]).softmax(-1).numpy()
    assert found.numpy() == pytest.approx(expected, abs=1e-5)
