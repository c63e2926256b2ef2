"""The precision of a row: what this machine has is used, what it lacks is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import runs
from ablations.data.sequences import Sequences
from ablations.errors import UserError
from ablations.machine import device
from ablations.training.inputs import Inputs, Layout, Mapped

on_a_cpu = pytest.mark.skipif(
    torch.cuda.is_available() or torch.backends.mps.is_available(), reason="for a CPU"
)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    runs.tokens_file(tmp_path)
    return tmp_path


def trained(study: Path, cache_gb: float = 1, **row: str) -> tuple[dict[str, object], np.ndarray]:
    """metrics.json and the logits of predictions.csv."""
    runs.row(study, **row)
    runs.train(study, cache_gb=cache_gb)
    predictions = pd.read_csv(study / "run/predictions.csv")
    metrics = json.loads((study / "run/metrics.json").read_text())
    return metrics, predictions[["logit_0", "logit_1"]].to_numpy()


@on_a_cpu
def test_auto_is_float32_to_the_last_digit(study: Path) -> None:
    metrics, logits = trained(study, precision="auto")
    assert metrics["precision"] == "float32"
    assert (logits == trained(study, precision="float32")[1]).all()


@on_a_cpu
@pytest.mark.parametrize(("layers", "cache_gb"), [("all", 1), ("last_block", 0), ("last_layer", 1)])
def test_bfloat16_is_float32_but_for_rounding(
    study: Path, monkeypatch: pytest.MonkeyPatch, layers: str, cache_gb: float
) -> None:
    monkeypatch.setattr(device, "_has_bfloat16", lambda: True)  # slow is fast enough here
    _, exact = trained(study, cache_gb, layers=layers, precision="float32")
    metrics, rounded = trained(study, cache_gb, layers=layers, precision="bfloat16")
    assert metrics["precision"] == "bfloat16"
    assert (rounded != exact).any()
    # bfloat16 has 8 bits: each product is off by up to 0.4%, of logits of about 1
    np.testing.assert_allclose(rounded, exact, atol=0.05)


@on_a_cpu
def test_bfloat16_is_refused_by_a_processor_without_it(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_has_bfloat16", lambda: False)
    with pytest.raises(UserError, match=r"precision: bfloat16 .*allowed here: auto, float32"):
        trained(study, precision="bfloat16")
    assert not (study / "run").exists()


@on_a_cpu
def test_tf32_is_refused_without_cuda_in_one_line(study: Path) -> None:
    with pytest.raises(UserError, match=r"^precision: tf32 needs a CUDA device.*$") as raised:
        trained(study, precision="tf32")
    assert "allowed here: auto, float32, bfloat16" in str(raised.value)
    assert "\n" not in str(raised.value) and not (study / "run").exists()


@pytest.mark.parametrize("capability", [(7, 5), (8, 0)])
def test_a_cuda_device_is_asked_for_no_more_than_it_has(
    capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "is_available": True,
        "current_device": 0,
        "get_device_capability": capability,
        "get_device_name": "Some GPU",
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)
    threads = torch.get_num_threads()
    if capability >= (8, 0):
        assert device.current("auto", threads).precision == "tf32"
        assert device.current("bfloat16", threads).precision == "bfloat16"
        device.current("float32", threads)  # products are what they were again
        return
    assert device.current("auto", threads).precision == "float32"
    for precision in ("tf32", "bfloat16"):
        with pytest.raises(UserError, match=rf"{precision} needs .*8\.0.*Some GPU.*auto, float32"):
            device.current(precision, threads)


@pytest.mark.parametrize("free, moved", [(10**6, True), (1000, False)])
def test_inputs_move_to_a_gpu_that_has_room(
    free: int, moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = np.arange(240, dtype=np.float32).reshape(5, 6, 8)
    np.save(tmp_path / "states.npy", states.reshape(30, 8))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free, 10**9))
    gpu = SimpleNamespace(kind="cuda", torch=torch.device("cpu"))
    ids = np.arange(30, dtype=np.int32)
    every = Sequences(ids, np.arange(0, 31, 6), np.arange(5), np.full(5, 5))
    mapped = Mapped(tmp_path / "states.npy", 6)
    found = Inputs(mapped, Layout.of(every), True).resident(gpu)
    assert isinstance(found.values, torch.Tensor) if moved else found.values is mapped
    assert (found.read(torch.tensor([4, 1]))[0].numpy() == states[[4, 1]]).all()
