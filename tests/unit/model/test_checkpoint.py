"""A checkpoint in its folder: read tensor by tensor, and what a damaged one says."""

import json
from pathlib import Path

import pytest
import torch
from msgspec import to_builtins
from safetensors.torch import save_file

from ablations.errors import UserError
from ablations.files import sha256
from ablations.model import checkpoint, fetch, gpt2
from ablations.study.dimensions import Dimensions

DIMENSIONS = Dimensions(n_layer=2, n_head=2, n_embd=4, n_positions=8, vocab_size=11)
SHAPES = gpt2.tensor_shapes(DIMENSIONS)


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in SHAPES.items()}


def fetched(tmp_path: Path, stored: dict[str, torch.Tensor]) -> Path:
    """The folder that fetching a user's checkpoint with these tensors gives."""
    source = tmp_path / "mine"
    source.mkdir(exist_ok=True)
    (source / "config.json").write_text(json.dumps(to_builtins(DIMENSIONS)))
    save_file(stored, source / "model.safetensors")
    output = tmp_path / "tiny" / "manifest.json"
    fetch.take_folder(source, DIMENSIONS, output)
    return output.parent


MASKS = {
    **{f"h.{n}.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8) for n in range(2)},
    **{f"h.{n}.attn.masked_bias": torch.tensor(-1e4) for n in range(2)},
}


def test_reads_exactly_what_was_stored_and_asked_for(tmp_path):
    stored = tensors()
    head = {"lm_head.weight": stored["wte.weight"].clone(), "score.weight": torch.ones(2, 4)}
    folder = fetched(tmp_path, stored | MASKS | head)
    found = dict(checkpoint.read(folder, SHAPES))
    assert list(found) == list(SHAPES)
    assert all(torch.equal(found[name], stored[name]) for name in SHAPES)
    assert list(dict(checkpoint.read(folder, {"wpe.weight": (8, 4)}))) == ["wpe.weight"]


@pytest.mark.parametrize(
    "prefix",
    ["transformer.", "_orig_mod.", "module.", "module._orig_mod.transformer.", "_orig_mod.module."],
)
def test_prefix_is_accepted(tmp_path, prefix):
    stored = tensors()
    keys = {f"{prefix}{name}": tensor for name, tensor in (stored | MASKS).items()}
    folder = fetched(tmp_path, keys | {"lm_head.weight": stored["wte.weight"].clone()})
    assert all(torch.equal(each, stored[name]) for name, each in checkpoint.read(folder, SHAPES))


def test_layers_that_were_compiled_one_by_one_are_accepted(tmp_path):
    stored = tensors()
    keys = {name.replace("h.0.", "h.0._orig_mod."): tensor for name, tensor in stored.items()}
    assert keys.keys() != stored.keys()
    folder = fetched(tmp_path, keys)
    assert all(torch.equal(each, stored[name]) for name, each in checkpoint.read(folder, SHAPES))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    stored = {name: tensor.to(dtype) for name, tensor in tensors().items()}
    for name, tensor in checkpoint.read(fetched(tmp_path, stored), SHAPES):
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, stored[name].float())


def broken(folder: Path) -> str:
    with pytest.raises(UserError) as raised:
        dict(checkpoint.read(folder, SHAPES))
    message = str(raised.value)
    assert f"snakemake --cores 1 --force {folder}/manifest.json" in message
    return message


def test_bulk_that_is_gone_or_changed_says_how_to_fetch_it_again(tmp_path):
    folder, source = fetched(tmp_path, tensors()), tmp_path / "mine" / "model.safetensors"
    content = source.read_bytes()

    source.write_bytes(content[:-4])
    size = len(content)
    assert f"has {size - 4} bytes, but {size} when it was fetched" in broken(folder)
    source.write_bytes(b"\xff" * size)
    assert "model.safetensors cannot be read" in broken(folder)
    source.unlink()
    assert f"model.safetensors is missing (a link to {source}, which is gone)" in broken(folder)
    (folder / "model.safetensors").unlink()
    assert "model.safetensors is missing; fetch" in broken(folder)
    (folder / "manifest.json").write_text("{")
    assert "manifest.json is not what it should be: Input data was truncated" in broken(folder)
    (folder / "manifest.json").unlink()
    assert "manifest.json cannot be read: No such file or directory; fetch" in broken(folder)


def test_tensor_that_is_missing_or_of_the_wrong_shape(tmp_path):
    folder = fetched(tmp_path, tensors())
    manifest = json.loads((folder / "manifest.json").read_text())

    def replace(stored: dict[str, torch.Tensor]) -> None:
        (folder / "model.safetensors").unlink()
        save_file(stored, folder / "model.safetensors")
        manifest["bytes"] = (folder / "model.safetensors").stat().st_size
        (folder / "manifest.json").write_text(json.dumps(manifest))

    replace(tensors() | {"ln_f.bias": torch.ones(1)})
    assert "tensor ln_f.bias has shape [1], expected [4]" in broken(folder)
    replace({name: tensor for name, tensor in tensors().items() if name != "wpe.weight"})
    assert "tensor wpe.weight is missing, expected shape [8, 4]" in broken(folder)


def test_shapes_add_up_to_the_parameters_of_gpt2_small():
    small = Dimensions(n_layer=12, n_head=12, n_embd=768, n_positions=1024, vocab_size=50257)
    shapes = gpt2.tensor_shapes(small).values()
    assert sum(torch.Size(shape).numel() for shape in shapes) == 124_439_808


def test_manifest_gives_back_what_was_written_and_refuses_anything_else(tmp_path):
    folder = fetched(tmp_path, tensors())
    manifest = checkpoint.read_manifest(folder)
    bulk = folder / "model.safetensors"
    assert manifest == checkpoint.Manifest(sha256(bulk), bulk.stat().st_size, DIMENSIONS)
    written = (folder / "manifest.json").read_bytes()
    checkpoint.write_manifest(folder, manifest.sha256, DIMENSIONS)
    assert (folder / "manifest.json").read_bytes() == written

    stated = json.loads(written)
    for wrong in (
        stated | {"source": "somewhere"},
        stated | {"dimensions": stated["dimensions"] | {"n_layer": 0}},
        {"sha256": stated["sha256"]},
        [],
    ):
        (folder / "manifest.json").write_text(json.dumps(wrong))
        assert "manifest.json is not what it should be" in broken(folder)
