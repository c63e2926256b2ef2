"""What layers read of the texts: sequences of any lengths, padded to batches where they differ.

These are ids or hidden states of the distinct sequences, in memory or in a file. Where the last
block is frozen too, they are one feature vector for each text.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ablations.data.collection import Numbers
from ablations.data.sequences import Sequences
from ablations.machine.device import Device
from ablations.model.layers import Reading

# Tokens per forward pass without gradients. The number does not depend on free memory, since the
# shape of a matrix product decides its rounding. At width 1280 the widest activation takes 40 MB.
TOKENS_PER_BATCH = 2048
# Bytes of hidden states to read from their file before their pages are released.
KEPT_BYTES = 16 * 2**20


class Mapped:
    """A float32 array in a .npy file, of which little stays in memory.

    The pages of a mapped file count as memory of the process that read them, until another process
    needs the memory. At context 1024 and GPT-2 large that would be 7.8 GB. So the pages are
    released when they exceed KEPT_BYTES. Reading them again needs no disk access while the system
    keeps a copy.
    """

    device = torch.device("cpu")

    def __init__(self, path: Path, length: int | None) -> None:
        """`length`: the tokens of every sequence, if all have the same number."""
        # copy-on-write, since torch has no read-only tensors; nothing writes to it
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
    """[tokens, …] → [sequences, length, …] where all have the same length."""
    return flat if length is None else flat.unflatten(0, (-1, length))


@dataclass(frozen=True)
class Inputs:
    """What layers read of the collection's texts, or of some of them.

    `values` are ids or hidden states of the distinct sequences: [sequences, T, …] where all have
    the same length, else [tokens, …], one after another. Where `layout` is None, they are one
    feature vector for each text, [texts, C]. `ids`: those of hidden states, as these are stored,
    where layers read them too.
    """

    values: Tensor | Mapped
    layout: "Layout | None"
    causal: bool
    ids: Tensor | None = None

    def __len__(self) -> int:
        """The number of texts."""
        return len(self.values) if self.layout is None else len(self.layout.of_text)

    def read(self, texts: Tensor) -> tuple[Tensor, Reading]:
        """What layers read of these texts [B], on the values' device, and how they read it.

        Where all sequences have the same length and everything is on one device, the CPU does not
        wait for the device.
        """
        texts = texts.to(self.values.device)
        if self.layout is None:
            return self.values[texts], Reading(self.causal)
        layout = self.layout
        numbers = layout.of_text[texts]
        x, lengths = layout.padded(self.values, numbers)
        ids = None if self.ids is None else layout.padded(self.ids, numbers)[0]
        if layout.positions is not None:
            return x, Reading(self.causal, lengths, layout.positions[texts], ids=ids)
        positions = None if lengths is None else lengths - 1
        return x, Reading(self.causal, lengths, positions, single=layout.length == 1, ids=ids)

    def only(self, lines: Numbers) -> "Inputs":
        """Those of some texts, in this order; sequences stay where they are."""
        if self.layout is None:
            return replace(self, values=self.values[torch.from_numpy(lines).to(self.values.device)])
        return replace(self, layout=self.layout.only(lines))

    def lengths(self, texts: Sequence[int] | None = None) -> Numbers:
        """The tokens of these texts, or of all, on the CPU."""
        if self.layout is None:
            return np.ones(len(self) if texts is None else len(texts), np.int64)
        found = self.layout.text_lengths
        return found if texts is None else found[np.asarray(texts)]

    def resident(self, machine: Device) -> "Inputs":
        """Moved to a GPU if half of its free memory is enough, so no step waits for a transfer."""
        if machine.kind != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(machine.torch)
        if self.values.nbytes > free / 2:
            return self
        layout = self.layout and self.layout.to(machine.torch)
        ids = None if self.ids is None else self.ids.to(machine.torch)
        return replace(self, values=self.values[:].to(machine.torch), layout=layout, ids=ids)


@dataclass(frozen=True)
class Layout:
    """The place of each sequence, and the sequence of each text; see Sequences."""

    starts: Tensor
    ends: Tensor
    of_text: Tensor
    text_lengths: Numbers
    length: int | None  # of all sequences, if it is the same
    positions: Tensor | None  # None where each is read at its end, or all are averaged

    @classmethod
    def of(cls, found: Sequences) -> "Layout":
        """The layout of these."""
        same = found.lengths.min() == found.lengths.max()
        lengths, positions = found.lengths[found.of_text], found.positions
        at_end = positions is None or (positions == lengths - 1).all()
        return cls(
            starts=torch.from_numpy(found.offsets[:-1]),
            ends=torch.from_numpy(found.offsets[1:]),
            of_text=torch.from_numpy(found.of_text),
            text_lengths=lengths,
            length=int(found.lengths[0]) if same else None,
            positions=None if at_end else torch.from_numpy(positions),
        )

    def only(self, lines: Numbers) -> "Layout":
        """That of some texts."""
        at = torch.from_numpy(lines).to(self.of_text.device)
        return replace(
            self,
            of_text=self.of_text[at],
            text_lengths=self.text_lengths[lines],
            positions=None if self.positions is None else self.positions[at],
        )

    def to(self, device: torch.device) -> "Layout":
        """The same on a device."""
        names = ("starts", "ends", "of_text", "positions")
        moved = {
            name: value.to(device) for name in names if (value := getattr(self, name)) is not None
        }
        return replace(self, **moved)

    def padded(self, values: Tensor | Mapped, numbers: Tensor) -> tuple[Tensor, Tensor | None]:
        """These sequences [B, T, …], where T is the longest, and the tokens of each [B].

        The tokens are None where all have T. A shorter sequence is padded with its last token: an
        ordinary value, which no layer reads.
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
    """Indices in batches of at least one and at most TOKENS_PER_BATCH tokens, padding included.

    In order where all have the same length; else the longest first, so that padding is short.
    """
    order = np.arange(len(lengths))
    if lengths.min() != lengths.max():
        order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, TOKENS_PER_BATCH // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size
