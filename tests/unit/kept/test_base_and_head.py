"""A kept model that is no GPT-2: transformers and this project's engine load the same from it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator

import families
import runs
from ablations.errors import UserError
from ablations.kept import base_and_head
from ablations.model import checkpoint, fetch, parts, shape
from ablations.model.layers import Head, Layers, Reading, draw
from ablations.model.lora import add_lora, merge_lora
from ablations.study import cut

transformers = pytest.importorskip("transformers")
IDS = torch.arange(4, 16).reshape(2, 6)


def row_of(folder: Path, **options: Any) -> Any:
    return runs.settings_of(
        dimensions=shape.of_folder(folder, "mine"), weights="pretrained", **options
    )


def trained(row: Any, folder: Path, seed: int | None, start: int, lora: bool = False) -> Layers:
    """The layers from `start` on, and a head: every weight that would train is another."""
    part = parts.part(row.dimensions, folder, seed, start, causal=row.input.causal_mask)
    head, generator = Head(row.dimensions.n_embd, 3), Generator().manual_seed(1)
    draw(head, generator)
    layers = Layers([part, head])
    if lora:
        add_lora(layers, 2, 1.0, generator)
    with torch.no_grad():
        for each in layers.trained().values():
            each.add_(0.1 * torch.randn(each.shape, generator=generator))
    merge_lora(layers)
    return layers


@pytest.mark.parametrize(
    ("kind", "layers", "seed"),
    [
        ("llama", "last_block", None),
        ("gpt_neox", "all", None),
        ("bert", "lora", None),
        ("roberta", "last_block", 5),
        ("modernbert", "all", 5),
    ],
)
def test_what_is_written_is_read_alike(tmp_path, kind, layers, seed):
    families.save(tmp_path / "from", kind)
    manifest = tmp_path / "taken/manifest.json"
    fetch.take_folder(tmp_path / "from", shape.of_folder(tmp_path / "from", "mine"), manifest)
    source, folder = manifest.parent, tmp_path / "kept"
    row = row_of(source)
    start = cut.LAST_BLOCK if layers == "last_block" else cut.embeddings(row.dimensions.n_layer)
    tail = trained(row, source, seed, start, lora=layers == "lora")

    whole = base_and_head.whole(row, source, seed)
    before = whole(IDS, Reading(causal=row.input.causal_mask))
    base_and_head.write(folder, row, whole, tail)
    assert {path.name for path in folder.iterdir()} == {
        *("config.json", "head.safetensors", "manifest.json", "model.safetensors")
    }
    assert checkpoint.read_manifest(folder).dimensions == row.dimensions

    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        states = model(IDS).last_hidden_state[:, -1]
        logits = tail[-1].linear(states)
        found = base_and_head.read(folder, row, 3)(IDS, Reading(causal=row.input.causal_mask))
    torch.testing.assert_close(found, logits, atol=1e-5, rtol=0)
    assert (states - before).abs().max() > 1e-3
    if start != cut.LAST_BLOCK:  # it reads ids as the whole model does
        torch.testing.assert_close(
            tail(IDS, Reading(causal=row.input.causal_mask)), logits, atol=1e-5, rtol=0
        )


def test_a_head_that_is_gone_or_another_s_is_a_message(tmp_path):
    families.save(tmp_path, "llama")
    row = row_of(tmp_path)
    with pytest.raises(UserError, match=r"head.safetensors is not the head of a model"):
        base_and_head.read(tmp_path, row, 3)
