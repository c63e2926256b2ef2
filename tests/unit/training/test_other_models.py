"""Whole runs of other families, by the workflow's program, against a plain loop over the model.

bench/plain.py's loop is given transformers' whole model, which recomputes everything.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import plain
import runs
import tiny_models as families
from ablations.machine import device
from ablations.model import transformer
from ablations.study import cut
from ablations.training.resume import State
from tiny_models import FAMILIES

WORKFLOW = Path(__file__).parents[3] / "workflow"
CLASSES, PADDING = ("one", "two", "three"), 1
DEFAULTS = runs.RECIPE | {"context_length": 9}

Options = dict[str, Any]
Texts = dict[str, list[np.ndarray]]


def texts_of(empty: bool = True) -> tuple[Texts, dict[str, np.ndarray]]:
    """Random texts of 2 to 11 tokens, two equal, one empty; and their labels."""
    draw, found = np.random.default_rng(4), {}
    for split, count in {"train": 18, "validation": 6, "test": 5}.items():
        ids = [draw.integers(5, families.IDS, draw.integers(2, 12), np.int32) for _ in range(count)]
        ids[3] = ids[1]
        found[split] = ids
    if empty:
        found["train"][4] = np.zeros(0, np.int32)
    # each class is among the first
    labels = {split: [*range(3), *(len(i) % 3 for i in ids[3:])] for split, ids in found.items()}
    return found, {split: np.array(of_split) for split, of_split in labels.items()}


def whole(folder: Path, name: str, recipe: plain.Recipe) -> plain.Model:
    """A family's own model for the plain loop."""
    family = FAMILIES[name]
    config = transformers.AutoConfig.from_pretrained(folder)
    if not recipe.causal_mask:
        config.is_causal, config._attn_implementation = False, "eager"
    if recipe.weights == "random":
        torch.manual_seed(runs.SEED)
        body = transformers.AutoModel.from_config(config)
    else:
        body = transformers.AutoModel.from_pretrained(folder, config=config)
    (blocks,) = [
        module
        for module in body.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == families.BLOCKS
    ]
    after = [body.get_submodule(family.after)] if family.after else []
    return plain.Model(body, blocks, after, families.WIDTH, recipe, len(CLASSES), runs.SEED)


def ours(folder: Path, name: str, options: Options) -> dict[str, Any]:
    return runs.train_options(folder, DEFAULTS | options, families.dimensions_of(name))


def made(folder: Path, name: str, options: Options) -> tuple[Texts, dict[str, np.ndarray]]:
    family = FAMILIES[name]
    families.save(folder / "checkpoint", name, families.config_of(name), family.head)
    ids, labels = texts_of(options.get("context_length") != "variable")
    runs.write_tokens(folder, ids, labels, CLASSES, padding=PADDING)
    return ids, labels


CASES: list[tuple[str, Options]] = [
    ("gpt_neox", {}),
    ("gpt_neox", {"trainable_token": "first", "trainable_layers": "last_layer"}),
    ("opt", {"trainable_layers": "all", "trainable_token": "flexible"}),
    ("opt", {"trainable_layers": "lora", "weights": "random", "micro_batch": 3}),
    ("qwen3", {"average_embeddings": True, "trainable_layers": 3}),
    ("llama", {"mask_padding": True, "trainable_layers": "lora", "lora_blocks": 1}),
    ("gemma3_text", {"causal_mask": False, "trainable_layers": "last_two_blocks"}),
    ("llama", {"causal_mask": False, "mask_padding": True, "average_embeddings": True}),
    ("gpt_neox", {"context_length": "variable", "batch_size": 1, "accumulation_steps": 4}),
    ("falcon", {"weights": "random", "train_size": 9, "trainable_layers": "last_layer"}),
    ("bert", {}),
    ("bert", {"trainable_layers": "all", "trainable_token": "first"}),
    ("roberta", {"trainable_layers": "lora", "trainable_token": "first"}),
    ("distilbert", {"average_embeddings": True, "trainable_layers": "last_layer"}),
    ("modernbert", {"trainable_layers": 2, "trainable_token": "first", "context_length": 5}),
    ("deberta-v2", {"trainable_layers": "last_block"}),
]


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_run_is_the_plain_loop_s(name: str, options: Options, tmp_path: Path) -> None:
    ids, labels = made(tmp_path, name, options)
    chosen = DEFAULTS | options
    chosen.pop("micro_batch", None)
    if FAMILIES[name].encoder:
        chosen["mask_padding"] = True
    recipe = plain.Recipe(**chosen)
    expected = plain.train(
        recipe,
        plain.Shape(families.BLOCKS, 2, families.WIDTH, 32, families.IDS),
        *runs.as_lists(ids, labels),
        padding_id=PADDING,
        classes=len(CLASSES),
        seed=runs.SEED,
        model=whole(tmp_path / "checkpoint", name, recipe),
    )
    found = ours(tmp_path, name, options)
    runs.assert_same(found, expected)
    assert found["versions"]["transformers"] == transformers.__version__


def test_a_killed_run_goes_on_to_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"trainable_layers": "last_two_blocks", "weights": "random"}
    made(tmp_path, "opt", options)
    ours(tmp_path, "opt", options)
    expected = runs.results(tmp_path / "run")
    monkeypatch.setenv("ABLATIONS_SAVE_SECONDS", "0")
    with monkeypatch.context() as killed:
        save, left = State.save, iter(range(3))

        def save_thrice(self: State, *args: Any) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt
            save(self, *args)

        killed.setattr(State, "save", save_thrice)
        with pytest.raises(KeyboardInterrupt):
            ours(tmp_path, "opt", options)
    with caplog.at_level("INFO"):
        ours(tmp_path, "opt", options)
    assert "going on after step 2" in caplog.text
    assert runs.results(tmp_path / "run") == expected


def test_another_config_json_is_another_model(tmp_path: Path) -> None:
    made(tmp_path, "llama", {})
    folder, dimensions = tmp_path / "checkpoint", families.dimensions_of("llama")
    before = transformer.engine(dimensions, folder)
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert transformer.engine(dimensions, folder) != before
    assert transformer.engine(runs.DIMENSIONS, None) is None


@pytest.mark.parametrize("name", ["llama", "bert"])
def test_bfloat16_is_close_to_float32(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_has_bfloat16", lambda: True)  # slow where it is not so
    made(tmp_path, name, {})
    ours(tmp_path, name, {})
    expected = runs.logits(tmp_path / "run/predictions.csv")
    ours(tmp_path, name, {"precision": "bfloat16"})
    found = runs.logits(tmp_path / "run/predictions.csv")
    difference = np.abs(np.array(found["test"]) - np.array(expected["test"])).max()
    assert 0 < difference < 0.1


def test_a_row_of_another_model_is_cut_like_a_gpt2_s(tmp_path: Path) -> None:
    row = runs.settings_of(layers="last_block", dimensions=families.dimensions_of("bert"))
    trunk = cut.trunk(row, 1)
    assert trunk and trunk.blocks == families.BLOCKS - 1
    assert (trunk.input.causal_mask, trunk.input.mask_padding) == (False, True)
