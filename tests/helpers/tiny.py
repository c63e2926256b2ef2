"""A study that trains within a second: one nano model, 60 messages, rows of every kind."""

from pathlib import Path
from typing import Any

import yaml

MODEL = {
    "pretrain": {"steps": 2, "batch_size": 4, "learning_rate": 1e-3, "seed": 1},
    "n_layer": 2,
    "n_head": 2,
    "n_embd": 8,
    "n_positions": 256,
}
ROWS: list[dict[str, Any]] = [
    {
        "id": "baseline",
        "model": "nano",
        "weights": "pretrained",
        "trainable_token": "last",
        "trainable_layers": "last_block",
        "context_length": 32,
    },
    {"id": "last-layer", "trainable_layers": "last_layer"},
    {"id": "random", "weights": "random", "trainable_layers": "all"},
]


def config(folder: Path, **changes: Any) -> Path:
    """Writes FOLDER/config.yaml; `changes` replace top-level keys, `training` key by key."""
    training = {"epochs": 2, "batch_size": 8, "learning_rate": 1e-3, "weight_decay": 0.1}
    training |= {"eval_every": 4, "eval_batches": 2, "precision": "float32"}
    study = {
        "seeds": [123],
        "tokenizer": "bytes",
        "dataset": {
            "generated": {"messages": 300, "seed": 0},
            "split": {"train": 0.7, "validation": 0.1, "seed": 123},
        },
        "models": {"nano": MODEL},
        "rows": ROWS,
        **changes,
        "training": training | changes.get("training", {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path
