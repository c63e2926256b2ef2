"""The trunk's output, computed once per (checkpoint, input) and kept in a cache of bounded size.

A cache entry is a folder, named by a hash of everything that its content depends on, with one
float32 array [messages, tokens, width] per split, read through a memory map. Any entry may be
deleted at any time: whoever needs it next computes it again, under a lock, for its peers too.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from ablations import model
from ablations.cli import log, progress
from ablations.cut import Dimensions
from ablations.device import Device
from ablations.errors import UserError
from ablations.files import sha256, write_text
from ablations.tokens import Tokens

# Tokens per forward pass without gradients. Fixed, never sized by free memory, since the shape of a
# matrix product decides its rounding. At width 1280 the widest activation takes 40 MB.
TOKENS_PER_BATCH = 2048
GIGABYTE = 10**9
# Of hidden states in their file, so much is read before the pages of what was read are let go.
KEPT_BYTES = 16 * 2**20

RECORD = "times.json"  # beside the arrays of an entry, written last

# The modules whose code decides the hidden states: an entry that older code made is not read.
CODE = ("cut", "device", "hidden_states", "model", "tokens", "weights")


class Mapped:
    """Hidden states [messages, tokens, width] in their file, of which little stays in memory.

    Pages of a mapped file count as memory of the process that touched them until somebody else
    needs it; at context 1024 and GPT-2 large that would be 7.8 GB. So what was read is let go when
    it exceeds KEPT_BYTES; reading it again is no disk access while the system keeps a copy.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path) -> None:
        # copy-on-write, since torch knows no read-only tensors; nothing writes to it
        array = np.load(path, mmap_mode="c")
        self._file: mmap.mmap = array.base
        self._states = torch.from_numpy(array)
        self.shape, self.nbytes = self._states.shape, self._states.nbytes
        self._kept = 0

    def __len__(self) -> int:
        return len(self._states)

    def __getitem__(self, messages: Any) -> Tensor:
        """These messages' [messages, tokens, width]."""
        if self._kept > KEPT_BYTES:
            self._file.madvise(mmap.MADV_DONTNEED)
            self._kept = 0
        found = self._states[messages]
        self._kept += found.nbytes
        return found


@dataclass(frozen=True)
class Outputs:
    """Frozen layers' outputs for every message of each split, and the seconds each split took.

    `shared`: whether other jobs used the device meanwhile.
    """

    splits: dict[str, Mapped]
    seconds: dict[str, float]
    shared: bool


def batches(messages: int, tokens: int) -> list[slice]:
    """Slices of at most TOKENS_PER_BATCH tokens, at least one message each."""
    size = max(1, TOKENS_PER_BATCH // tokens)
    return [slice(start, start + size) for start in range(0, messages, size)]


@torch.no_grad()
def forward(
    layers: nn.Module, inputs: Any, parts: list[slice], device: Device, what: str
) -> Iterator[Tensor]:
    """Runs frozen layers over these parts of inputs [messages, tokens, …]; outputs on the CPU."""
    for part in progress(parts, len(parts), f"batch of {what}"):
        with device.autocast():
            yield layers(inputs[part].to(device.torch)).float().cpu()


def freeze(layers: nn.Module, device: Device) -> nn.Module:
    """Frozen layers on the device, their matrices converted to its precision once and for all."""
    layers.requires_grad_(False)
    if device.precision == "bfloat16":
        for module in layers.modules():
            if isinstance(module, nn.Linear):
                module.to(torch.bfloat16)
    return layers.to(device.torch)


class Trunk:
    """The frozen leading layers of a run, and the hidden states that they put out."""

    def __init__(
        self,
        settings: Mapping[str, Any],
        checkpoint: Path | None,
        tokens: Path,
        device: Device,
        cache: Path,
    ) -> None:
        """`settings` as cut.trunk_settings gives them; `checkpoint` is its manifest, if any."""
        self.settings, self.checkpoint, self.device, self.cache = (
            settings,
            checkpoint,
            device,
            cache,
        )
        self.dimensions = Dimensions(**settings["dimensions"])
        self.identity = {
            "checkpoint": checkpoint_sha256(checkpoint),
            "tokens": sha256(tokens),
            **{key: settings[key] for key in settings if key not in ("model", "precision")},
            "precision": device.precision,
            "device": device.kind,
            "mask": "causal",
        }

        # Beyond that, what decides the last bits, and the seconds. Not in the manifest, on which
        # runs depend.
        self.computed_by = {
            "device_name": device.name,
            "code": [sha256(Path(__file__).with_name(f"{name}.py")) for name in CODE],
            "torch": torch.__version__,
            "threads": torch.get_num_threads() if device.kind == "cpu" else None,
        }

    def layers(self, start: int = 0) -> nn.Module:
        """The trunk's layers from `start` on, frozen, on the device."""
        stop = self.settings["depth"]
        return freeze(load_layers(self.settings, self.checkpoint, start, stop), self.device)

    def outputs(self, ids: Mapping[str, Tensor], cache_gb: float) -> Outputs:
        """The hidden states of each split's token ids [messages, tokens], from the cache if there.

        Raises UserError, with the numbers, where cache or disk cannot hold them.
        """
        entry = self.entry(self.settings["depth"])
        with FileLock(entry.with_suffix(".lock")):
            outputs = _found(entry)
            if not outputs:
                for rest in (entry, _partial(entry)):  # damaged, or of a job that was killed
                    shutil.rmtree(rest, ignore_errors=True)
                self._make_room(ids, cache_gb)
                self._compute(ids, entry)
                outputs = _read(entry)  # now, while nobody can delete it
            os.utime(entry)  # the least recently used go first
        _evict(self.cache, cache_gb * GIGABYTE, keep=entry)
        return outputs

    def entry(self, depth: int) -> Path:
        """The cache folder of this trunk's hidden states after `depth` layers."""
        key = self.identity | self.computed_by | {"depth": depth}
        text = json.dumps(key, sort_keys=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        return self.cache / hashlib.sha256(text.encode()).hexdigest()[:20]

    def _compute(self, ids: Mapping[str, Tensor], entry: Path) -> None:
        """Writes an entry, starting from the deepest shallower one that the cache holds."""
        # Read at once if at all: it is not locked, and a peer may be deleting it.
        candidates = ((d, _found(self.entry(d))) for d in range(self.settings["depth"], 0, -1))
        depth, found = next(((d, outputs) for d, outputs in candidates if outputs), (0, None))
        layers = self.layers(depth)
        temporary = _partial(entry)
        temporary.mkdir()
        try:
            seconds = dict(found.seconds) if found else dict.fromkeys(ids, 0.0)
            for split, inputs in (found.splits if found else ids).items():
                start = self.device.clock()
                shape = (len(inputs), inputs.shape[1], self.dimensions.n_embd)
                parts = batches(len(inputs), inputs.shape[1])
                outputs = forward(layers, inputs, parts, self.device, split)
                _write_array(temporary / f"{split}.npy", shape, outputs)
                seconds[split] += self.device.clock() - start
                log.info("trunk: %s, %d messages, %.1f s", split, len(inputs), seconds[split])
            shared = self.device.shared() or bool(found and found.shared)
            record = {"seconds": seconds, "shared": shared}
            write_text(temporary / RECORD, json.dumps(record))
            temporary.rename(entry)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _make_room(self, ids: Mapping[str, Tensor], cache_gb: float) -> None:
        """Evicts what the new entry needs of the limit; refuses one that fits neither it nor disk.

        Before computing, so that the cache holds no more than the limit meanwhile, but for what
        peers are computing.
        """
        size = sum(4 * split.numel() * self.dimensions.n_embd for split in ids.values())
        way_out = "or set cache_gb: 0 to compute them as they are needed, many times slower"
        if size > cache_gb * GIGABYTE:
            raise UserError(
                f"the hidden states of {self.settings['model']} take {size / GIGABYTE:.1f} GB, more"
                f" than cache_gb: {cache_gb:g} allows; raise it, {way_out}"
            )
        _evict(self.cache, cache_gb * GIGABYTE - size)
        free = shutil.disk_usage(self.cache).free
        if size > free:
            raise UserError(
                f"the hidden states of {self.settings['model']} take {size / GIGABYTE:.1f} GB, and"
                f" the disk of {self.cache} has {free / GIGABYTE:.1f} GB left; make room, {way_out}"
            )


def token_ids(tokens: Tokens, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """Each split's ids [messages, tokens] up to the classified token, all that its output reads."""
    positions = settings["dimensions"]["n_positions"]
    length = 1
    if settings["trainable_token"] == "last":
        length = tokens.context_tokens(settings["context_length"], positions)
    return {split: torch.from_numpy(tokens.padded(split, length)) for split in tokens.labels}


def cache_gb() -> float:
    """The cache's size limit; from the environment, since no result depends on it."""
    return float(os.environ.get("ABLATIONS_CACHE_GB", "10"))


def load_layers(
    settings: Mapping[str, Any], checkpoint: Path | None, start: int, stop: int
) -> nn.Sequential:
    """Layers start … stop-1 of the checkpoint with this manifest, or drawn from the seed."""
    dimensions = Dimensions(**settings["dimensions"])
    if checkpoint:
        return model.pretrained_layers(dimensions, checkpoint.parent, start, stop)
    return model.random_layers(dimensions, settings["seed"], start, stop)


def checkpoint_sha256(manifest: Path | None) -> str | None:
    """The checksum of the checkpoint with this manifest; None for random weights."""
    return json.loads(manifest.read_text())["sha256"] if manifest else None


def _write_array(path: Path, shape: tuple[int, ...], parts: Iterator[Tensor]) -> None:
    """Streams a float32 .npy file, so that no more than one batch is held in memory."""
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.numpy().tobytes())
        file.flush()
        os.fsync(file.fileno())


def _read(entry: Path) -> Outputs:
    splits = {path.stem: Mapped(path) for path in sorted(entry.glob("*.npy"))}
    return Outputs(splits, **json.loads((entry / RECORD).read_text()))


def _partial(entry: Path) -> Path:
    """Where an entry is while it is computed."""
    return entry.with_suffix(".partial")


def _found(entry: Path) -> Outputs | None:
    """What the entry holds, if it is there and whole."""
    if not entry.exists():
        return None
    try:
        found = _read(entry)
        if found.splits.keys() != found.seconds.keys():
            raise ValueError(f"it holds {', '.join(found.splits) or 'nothing'} alone")
    except (OSError, EOFError, ValueError, TypeError) as error:
        log.info("cache: %s cannot be read (%s); computing it again", entry.name, error)
        return None
    return found


def _evict(cache: Path, limit: float, keep: Path | None = None) -> None:
    """Deletes the least recently used entries beyond `limit` bytes, but `keep` and those locked."""
    found = []
    for path in cache.iterdir():
        with contextlib.suppress(FileNotFoundError):  # a peer finished or deleted it just now
            if path.is_dir():
                size = sum(file.stat().st_size for file in path.iterdir())
                found.append((path.stat().st_mtime, path, size))
    excess = sum(size for _, _, size in found) - limit
    for _, path, size in sorted(found):
        if excess > 0 and path != keep:
            with contextlib.suppress(Timeout), FileLock(path.with_suffix(".lock"), timeout=0):
                log.info("cache: deleting %s, the least recently used", path.name)
                shutil.rmtree(path, ignore_errors=True)  # a peer may have done so
                excess -= size
