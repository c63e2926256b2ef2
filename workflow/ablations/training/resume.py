"""The state of a run, saved while it trains, so that a killed job can resume.

A run's batches are known before its first step, and nothing else in its loop is random. So the
state is the weights, the optimizer's moments, what was measured and the number of steps done.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import msgspec
import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ablations.cli import log
from ablations.files import as_json, whole
from ablations.machine.device import Rounding
from ablations.model.layers import Layers
from ablations.study.settings import Settings
from ablations.training.metrics import EpochAccuracy, Evaluation

# Saving may take this share of the time since the last save; and the least time between two saves.
COST = 1 / 20
SOONEST_SECONDS = 30

WEIGHT = "weight"  # the optimizer's tensors have its own names
METADATA = "state"  # as one JSON text: safetensors orders several keys at random


class Progress(Struct, kw_only=True):
    """The progress of a run: steps done, the seconds they took, and what was measured."""

    steps: int = 0
    seconds: float = 0.0
    shared_device: bool = False
    losses: list[Evaluation] = []
    accuracies: list[EpochAccuracy] = []


class Identity(Struct, frozen=True, kw_only=True):
    """Everything that decides a run's result: a state with another identity is another run's."""

    row: Settings
    seed: int
    fold: int | None
    tokens_sha256: str
    checkpoint_sha256: str | None
    code: str
    rounding: Rounding
    engine: str | None


class Saved(Struct, frozen=True, kw_only=True):
    """What is saved in addition to the tensors."""

    identity: Identity
    progress: Progress


class State:
    """The saved state of one run. A file that cannot be read or is another run's is ignored."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self.path, self.identity = path, identity
        self.signal: signal.Signals | None = None
        self._sweep()
        self._next = time.monotonic() + self._interval(0.0)

    def restore(self, tail: Layers, optimizer: torch.optim.Optimizer) -> Progress:
        """Puts the saved state, if there is one, into the tail and its optimizer."""
        if not self.path.exists():
            return Progress()
        try:
            saved, tensors = _read(self.path)
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            log.info("%s cannot be read (%s); starting from the first step", self.path, error)
            return Progress()
        if saved.identity != self.identity:
            log.info(
                "%s is of other code, data or settings; starting from the first step", self.path
            )
            return Progress()
        with torch.no_grad():
            for name, parameter in tail.trained().items():
                own = tensors[name]
                parameter.copy_(own.pop(WEIGHT))
                optimizer.state[parameter] = {
                    kind: tensor.to(parameter.device) for kind, tensor in own.items()
                }
        log.info("going on after step %d, from %s", saved.progress.steps - 1, self.path)
        return saved.progress

    def due(self) -> bool:
        """Whether to save now: at once after a signal, else when the interval is over."""
        return self.signal is not None or time.monotonic() >= self._next

    def save(self, tail: Layers, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        """Writes the state, whole or not at all; ends the process if a signal asked for it.

        A full disk is logged and does not stop training.
        """
        begin = time.monotonic()
        tensors: dict[str, Tensor] = {}
        for name, parameter in tail.trained().items():
            # the optimizer keeps nothing for a parameter that never had a gradient
            kept = {WEIGHT: parameter.detach(), **optimizer.state[parameter]}
            tensors |= {f"{kind}/{name}": tensor for kind, tensor in kept.items()}
        metadata = {METADATA: as_json(Saved(identity=self.identity, progress=progress))}
        saved = f"the state after step {progress.steps - 1} is in {self.path}"
        try:
            with whole(self.path) as temporary:
                save_file(tensors, temporary, metadata)
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
        """A context: the first signal asks for a save, the second ends the process.

        A terminal that is closed sends SIGHUP, perhaps twice: the second is ignored. So is the
        first under nohup.
        """

        def note(number: int, _: FrameType | None) -> None:
            self.signal = signal.Signals(number)
            for each in before:
                signal.signal(each, signal.SIG_IGN if each == signal.SIGHUP else signal.SIG_DFL)

        before = {each: signal.signal(each, note) for each in (signal.SIGTERM, signal.SIGINT)}
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            before[signal.SIGHUP] = signal.signal(signal.SIGHUP, note)
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


def _read(path: Path) -> tuple[Saved, dict[str, dict[str, Tensor]]]:
    """What was saved in addition to the tensors, and the tensors by parameter and kind."""
    tensors: dict[str, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118
            kind, name = key.split("/")
            # a copy: a tensor may be the file itself, mapped into memory
            tensors.setdefault(name, {})[kind] = file.get_tensor(key).clone()
        return msgspec.json.decode((file.metadata() or {})[METADATA], type=Saved), tensors
