"""Reads the tensors of a fetched GPT-2 checkpoint, one at a time.

The folder holds manifest.json, which Snakemake tracks, and beside it model.safetensors, the bulk
that it does not. Fetching and checking whole checkpoints is checkpoint.py's work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from ablations.errors import UserError

if TYPE_CHECKING:  # importing this module for its shapes must stay cheap
    import torch

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"

FLOATING_POINT = ("F64", "F32", "F16", "BF16")


def tensor_shapes(dimensions: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Every tensor of a GPT-2 checkpoint and its shape; projections are stored [in, out]."""
    width = dimensions["n_embd"]
    block: dict[str, tuple[int, ...]] = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_attn.bias": (3 * width,),
        "attn.c_proj.weight": (width, width),
        "attn.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (width, 4 * width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (4 * width, width),
        "mlp.c_proj.bias": (width,),
    }
    return {
        "wte.weight": (dimensions["vocab_size"], width),
        "wpe.weight": (dimensions["n_positions"], width),
        **{
            f"h.{layer}.{name}": shape
            for layer in range(dimensions["n_layer"])
            for name, shape in block.items()
        },
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
    }


def read(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields the named tensors as float32 on the CPU, each read when it is asked for.

    A float32 tensor may be the file's own memory: copy it, do not change it. Raises UserError if
    the folder, its model.safetensors or a tensor is missing or not what the manifest says.
    """
    path = folder / WEIGHTS
    manifest = _manifest(folder)
    if not path.is_file():
        link = f" (a link to {path.readlink()}, which is gone)" if path.is_symlink() else ""
        raise UserError(f"{path} is missing{link}{_fetch_again(folder)}")
    if path.stat().st_size != manifest["bytes"]:
        raise UserError(
            f"{path} has {path.stat().st_size} bytes, but {manifest['bytes']} when it was"
            f" fetched{_fetch_again(folder)}"
        )
    shapes = tensor_shapes(manifest["dimensions"])
    try:
        with safe_open(path, framework="pt") as file:
            for name in names:
                if wrong := problem(file, name, shapes[name]):
                    raise UserError(f"{path}: {wrong}{_fetch_again(folder)}")
                yield name, file.get_tensor(stored_name(file, name)).float()
    except SafetensorError as error:
        raise UserError(f"{path} cannot be read: {error}{_fetch_again(folder)}") from None


def stored_name(file: Any, name: str) -> str:
    """A tensor's key in an open safetensors file: some files prefix all with `transformer.`."""
    keys = file.keys()
    return name if name in keys else f"transformer.{name}"


def problem(file: Any, name: str, shape: tuple[int, ...]) -> str | None:
    """What is wrong with a tensor in an open safetensors file, judged without reading its data."""
    key = stored_name(file, name)
    if key not in file.keys():  # noqa: SIM118 (not a mapping)
        return f"tensor {name} is missing, expected shape {list(shape)}"
    stored = file.get_slice(key)
    if tuple(stored.get_shape()) != shape:
        return f"tensor {name} has shape {stored.get_shape()}, expected {list(shape)}"
    if stored.get_dtype() not in FLOATING_POINT:
        return (
            f"tensor {name} holds {stored.get_dtype()}, expected one of {', '.join(FLOATING_POINT)}"
        )
    return None


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing{_fetch_again(folder)}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}{_fetch_again(folder)}") from None
    return manifest


def _fetch_again(folder: Path) -> str:
    return (
        f"; fetch the checkpoint again: snakemake --cores 1 --force {folder / MANIFEST}"
        " (with the --directory and --configfile of this run, if it had any)"
    )
