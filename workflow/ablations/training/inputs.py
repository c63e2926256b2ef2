"""What layers read of the messages: sequences of any lengths, padded to batches where they differ.

Ids or hidden states, of distinct sequences, in memory or in a file; or one feature vector for each
message, where frozen layers behind the last block have run already.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablations.data.sequences import Numbers, Sequences
from ablations.machine.device import Device
from ablations.model.gpt2 import Reading

# Tokens per forward pass without gradients. Fixed, never sized by free memory, since the shape of a
# matrix product decides its rounding. At width 1280 the widest activation takes 40 MB.
TOKENS_PER_BATCH = 2048
# Of hidden states in their file, so much is read before the pages of what was read are let go.
KEPT_BYTES = 16 * 2**20


class Mapped:
    """A float32 array in a .npy file, of which little stays in memory.

    Pages of a mapped file count as memory of the process that touched them until somebody else
    needs it; at context 1024 and GPT-2 large that would be 7.8 GB. So what was read is let go when
    it exceeds KEPT_BYTES; reading it again is no disk access while the system keeps a copy.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path, length: int | None) -> None:
        """`length`: the tokens of every sequence, if all have as many."""
        # copy-on-write, since torch knows no read-only tensors; nothing writes to it
        array = np.load(path, mmap_mode="c")
        self._file: mmap.mmap = array.base
        self._values = by_sequence(torch.from_numpy(array), length)
        self.nbytes = self._values.nbytes
        self._kept = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, rows: Any) -> Tensor:
        """These rows."""
        if self._kept > KEPT_BYTES:
            self._file.madvise(mmap.MADV_DONTNEED)
            self._kept = 0
        found = self._values[rows]
        self._kept += found.nbytes
        return found


def by_sequence(flat: Tensor, length: int | None) -> Tensor:
    """[tokens, …] → [sequences, length, …] where all have one length."""
    return flat if length is None else flat.unflatten(0, (-1, length))


@dataclass(frozen=True)
class Inputs:
    """What layers read of one split's messages.

    `values` are ids or hidden states of the distinct sequences: [sequences, T, …] where all have
    one length, else [tokens, …], one after another. Where `layout` is None they are a feature for
    each message, [messages, C].
    """

    values: Tensor | Mapped
    layout: "Layout | None"
    causal: bool

    def __len__(self) -> int:
        """The number of messages."""
        return len(self.values) if self.layout is None else len(self.layout.of_message)

    def read(self, messages: Tensor) -> tuple[Tensor, Reading]:
        """What layers read of these messages [B], on the values' device, and how.

        Where all sequences have one length and all is on one device, nothing waits for the device.
        """
        messages = messages.to(self.values.device)
        if self.layout is None:
            return self.values[messages], Reading(self.causal)
        layout = self.layout
        numbers = layout.of_message[messages]
        x, lengths = layout.padded(self.values, numbers)
        if not layout.at_end:
            assert layout.positions is not None
            return x, Reading(self.causal, lengths, layout.positions[messages])
        positions = None if lengths is None else lengths - 1
        return x, Reading(self.causal, lengths, positions, single=layout.length == 1)

    def lengths(self, messages: Sequence[int] | None = None) -> Numbers:
        """The tokens of these messages, or of all, on the CPU."""
        if self.layout is None:
            return np.ones(len(self) if messages is None else len(messages), np.int64)
        found = self.layout.message_lengths
        return found if messages is None else found[np.asarray(messages)]

    def resident(self, machine: Device) -> "Inputs":
        """Moved to a GPU that has room to spare, so that no step waits for a transfer."""
        if machine.kind != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(machine.torch)
        if self.values.nbytes > free / 2:
            return self
        layout = self.layout and self.layout.to(machine.torch)
        return replace(self, values=self.values[:].to(machine.torch), layout=layout)


class Layout:
    """Which sequence is whose, and where each lies, as tensors; see data.sequences.Sequences."""

    def __init__(self, found: Sequences) -> None:
        self.starts, self.ends = map(torch.from_numpy, (found.offsets[:-1], found.offsets[1:]))
        self.of_message = torch.from_numpy(found.of_message)
        self.message_lengths = found.lengths[found.of_message]
        # the one length that all have, if they do
        same = found.lengths.min() == found.lengths.max()
        self.length = int(found.lengths[0]) if same else None
        self.at_end = found.positions is None or bool(
            (found.positions == self.message_lengths - 1).all()
        )
        self.positions = None if found.positions is None else torch.from_numpy(found.positions)

    def to(self, device: torch.device) -> "Layout":
        """A copy on a device."""
        other = object.__new__(Layout)
        moved = {k: v.to(device) for k, v in self.__dict__.items() if isinstance(v, Tensor)}
        other.__dict__ |= self.__dict__ | moved
        return other

    def padded(self, values: Tensor | Mapped, numbers: Tensor) -> tuple[Tensor, Tensor | None]:
        """These sequences [B, T, …], T the longest's tokens, and how many each has [B].

        None where all have T. A shorter one is padded by its last token: a value like others, which
        no layer reads.
        """
        if self.length is not None:
            return values[numbers], None
        starts, ends = self.starts[numbers], self.ends[numbers]
        lengths = ends - starts
        longest = int(lengths.max())
        within = torch.arange(longest, device=lengths.device)
        x = values[torch.minimum(starts[:, None] + within, ends[:, None] - 1)]
        return x, None if int(lengths.min()) == longest else lengths


def batches(lengths: Numbers) -> Iterator[Numbers]:
    """Indices in batches of at most TOKENS_PER_BATCH tokens, padding counted, at least one each.

    In order where all have one length; else the longest first, since like lengths pad little.
    """
    order = np.arange(len(lengths))
    if lengths.min() != lengths.max():
        order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, TOKENS_PER_BATCH // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size
