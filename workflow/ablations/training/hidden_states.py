"""The trunk's output, computed once per (layers, sequences) and kept in a cache of bounded size.

A cache entry is a folder with one float32 array [tokens, width]: the output for every token of a
split's distinct sequences. Its name is a hash of everything that its content depends on. Any entry
may be deleted at any time: the next job that needs it computes it again, under a lock, for other
jobs too.
"""

import contextlib
import functools
import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout
from msgspec import Struct, structs
from torch import Tensor, nn

from ablations.cli import log, progress
from ablations.data.sequences import Numbers, Sequences
from ablations.errors import UserError
from ablations.files import as_json, read_json, write_json
from ablations.machine.device import Device
from ablations.model.gpt2 import Layers, pretrained_layers, random_layers
from ablations.study.cut import TrunkManifest
from ablations.study.dimensions import Dimensions
from ablations.study.settings import Settings
from ablations.training.inputs import Inputs, Layout, Mapped, batches, by_sequence
from ablations.training.limits import GIGABYTE, hidden_states_bytes, refuse_hidden_states

ARRAY = "states.npy"
RECORD = "times.json"  # in the same folder, written last


class Frozen(Struct, frozen=True, kw_only=True):
    """All that decides the hidden states of given sequences, to the last bit.

    The code that computes them gets nothing else, and a cache entry is named by a hash of this and
    of the sequences. So nothing that reaches the computation can be missing in the name.
    """

    dimensions: Dimensions
    checkpoint_sha256: str | None  # None: random weights, of `seed`
    seed: int | None
    causal: bool
    depth: int
    precision: str
    device: str
    device_name: str
    threads: int | None  # of a CPU
    torch: str
    code: str


def frozen(trunk: TrunkManifest, machine: Device) -> Frozen:
    """A trunk's layers on this machine."""
    return Frozen(
        dimensions=trunk.settings.dimensions,
        checkpoint_sha256=trunk.checkpoint_sha256,
        seed=trunk.settings.seed,
        causal=trunk.settings.input.causal_mask,
        depth=trunk.settings.depth,
        precision=machine.precision,
        device=machine.kind,
        device_name=machine.name,
        threads=torch.get_num_threads() if machine.kind == "cpu" else None,
        torch=str(torch.__version__),
        code=trunk.code,
    )


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry cost: seconds, and whether other jobs used the device at the same time."""

    seconds: float
    shared: bool


@dataclass(frozen=True)
class HiddenStates:
    """The trunk's output for one split, and what it cost."""

    inputs: Inputs
    seconds: float
    shared: bool


@torch.no_grad()
def forward(
    layers: Layers, inputs: Inputs, parts: list[Numbers], machine: Device, what: str
) -> Iterator[Tensor]:
    """Runs frozen layers over these parts of the messages, one by one; outputs on the CPU."""
    for part in progress(parts, len(parts), f"batch of {what}"):
        x, reading = inputs.read(torch.from_numpy(part))
        with machine.autocast():
            yield layers(x.to(machine.torch), reading.to(machine.torch)).float().cpu()


def freeze(layers: Layers, machine: Device) -> Layers:
    """Frozen layers on the device, their matrices converted to its precision once."""
    layers.requires_grad_(False)
    if machine.precision == "bfloat16":
        for module in layers.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    return layers.to(machine.torch)


class Cache:
    """A folder of hidden states, at most `gigabytes` large; with 0 they are kept for one run."""

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder, self.gigabytes = folder, gigabytes
        folder.mkdir(parents=True, exist_ok=True)

    def outputs(
        self,
        trunk: Frozen,
        checkpoint: Path | None,
        sequences: Mapping[str, Sequences],
        machine: Device,
    ) -> dict[str, HiddenStates]:
        """The trunk's output for each split, from the cache where it is there.

        `checkpoint`: the folder of its weights. Raises UserError, with the numbers, where cache or
        disk cannot hold them.
        """
        entries = {split: self._entry(trunk, found) for split, found in sequences.items()}
        width = trunk.dimensions.n_embd
        sizes = {
            entries[split]: hidden_states_bytes(len(found.ids), width)
            for split, found in sequences.items()
        }
        refuse_hidden_states(sum(sizes.values()), self.gigabytes)
        load = functools.cache(lambda depth: freeze(_layers(trunk, checkpoint, depth), machine))
        outputs = {}
        for split, entry in entries.items():
            with FileLock(entry.with_suffix(".lock")):
                found = _found(entry, sequences[split], trunk.causal)
                if not found:
                    for rest in (entry, _partial(entry)):  # damaged, or left by a killed job
                        shutil.rmtree(rest, ignore_errors=True)
                    self._make_room(sizes[entry], keep=entries.values())
                    self._compute(trunk, load, sequences[split], machine, entry, split)
                    found = _read(entry, sequences[split], trunk.causal)
                os.utime(entry)  # the least recently used go first
            outputs[split] = found
        # what is read is mapped into memory: it can be used by this process even if deleted
        self._evict(self._limit(), keep=entries.values() if self.gigabytes else ())
        return outputs

    def _limit(self) -> float:
        return self.gigabytes * GIGABYTE

    def _entry(self, trunk: Frozen, sequences: Sequences) -> Path:
        """The folder of these layers' output for these sequences."""
        text = f"{as_json(trunk)} {sequences.sha256}"
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:20]

    def _compute(
        self,
        trunk: Frozen,
        load: Callable[[int], Layers],
        sequences: Sequences,
        machine: Device,
        entry: Path,
        split: str,
    ) -> None:
        """Writes an entry, starting from the deepest entry of lower depth that the cache holds.

        `load` gives the layers from a depth on.
        """
        # That entry is not locked, so another job may delete it: it is read at once.
        shallower = (
            (depth, self._entry(structs.replace(trunk, depth=depth), sequences))
            for depth in range(trunk.depth - 1, 0, -1)
        )
        candidates = ((d, _found(path, sequences, trunk.causal)) for d, path in shallower)
        depth, known = next(((d, found) for d, found in candidates if found), (0, None))
        distinct = sequences.distinct()
        inputs = token_ids(distinct, trunk.causal)
        if known:
            inputs = Inputs(known.inputs.values, Layout(distinct), trunk.causal)
        temporary = _partial(entry)
        temporary.mkdir()
        try:
            layers, parts = load(depth), list(batches(sequences.lengths))
            start = machine.clock()  # a row's time does not include loading
            outputs = forward(layers, inputs, parts, machine, split)
            _write_array(temporary / ARRAY, sequences, trunk.dimensions.n_embd, parts, outputs)
            seconds = machine.clock() - start + (known.seconds if known else 0)
            log.info("trunk: %s, %d sequences, %.1f s", split, len(sequences), seconds)
            shared = machine.shared() or bool(known and known.shared)
            write_json(temporary / RECORD, Record(seconds, shared))
            temporary.rename(entry)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _make_room(self, size: int, keep: Collection[Path]) -> None:
        """Deletes entries until a new one fits the limit; refuses one that does not fit the disk.

        This happens before computing, so the cache is never larger than the limit, apart from the
        entries that other jobs are computing.
        """
        self._evict(self._limit() - size, keep)
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise UserError(
                f"the hidden states of this row take {size / GIGABYTE:.1f} GB more, and the disk of"
                f" {self.folder} has {free / GIGABYTE:.1f} GB left; free some space"
            )

    def _evict(self, limit: float, keep: Collection[Path]) -> None:
        """Deletes least recently used entries beyond `limit` bytes, but not `keep` and locked."""
        found = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another job finished or deleted it
                if path.is_dir():
                    size = sum(file.stat().st_size for file in path.iterdir())
                    found.append((path.stat().st_mtime, path, size))
        excess = sum(size for _, _, size in found) - limit
        for _, path, size in sorted(found):
            if excess > 0 and path not in keep:
                with contextlib.suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=0):
                    log.info("cache: deleting %s, the least recently used", path.name)
                    shutil.rmtree(path, ignore_errors=True)  # another job may have deleted it
                    excess -= size


def token_ids(sequences: Sequences, causal: bool) -> Inputs:
    """The sequences' ids as inputs."""
    layout = Layout(sequences)
    ids = torch.from_numpy(sequences.ids.astype(np.int64))
    return Inputs(by_sequence(ids, layout.length), layout, causal)


def load_layers(
    settings: Settings, seed: int, checkpoint: Path | None, start: int, stop: int
) -> Layers:
    """Layers start … stop-1 of the checkpoint in this folder, or drawn from the seed."""
    dimensions, every_position = settings.dimensions, settings.average_embeddings
    if checkpoint:
        return pretrained_layers(dimensions, checkpoint, start, stop, every_position)
    return random_layers(dimensions, seed, start, stop, every_position)


def _layers(trunk: Frozen, checkpoint: Path | None, start: int) -> Layers:
    """A trunk's layers from `start` on; they never include the last block."""
    if checkpoint:
        return pretrained_layers(trunk.dimensions, checkpoint, start, trunk.depth)
    return random_layers(trunk.dimensions, trunk.seed or 0, start, trunk.depth)


def _write_array(
    path: Path, sequences: Sequences, width: int, parts: list[Numbers], outputs: Iterator[Tensor]
) -> None:
    """Writes a float32 .npy file batch by batch, so no more than one batch is in memory."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (len(sequences.ids), width)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        begin = file.tell()
        for part, output in zip(parts, outputs, strict=True):
            for number, states in zip(part, output.numpy(), strict=True):  # [T, C], padding last
                file.seek(begin + 4 * width * int(sequences.offsets[number]))
                file.write(states[: sequences.lengths[number]].tobytes())
        file.flush()
        os.fsync(file.fileno())


def _read(entry: Path, sequences: Sequences, causal: bool) -> HiddenStates:
    layout = Layout(sequences)
    record = read_json(entry / RECORD, Record)
    values = Mapped(entry / ARRAY, layout.length)
    return HiddenStates(Inputs(values, layout, causal), record.seconds, record.shared)


def _partial(entry: Path) -> Path:
    """Where an entry is while it is computed."""
    return entry.with_suffix(".partial")


def _found(entry: Path, sequences: Sequences, causal: bool) -> HiddenStates | None:
    """What the entry holds; None if it is missing or damaged."""
    if not entry.exists():
        return None
    try:
        return _read(entry, sequences, causal)
    except (OSError, EOFError, ValueError, RuntimeError, UserError) as error:
        log.info("cache: %s cannot be read (%s); computing it again", entry.name, error)
        return None
