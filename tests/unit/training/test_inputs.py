"""Messages that do not fit one batch: what layers read, and that no result depends on it."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import runs
from ablations.training import inputs


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=60))
@example([8] * 1000)
@example([3000, 1])
def test_batches_hold_every_message_once_and_no_more_tokens_than_allowed(lengths):
    found = list(inputs.batches(np.array(lengths)))
    assert sorted(np.concatenate(found).tolist()) == list(range(len(lengths)))
    for part in found:
        padded = len(part) * max(lengths[number] for number in part)
        assert padded <= inputs.TOKENS_PER_BATCH or len(part) == 1
    # and no batch could have taken the next one's first message
    for part, after in itertools.pairwise(found):
        longest = max(lengths[number] for number in [*part, after[0]])
        assert (len(part) + 1) * longest > inputs.TOKENS_PER_BATCH


def test_messages_of_one_length_keep_their_order():
    found = np.concatenate(list(inputs.batches(np.full(5000, 7))))
    assert found.tolist() == list(range(5000))


def trained(folder: Path, options: dict[str, Any]) -> tuple[list[float], np.ndarray]:
    """Every loss, and the logits of every message."""
    folder.mkdir()
    draw = np.random.default_rng(1)
    sizes = {"train": 14, "validation": 9, "test": 7}
    ids = {
        split: [draw.integers(0, 256, draw.integers(1, 12), np.int32) for _ in range(size)]
        for split, size in sizes.items()
    }
    runs.write_tokens(folder, ids, {split: np.arange(size) % 2 for split, size in sizes.items()})
    runs.row(folder, epochs=1, eval_every=2, **options)
    runs.train(folder)
    metrics = json.loads((folder / "run/metrics.json").read_text())
    losses = [each[f"{split}_loss"] for each in metrics["history"] for split in list(sizes)[:2]]
    frame = pd.read_csv(folder / "run/predictions.csv")
    return losses, frame[["logit_0", "logit_1"]].to_numpy()


@pytest.mark.parametrize(
    "options",
    [
        {"layers": "last_layer"},
        {"layers": "all", "token": "flexible"},
        {"layers": "last_block", "context_length": "variable", "batch_size": 1},
    ],
    ids=str,
)
def test_the_size_of_a_batch_changes_nothing(options, tmp_path, monkeypatch):
    losses, logits = trained(tmp_path / "one", options)
    monkeypatch.setattr(inputs, "TOKENS_PER_BATCH", 25)
    others = trained(tmp_path / "many", options)
    assert others[0] == pytest.approx(losses, abs=1e-5)
    np.testing.assert_allclose(others[1], logits, atol=1e-5)
