"""A GPT-2 checkpoint in its folder: the tensors it has, its manifest, and reading one at a time.

The folder holds manifest.json, which Snakemake tracks, and beside it model.safetensors, the bulk
that it does not. Fetching and checking whole checkpoints is fetch.py's work.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from safetensors import SafetensorError, safe_open

from ablations import files
from ablations.errors import UserError
from ablations.study.dimensions import Dimensions

if TYPE_CHECKING:  # importing this module for its shapes must stay cheap
    import torch

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"

FLOATING_POINT = ("F64", "F32", "F16", "BF16")


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What Snakemake knows of a checkpoint: its bulk's checksum and size, not where it is from."""

    sha256: str
    bytes: int
    dimensions: Dimensions


def tensor_shapes(dimensions: Dimensions) -> dict[str, tuple[int, ...]]:
    """Every tensor of a GPT-2 checkpoint and its shape; projections are stored [in, out]."""
    width = dimensions.n_embd
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
        "wte.weight": (dimensions.vocab_size, width),
        "wpe.weight": (dimensions.n_positions, width),
        **{
            f"h.{layer}.{name}": shape
            for layer in range(dimensions.n_layer)
            for name, shape in block.items()
        },
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
    }


def read(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yields the named tensors as float32 on the CPU, each read when it is asked for.

    A float32 tensor may be the file's own memory: copy it, do not change it. Raises UserError if
    the folder, its model.safetensors or a tensor is missing or not what the manifest says.
    """
    path = folder / WEIGHTS
    manifest = read_manifest(folder)
    if not path.is_file():
        link = f" (a link to {path.readlink()}, which is gone)" if path.is_symlink() else ""
        raise UserError(f"{path} is missing{link}{_fetch_again(folder)}")
    if path.stat().st_size != manifest.bytes:
        raise UserError(
            f"{path} has {path.stat().st_size} bytes, but {manifest.bytes} when it was"
            f" fetched{_fetch_again(folder)}"
        )
    shapes = tensor_shapes(manifest.dimensions)
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


def write_manifest(folder: Path, sha256: str, dimensions: Dimensions) -> None:
    """Writes the manifest of the config.json and model.safetensors that lie in a folder."""
    size = (folder / WEIGHTS).stat().st_size
    files.write_json(folder / MANIFEST, Manifest(sha256, size, dimensions))


def read_manifest(folder: Path) -> Manifest:
    """A checkpoint's manifest; raises UserError where it is missing or damaged."""
    path = folder / MANIFEST
    try:
        return files.read_json(path, Manifest)
    except UserError as error:
        raise UserError(f"{error}{_fetch_again(folder)}") from None


def _fetch_again(folder: Path) -> str:
    return (
        f"; fetch the checkpoint again: snakemake --cores 1 --force {folder / MANIFEST}"
        " (with the --directory and --configfile of this run, if it had any)"
    )
