"""A run of a nano model on made-up tokens, as files for the program that trains."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ablations import tokens

DIMENSIONS = {"n_layer": 2, "n_head": 2, "n_embd": 8, "n_positions": 16, "vocab_size": 257}
# What may differ between identical runs.
MACHINE_FACTS = (
    "training_time_seconds",
    "trunk_time_seconds",
    "peak_memory_bytes",
    "device",
    "versions",
    "shared_device",
)


def row(
    folder: Path, *, epochs: int = 3, layers: str = "all", token: str = "last", **training: Any
) -> Path:
    """Writes a row file: random weights, so that no checkpoint is needed."""
    options = {"epochs": epochs, "batch_size": 4, "learning_rate": 1e-3, "weight_decay": 0.1}
    options |= {"eval_every": 5, "eval_batches": 2, "precision": "float32"}
    path = folder / "row.json"
    settings = {
        "row": "baseline",
        "model": "nano",
        "dimensions": DIMENSIONS,
        "weights": "random",
        "trainable_token": token,
        "trainable_layers": layers,
        "context_length": 12,
        "training": options | training,
    }
    path.write_text(json.dumps(settings))
    return path


def tokens_file(folder: Path, seed: int = 0) -> Path:
    """Writes a tokens file: random bytes, more than half of them odd in one class."""
    draw = np.random.default_rng(seed)
    sizes = {"train": 42, "validation": 9, "test": 17}
    labels = {split: np.arange(size, dtype=np.int64) % 2 for split, size in sizes.items()}
    ids = {
        split: [draw.integers(0, 100, 10, dtype=np.int32) * 2 + int(label) for label in labels]
        for split, labels in labels.items()
    }
    path = folder / "tokens.safetensors"
    tokens.write(path, tokens.Tokens("bytes", 257, 256, "0" * 64, ids, labels))
    return path


def arguments(folder: Path, *, threads: int = 1) -> list[str | Path]:
    """The command line that trains FOLDER/row.json into FOLDER/run."""
    return [
        *("--row", folder / "row.json", "--seed", "123"),
        *("--tokens", folder / "tokens.safetensors", "--checkpoint"),
        *("--cache", folder / "cache", "--threads", str(threads)),
        *("--state", folder / "state/seed-123.safetensors"),
        *("--output-dir", folder / "run", "--log", folder / "train.log"),
    ]


def results(folder: Path) -> dict[str, object]:
    """The files of a run that must not differ, without the facts about machine and time."""
    metrics = json.loads((folder / "metrics.json").read_text())
    kept = {key: value for key, value in metrics.items() if key not in MACHINE_FACTS}
    texts = {name: (folder / name).read_bytes() for name in ("predictions.csv", "history.csv")}
    return {"metrics.json": json.dumps(kept), **texts}
