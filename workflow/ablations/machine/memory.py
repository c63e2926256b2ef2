"""A job's memory: freed blocks are kept for the next step; too little is told in one message."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from ablations.errors import Message, UserError

TOO_SMALL = "the model needs a device with more memory for itself"


@contextmanager
def out_of_memory(advice: str = TOO_SMALL) -> Iterator[None]:
    """Turns an error for lack of memory into a UserError that ends with this advice."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise UserError(f"{_first_sentence(error)}; {advice}") from None
    except RuntimeError as error:  # the CPU's and MPS's error
        if "can't allocate memory" not in str(error) and "out of memory" not in str(error):
            raise
        raise UserError(f"{_first_sentence(error)}; {advice}") from None


def _first_sentence(error: Exception) -> Message:
    return "out of memory: " + str(error).split(". ")[0].splitlines()[0]


def keep_freed_memory() -> None:
    """Makes glibc keep large freed blocks instead of returning them to the kernel.

    Each step frees its activations and gradients and allocates the same sizes again. Getting them
    from the kernel, zeroed page by page, took a sixth of a frozen block's time. The numbers are
    mallopt's, from malloc.h.
    """
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    with suppress(OSError, AttributeError):  # another system's libc
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, -1)
        libc.mallopt(top_pad, 64 * 2**20)
