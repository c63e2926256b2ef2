"""The trunk's output, computed once per (layers, sequences) and kept in a cache of bounded size.

A cache entry is a folder with one float32 array [tokens, width]: the output for every token of the
collection's distinct sequences, so one pass serves every fold and every size of the training set.
Its name is a hash of everything that its content depends on. Any entry
may be deleted at any time: the next job that needs it computes it again, under a lock, for other
jobs too.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from msgspec import Struct, structs
from torch import Tensor

from ablations.cli import log
from ablations.data.collection import Numbers
from ablations.data.sequences import Sequences
from ablations.errors import UserError
from ablations.files import as_json, read_json, write_json
from ablations.machine.device import Device, Rounding
from ablations.model import build, transformer
from ablations.study import cut, paths
from ablations.study.cut import Trunk
from ablations.study.dimensions import Dimensions
from ablations.training.forward import HiddenStates, forward, freeze, stored_ids, token_ids
from ablations.training.inputs import Inputs, Layout, Mapped, batches
from ablations.training.limits import GIGABYTE, hidden_states_bytes, refuse_hidden_states

ARRAY = "states.npy"
RECORD = "times.json"  # in the same folder, written last


class TrunkManifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trunk's job read: results/trunks/<name>.json, which its runs depend on.

    `sequences`: their checksum; `code`: that of the code that computes hidden states.
    """

    checkpoint_sha256: str | None
    sequences: str
    code: str


class Frozen(Struct, frozen=True, kw_only=True):
    """All that decides the hidden states of given sequences, to the last bit.

    The code that computes them gets nothing else, and a cache entry is named by a hash of this and
    of the sequences. So nothing that reaches the computation can be missing in the name.
    """

    dimensions: Dimensions
    weights: str | int  # the checkpoint's checksum, or the seed of random weights
    causal: bool
    end: int
    rounding: Rounding
    code: str
    engine: str | None  # transformers' version and the model's config.json; None: a GPT-2

    @property
    def seed(self) -> int | None:
        """Of random weights."""
        return self.weights if isinstance(self.weights, int) else None


def frozen(trunk: Trunk, read: TrunkManifest, folder: Path | None, machine: Device) -> Frozen:
    """A trunk's layers on this machine; `folder`: the checkpoint's."""
    weights = read.checkpoint_sha256 if trunk.seed is None else trunk.seed
    assert weights is not None
    return Frozen(
        dimensions=trunk.dimensions,
        weights=weights,
        causal=trunk.input.causal_mask,
        end=trunk.end,
        rounding=machine.rounding,
        code=read.code,
        engine=transformer.engine(trunk.dimensions, folder),
    )


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry cost: seconds, and whether other jobs used the device at the same time."""

    seconds: float
    shared: bool


class Cache:
    """A folder of hidden states, at most `gigabytes` large; with 0 they are kept for one run."""

    def __init__(self, folder: Path, gigabytes: float) -> None:
        self.folder, self.gigabytes, self.limit = folder, gigabytes, gigabytes * GIGABYTE

    def outputs(
        self, trunk: Frozen, folder: Path | None, sequences: Sequences, machine: Device
    ) -> HiddenStates:
        """The trunk's output, from the cache where it is there.

        `folder`: the checkpoint's, None for a random GPT-2. Raises UserError, with the numbers,
        where cache or disk cannot hold it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        entry = self._entry(trunk, sequences)
        size = hidden_states_bytes(len(sequences.ids), trunk.dimensions.n_embd)
        refuse_hidden_states(size, self.gigabytes)
        with FileLock(entry.with_suffix(".lock")):
            found = _found(entry, sequences, trunk)
            if not found:
                for rest in (entry, _partial(entry)):  # damaged, or left by a killed job
                    shutil.rmtree(rest, ignore_errors=True)
                self._make_room(size, keep=entry)
                self._compute(trunk, folder, sequences, machine)
                found = _read(entry, sequences, trunk)
            os.utime(entry)  # the least recently used go first
        # what is read is mapped into memory: it can be used by this process even if deleted
        self._evict(self.limit, keep=entry if self.gigabytes else None)
        return found

    def _entry(self, trunk: Frozen, sequences: Sequences) -> Path:
        """The folder of these layers' output for these sequences."""
        text = f"{as_json(trunk)} {sequences.sha256}"
        return self.folder / hashlib.sha256(text.encode()).hexdigest()[:20]

    def _compute(
        self, trunk: Frozen, folder: Path | None, sequences: Sequences, machine: Device
    ) -> None:
        """Writes an entry, starting from the deepest of the shallower ones that the cache holds."""
        # That entry is not locked, so another job may delete it: it is read at once.
        first = cut.embeddings(trunk.dimensions.n_layer)
        shallower = (
            (end, self._entry(structs.replace(trunk, end=end), sequences))
            for end in range(trunk.end - 1, first, -1)
        )
        candidates = ((end, _found(path, sequences, trunk)) for end, path in shallower)
        start, known = next(((end, found) for end, found in candidates if found), (first, None))
        distinct = sequences.distinct()
        inputs = token_ids(distinct, trunk.causal)
        if known:
            inputs = replace(known.inputs, layout=Layout.of(distinct))
        entry = self._entry(trunk, sequences)
        temporary = _partial(entry)
        temporary.mkdir()
        try:
            made = build.layers(
                trunk.dimensions, folder, trunk.seed, start, trunk.end, causal=trunk.causal
            )
            layers = freeze(made, machine)
            parts = list(batches(sequences.lengths))
            begin = machine.clock()  # a row's time does not include loading
            outputs = forward(layers, inputs, parts, machine)
            _write_array(temporary / ARRAY, sequences, trunk.dimensions.n_embd, parts, outputs)
            seconds = machine.clock() - begin + (known.seconds if known else 0)
            log.info("trunk: %d sequences, %.1f s", len(sequences), seconds)
            shared = machine.shared() or bool(known and known.shared)
            write_json(temporary / RECORD, Record(seconds, shared))
            temporary.rename(entry)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _make_room(self, size: int, keep: Path) -> None:
        """Deletes entries until a new one fits the limit; refuses one that does not fit the disk.

        This happens before computing, so the cache is never larger than the limit, apart from the
        entries that other jobs are computing.
        """
        self._evict(self.limit - size, keep)
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise UserError(
                f"the hidden states of this row take {size / GIGABYTE:.1f} GB more, and the disk of"
                f" {self.folder} has {free / GIGABYTE:.1f} GB left; free some space"
            )

    def _evict(self, limit: float, keep: Path | None) -> None:
        """Deletes least recently used entries beyond `limit` bytes, but not `keep` and locked."""
        found = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another job finished or deleted it
                if paths.is_of_cache(path.name) and path.is_dir():
                    size = sum(file.stat().st_size for file in path.iterdir())
                    found.append((path.stat().st_mtime, path, size))
        excess = sum(size for _, _, size in found) - limit
        for _, path, size in sorted(found):
            if excess > 0 and path != keep:
                with contextlib.suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=0):
                    log.info("cache: deleting %s, the least recently used", path.name)
                    shutil.rmtree(path, ignore_errors=True)  # another job may have deleted it
                    excess -= size


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


def _read(entry: Path, sequences: Sequences, trunk: Frozen) -> HiddenStates:
    layout = Layout.of(sequences)
    record = read_json(entry / RECORD, Record)
    values = Mapped(entry / ARRAY, layout.length)
    # GPT-2's layers after the embeddings read no ids
    ids = None if trunk.dimensions.is_gpt2 else stored_ids(sequences, layout)
    inputs = Inputs(values, layout, trunk.causal, ids)
    return HiddenStates(inputs, record.seconds, record.shared)


def _partial(entry: Path) -> Path:
    """Where an entry is while it is computed."""
    return entry.with_suffix(".partial")


def _found(entry: Path, sequences: Sequences, trunk: Frozen) -> HiddenStates | None:
    """What the entry holds; None if it is missing or damaged."""
    if not entry.exists():
        return None
    try:
        return _read(entry, sequences, trunk)
    except (OSError, EOFError, ValueError, RuntimeError, UserError) as error:
        log.info("cache: %s cannot be read (%s); computing it again", entry.name, error)
        return None
