"""An update of several batches has the gradients of one batch as large as they are together.

Losses would hardly show it: AdamW's steps are the same where all gradients are larger by a factor.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

import runs


def first_gradients(folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> torch.Tensor:
    """Of all that trains, when a run first updates it."""
    found = []
    step = torch.optim.AdamW.step

    def recorded(optimizer: torch.optim.AdamW) -> Any:
        parameters = [each for group in optimizer.param_groups for each in group["params"]]
        gradients = [each.grad for each in parameters if each.grad is not None]
        found.append(torch.cat([each.flatten() for each in gradients]))
        return step(optimizer)

    runs.tokens_file(folder)
    runs.row(folder, epochs=1, **options)
    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", recorded)
        runs.train(folder)
    return found[0]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 2, "accumulation_steps": 6},
        {"batch_size": 1, "accumulation_steps": 12},
        {"batch_size": 4, "accumulation_steps": 3, "micro_batch": 3},
        {"batch_size": 12, "micro_batch": 5},
    ],
    ids=str,
)
def test_the_gradients_are_those_of_one_batch(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loader gives the same messages in the same order, whatever the size of its batches."""
    expected = first_gradients(tmp_path, monkeypatch, batch_size=12)
    found = first_gradients(tmp_path, monkeypatch, **options)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
