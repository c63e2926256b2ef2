"""Where a run stands, saved while it trains, so that a killed job goes on instead of starting over.

A run's batches are known before its first step and nothing else in its loop is random, so the
weights, the optimizer's moments, what was measured and the number of steps done are all there is.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ablations.cli import log
from ablations.files import sha256, whole

# A save may cost this share of the time since the one before it, and none comes sooner than that.
COST = 1 / 20
SOONEST_SECONDS = 30

WEIGHT = "weight"  # beside it, what the optimizer keeps under its own names
METADATA = "state"  # as one JSON text: safetensors orders several keys at random


@dataclass
class Progress:
    """How far a run has come: steps done, the seconds they took, and what was measured."""

    steps: int = 0
    seconds: float = 0.0
    shared_device: bool = False
    losses: list[dict[str, float]] = field(default_factory=list)
    accuracies: list[dict[str, float]] = field(default_factory=list)


def code_sha256() -> str:
    """A checksum of the library's modules that this process has imported."""
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    here = Path(__file__).parent
    ours = sorted(path for path in map(Path, filter(None, files)) if path.parent == here)
    return hashlib.sha256("".join(f"{p.name} {sha256(p)}\n" for p in ours).encode()).hexdigest()


class State:
    """The saved state of one run. A file that cannot be read or is another run's is ignored."""

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        """`identity`: everything that decides the run's result, as JSON can hold it."""
        self.path = path
        self.identity = json.loads(json.dumps(identity))
        self.signal: signal.Signals | None = None
        self._sweep()
        self._next = time.monotonic() + self._interval(0.0)

    def restore(self, tail: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
        """Puts the saved state, if there is one, into the tail and its optimizer."""
        if not self.path.exists():
            return Progress()
        try:
            metadata, tensors = _read(self.path)
            if metadata["identity"] != self.identity:
                log.info("%s is of other code, data or settings; starting anew", self.path)
                return Progress()
            progress = Progress(**metadata["progress"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            log.info("%s cannot be read (%s); starting anew", self.path, error)
            return Progress()
        with torch.no_grad():
            for name, parameter in tail.named_parameters():
                own = {kind: kept.pop(name) for kind, kept in tensors.items() if name in kept}
                parameter.copy_(own.pop(WEIGHT))
                optimizer.state[parameter] = {
                    kind: tensor.to(parameter.device) for kind, tensor in own.items()
                }
        log.info("going on after step %d, from %s", progress.steps - 1, self.path)
        return progress

    def due(self) -> bool:
        """Whether to save now: after a signal at once, else when it is worth its time."""
        return self.signal is not None or time.monotonic() >= self._next

    def save(self, tail: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Writes the state, whole or not at all; ends the process if a signal asked for it.

        A full disk is logged and no reason to stop training.
        """
        begin = time.monotonic()
        tensors: dict[str, Tensor] = {}
        for name, parameter in tail.named_parameters():
            # the optimizer keeps nothing of a parameter that never had a gradient
            kept = {WEIGHT: parameter.detach(), **optimizer.state[parameter]}
            tensors |= {f"{kind}/{name}": tensor for kind, tensor in kept.items()}
        metadata = {"identity": self.identity, "progress": asdict(progress)}
        saved = f"the state after step {progress.steps - 1} is in {self.path}"
        try:
            with whole(self.path) as temporary:
                save_file(tensors, temporary, {METADATA: json.dumps(metadata, sort_keys=True)})
        except (OSError, SafetensorError) as error:
            saved = f"the state after step {progress.steps - 1} could not be saved ({error})"
            log.warning("%s", saved)
        if self.signal is not None:
            log.error("ended by %s; %s; run again to go on", self.signal.name, saved)
            sys.exit(128 + self.signal)
        now = time.monotonic()
        self._next = now + self._interval(now - begin)

    def remove(self) -> None:
        """Deletes the file, once the run's results are written."""
        self.path.unlink(missing_ok=True)
        self._sweep()

    def _sweep(self) -> None:
        """Deletes what a save that was killed left behind."""
        for part in self.path.parent.glob(f".{self.path.name}.*.part"):
            part.unlink(missing_ok=True)

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Inside, the first SIGTERM or SIGINT asks for a save; the second ends the process."""

        def note(number: int, _: FrameType | None) -> None:
            self.signal = signal.Signals(number)
            for each in before:
                signal.signal(each, signal.SIG_DFL)

        before = {each: signal.signal(each, note) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    @staticmethod
    def _interval(cost: float) -> float:
        """Seconds until the next save; tests choose them by environment."""
        chosen = os.environ.get("ABLATIONS_SAVE_SECONDS")
        return float(chosen) if chosen else max(SOONEST_SECONDS, cost / COST)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """What was saved beside the tensors, and these by kind and parameter."""
    tensors: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118
            kind, name = key.split("/")
            # a copy: a tensor may be the file itself, mapped into memory
            tensors.setdefault(kind, {})[name] = file.get_tensor(key).clone()
        return json.loads((file.metadata() or {})[METADATA]), tensors
