"""A checkpoint in its folder: its manifest, and reading one tensor at a time.

The folder holds manifest.json, which Snakemake tracks, and the large files, which it does not
track: model.safetensors, or model.safetensors.index.json and the files that it names. fetch.py
fetches and checks whole checkpoints.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ablations import files
from ablations.errors import Message, UserError
from ablations.study.dimensions import Dimensions
from ablations.study.folder import INDEX, weight_files

MANIFEST = "manifest.json"

FLOATING_POINT = ("F64", "F32", "F16", "BF16")

# What saving a wrapped model puts before names: torch.compile's wrapper, that of several GPUs.
WRAPPERS = re.compile(r"(?:^|(?<=\.))(?:_orig_mod|module)\.")


class Stored(NamedTuple):
    """A tensor of an open file, and its name there."""

    file: Any
    key: str


Files = dict[str, Stored]  # of a checkpoint, open: its tensors by their names in a GPT-2


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What Snakemake knows about a checkpoint: checksum and size of its weights, not the source.

    For several files: the sum of their sizes, and the checksum of their checksums, one on a line.
    """

    sha256: str
    bytes: int
    dimensions: Dimensions


def plain(key: str) -> str:
    """A tensor's name in a GPT-2: its key without what wrappers and some files put before it."""
    return WRAPPERS.sub("", key).removeprefix("transformer.")


@contextmanager
def opened(paths: Iterable[Path], name: Callable[[str], str]) -> Iterator[Files]:
    """These files, open; raises SafetensorError where one is damaged, UserError where two differ.

    `name` gives a key's name in the model. Two files may not hold one key, since nothing would say
    which counts.
    """
    with ExitStack() as stack:
        stored, held = list[Stored](), dict[str, Path]()
        for path in paths:
            file = stack.enter_context(safe_open(path, framework="pt"))
            for key in file.keys():  # noqa: SIM118
                if key in held:
                    raise UserError(
                        f"{held[key].name} and {path.name} both hold tensor {key}; expected each"
                        " tensor in one file"
                    )
                held[key] = path
                stored.append(Stored(file, key))
        stored.sort(
            key=lambda each: -len(each.key)
        )  # a name without prefixes comes last, and stays
        yield {name(each.key): each for each in stored}


@contextmanager
def complete(folder: Path, name: Callable[[str], str]) -> Iterator[Files]:
    """A folder's weights, open, as `opened` does it.

    Raises UserError if the folder or its weights are missing or not what the manifest says.
    """
    manifest = read_manifest(folder)
    paths = weight_files(folder)
    for path in paths:
        if not path.is_file():
            link = f" (a link to {path.readlink()}, which is gone)" if path.is_symlink() else ""
            raise UserError(f"{path} is missing{link}{_fetch_again(folder)}")
    size = sum(path.stat().st_size for path in paths)
    if size != manifest.bytes:
        raise UserError(
            f"{_together(paths)} has {size} bytes, but {manifest.bytes} when it was"
            f" fetched{_fetch_again(folder)}"
        )
    try:
        with opened(paths, name) as stored:
            yield stored
    except SafetensorError as error:
        raise UserError(
            f"{_together(paths)} cannot be read: {error}{_fetch_again(folder)}"
        ) from None


def read(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[tuple[str, Tensor]]:
    """Yields a GPT-2's tensors as float32 on the CPU; each is read when the caller takes it.

    A float32 tensor may be the file itself, mapped into memory: copy it, do not change it. Raises
    UserError as `complete` does, and if a tensor is missing or has another shape.
    """
    with complete(folder, plain) as stored:
        for name, shape in shapes.items():
            yield name, checked(folder, stored, name, shape).float()


def checked(folder: Path, stored: Files, name: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor of a complete folder; raises UserError if it is missing or has another shape."""
    if wrong := problem(stored, name, shape):
        raise UserError(f"{_together(weight_files(folder))}: {wrong}{_fetch_again(folder)}")
    return tensor(stored, name)


def _together(paths: Sequence[Path]) -> Message:
    """How a message names these files."""
    return str(paths[0]) if len(paths) == 1 else f"the files of {paths[0].parent / INDEX}"


def tensor(files: Files, name: str) -> Tensor:
    """A tensor; it may be the file itself, mapped into memory."""
    return files[name].file.get_tensor(files[name].key)


def problem(files: Files, name: str, shape: tuple[int, ...]) -> Message | None:
    """What is wrong with a stored tensor, without reading its data; None if nothing."""
    if name not in files:
        return f"tensor {name} is missing, expected shape {list(shape)}"
    stored = files[name].file.get_slice(files[name].key)
    if tuple(stored.get_shape()) != shape:
        return f"tensor {name} has shape {stored.get_shape()}, expected {list(shape)}"
    if stored.get_dtype() not in FLOATING_POINT:
        return (
            f"tensor {name} holds {stored.get_dtype()}, expected one of {', '.join(FLOATING_POINT)}"
        )
    return None


def write_manifest(folder: Path, sha256: str, dimensions: Dimensions) -> None:
    """Writes the manifest of the weights in a folder."""
    size = sum(path.stat().st_size for path in weight_files(folder))
    files.write_json(folder / MANIFEST, Manifest(sha256, size, dimensions))


def read_manifest(folder: Path) -> Manifest:
    """A checkpoint's manifest; raises UserError where it is missing or damaged."""
    path = folder / MANIFEST
    try:
        return files.read_json(path, Manifest)
    except UserError as error:
        raise UserError(f"{error}{_fetch_again(folder)}") from None


def _fetch_again(folder: Path) -> Message:
    return (
        f"; fetch the checkpoint again: snakemake --cores 1 --force {folder / MANIFEST}"
        " (with the --directory and --configfile of this run, if it had any)"
    )
