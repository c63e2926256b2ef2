"""The device that a job computes on, how precisely, and what it reports about both."""

import os
import platform
import resource
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from filelock import FileLock
from msgspec import Struct

from ablations.errors import UserError
from ablations.machine.memory import keep_freed_memory
from ablations.machine.sharing import OtherJobs, claim


class Rounding(Struct, frozen=True, kw_only=True):
    """What of a machine decides the last bits of what it computes."""

    precision: str
    device: str
    name: str
    threads: int | None  # of a CPU
    torch: str


@dataclass(frozen=True)
class Device:
    """Where a job computes, and how precisely."""

    torch: torch.device
    precision: str  # float32, tf32 or bfloat16
    gpu: FileLock | None = None  # held as long as this object exists, so no other job takes the GPU
    other_jobs: OtherJobs | None = None  # on a CPU, which several jobs may share

    @property
    def kind(self) -> str:
        """One of cpu, cuda and mps."""
        return self.torch.type

    @property
    def name(self) -> str:
        """The device's own name, for metrics and tables."""
        if self.kind == "cuda":
            return torch.cuda.get_device_name(self.torch)
        return "Apple GPU (MPS)" if self.kind == "mps" else _processor()

    @property
    def rounding(self) -> Rounding:
        """What decides the last bits of what this device computes."""
        return Rounding(
            precision=self.precision,
            device=self.kind,
            name=self.name,
            threads=torch.get_num_threads() if self.kind == "cpu" else None,
            torch=str(torch.__version__),
        )

    def autocast(self) -> AbstractContextManager[Any]:
        """A context in which matrix products have this precision; weights and sums stay float32."""
        if self.precision == "bfloat16":
            return torch.autocast(self.kind, torch.bfloat16)
        return nullcontext()

    def clock(self) -> float:
        """The time in seconds, once the device has done all its work."""
        if self.kind == "cuda":
            torch.cuda.synchronize(self.torch)
        elif self.kind == "mps":
            torch.mps.synchronize()
        return time.perf_counter()

    def shared(self) -> bool:
        """Whether other jobs of the workflow have used the device since this one chose it."""
        return self.other_jobs is not None and self.other_jobs.others()

    def peak_memory_bytes(self) -> int:
        """The most memory in use so far: the GPU's on CUDA, else the process's."""
        if self.kind == "cuda":
            return torch.cuda.max_memory_allocated(self.torch)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


def choose(precision: str, threads: int) -> Device:
    """The device for a job: a CUDA device for this job alone, else MPS, else the CPU.

    Where other jobs use all CUDA devices, it waits for one. Raises UserError for a precision that
    the device lacks.
    """
    keep_freed_memory()
    if torch.cuda.is_available():
        index, gpu = claim(_gpus())
        torch.cuda.set_device(index)
        return replace(current(precision, threads), gpu=gpu)
    return replace(current(precision, threads), other_jobs=OtherJobs())


def current(precision: str, threads: int) -> Device:
    """The current CUDA device, else MPS, else the CPU with this many threads, shared or not.

    The precision `auto` becomes the device's. Raises UserError for a precision that it lacks.
    """
    torch.set_num_threads(threads)
    if torch.cuda.is_available():
        device = torch.device("cuda", torch.cuda.current_device())
    else:
        device = torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    old = device.type == "cuda" and torch.cuda.get_device_capability(device) < (8, 0)
    if precision == "auto":
        precision = "tf32" if device.type == "cuda" and not old else "float32"
    if old and precision != "float32":
        raise UserError(
            f"precision: {precision} needs a CUDA device of compute capability 8.0 or more, and"
            f" {torch.cuda.get_device_name(device)} has less; allowed here: auto, float32"
        )
    if precision == "tf32" and device.type != "cuda":
        raise UserError(
            f"precision: tf32 needs a CUDA device, and this job runs on {device.type};"
            " allowed here: auto, float32, bfloat16"
        )
    if precision == "bfloat16" and device.type == "cpu" and not _has_bfloat16():
        raise UserError(
            f"precision: bfloat16 needs a processor that computes in it (AVX-512, AMX or Arm's"
            f" BF16), and {_processor()} would take hundreds of times as long as in float32;"
            " allowed here: auto, float32"
        )
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    return Device(device, precision)


def _has_bfloat16() -> bool:
    """Whether PyTorch computes products of bfloat16 matrices by oneDNN on this processor."""
    return torch.backends.mkldnn.is_available() and bool(
        torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _gpus() -> list[str]:
    """A name for each visible GPU that no other GPU of the machine has.

    The number is no such name: each job of a cluster may see its GPU as number 0. Parts of a GPU
    (MIG) have the same identifier as their GPU, but a process sees only one part, by its name.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible.startswith("MIG-"):
        return [visible.split(",")[0]]
    count = torch.cuda.device_count()
    return [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:  # noqa: PTH123
            model = next(line for line in lines if line.startswith("model name"))
        return f"CPU ({model.split(':', 1)[1].strip()})"
    except (OSError, StopIteration):
        return f"CPU ({platform.processor() or platform.machine()})"
