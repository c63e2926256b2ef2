#!/usr/bin/env python3
"""What reuse saves: each row against two loops that recompute everything, on this machine.

    make bench                                               GPT-2 small, medium and large
    .venv/bin/python bench/bench.py --rows baseline --rounds 9   one row, more rounds
    .venv/bin/python bench/bench.py --minutes 10   fewer rounds, so that it ends in about that time
    .venv/bin/python bench/bench.py --sizes nano nano nano   a look within minutes

(plain) our own blocks, batch 8, PyTorch's default AdamW, every layer at every step and position,
with the settings of memory that our jobs have; (transformers) its GPT-2 with a classification head
in an ordinary loop. Random weights; the same token ids, batches, precision and threads. A whole run
takes hours, so parts are timed (a step and an evaluation of each loop, a batch of the trunk) and
scaled to the run's own counts. Each loop has a process of its own, and they take turns on the same
machine; each number is the median over the rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from tabulate import tabulate
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from ablations import device, hidden_states, model, train
from ablations.cut import Dimensions, first_trained, trunk_depth
from ablations.state import State

SIZES = {
    "nano": Dimensions(4, 4, 32, 1024, 50257),
    "small": Dimensions(12, 12, 768, 1024, 50257),
    "medium": Dimensions(24, 16, 1024, 1024, 50257),
    "large": Dimensions(36, 20, 1280, 1024, 50257),
}
MESSAGES = {"train": 1045, "validation": 149, "test": 300}
TRAINING = {
    "epochs": 5,
    "batch_size": 8,
    "learning_rate": 5e-5,
    "weight_decay": 0.1,
    "eval_every": 50,
    "eval_batches": 5,
}
SEED = 123
SIDE = 4096  # of the matrices whose product tells the machine's rate


@dataclass(frozen=True)
class Row:
    """One row of the table, as far as its cost goes; tokens up to the classified one."""

    id: str
    size: str
    trainable_layers: str
    tokens: int
    padded: int


def rows(small: str, medium: str, large: str) -> list[Row]:
    """The published eight."""
    return [
        Row("baseline", small, "last_block", 120, 120),
        Row("first-token", small, "last_block", 1, 120),
        Row("last-layer", small, "last_layer", 120, 120),
        Row("all-layers", small, "all", 120, 120),
        Row("medium", medium, "last_block", 120, 120),
        Row("large", large, "last_block", 120, 120),
        Row("random-weights", small, "all", 120, 120),
        Row("full-context", small, "last_block", 1024, 1024),
    ]


class Unsaved(State):
    """The state of a run that is not worth saving."""

    def due(self) -> bool:
        """Never."""
        return False


class Ours:
    """The workflow's own code, cut into trunk batches, steps and evaluations."""

    def __init__(self, row: Row, layers: nn.Sequential, ids: Tensor, machine: device.Device):
        d = SIZES[row.size]
        self.row, self.machine, self.ids = row, machine, ids[:, : row.tokens]
        self.depth = trunk_depth(row.trainable_layers, d.n_layer)
        self.start = first_trained(row.trainable_layers, d.n_layer)
        self.trunk, self.between = layers[: self.depth], layers[self.depth : self.start]
        self.tail = nn.Sequential(*layers[self.start :]).to(machine.torch)
        for frozen in (self.trunk, self.between):
            hidden_states.freeze(frozen, machine)
        sample, count = self._outputs(self.ids[:40]), max(MESSAGES.values())
        many = stored(sample, count) if sample.ndim == 3 else sample[torch.arange(count) % 40]
        inputs = train.resident(many, machine)
        tokens = sample.shape[1] if sample.ndim == 3 or row.trainable_layers == "all" else 1
        self.splits = {
            split: train.Split(inputs, tokens, labels(count, machine))
            for split, count in MESSAGES.items()
        }
        self.plan = train.schedule(SEED, MESSAGES, TRAINING)

    def _outputs(self, ids: Tensor) -> Tensor:
        for layers in (self.trunk, self.between):
            if len(layers):
                ids = outputs_of(layers, ids, self.machine)
        return ids

    def frozen_batch(self) -> float:
        """Seconds per message through all frozen layers."""
        if not self.depth:
            return 0.0
        batch = self.ids[hidden_states.batches(len(self.ids), self.row.tokens)[0]]
        return timed(lambda: self._outputs(batch), self.machine) / len(batch)

    def steps(self, count: int) -> float:
        """Seconds per step."""
        part = train.Schedule(self.plan.steps[:count], count, {}, {}, [])
        return timed(lambda: self._train(part), self.machine) / count

    def _train(self, plan: train.Schedule) -> None:
        train.train(self.tail, self.splits, plan, TRAINING, self.machine, Unsaved(Path("-"), {}))

    def evaluation(self) -> float:
        """Seconds for one evaluation: 5 batches of train, 5 of validation."""
        found = self.plan.losses[0]
        return timed(
            lambda: [train._loss(self.tail, self.splits[s], found[s], self.machine) for s in found],
            self.machine,
        )


def outputs_of(
    layers: nn.Module, inputs: Tensor | hidden_states.Mapped, machine: device.Device
) -> Tensor:
    """What frozen layers make of the inputs [messages, tokens, …]."""
    parts = hidden_states.batches(len(inputs), inputs.shape[1])
    return torch.cat(list(hidden_states.forward(layers, inputs, parts, machine, "")))


def stored(states: Tensor, count: int) -> hidden_states.Mapped:
    """So many messages' hidden states, these over and over, in a file as a job reads them."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:  # what is mapped outlives its name
        path, shape = Path(file.name), (count, *states.shape[1:])
        each = (states[message % len(states)] for message in range(count))
        hidden_states._write_array(path, shape, each)
        return hidden_states.Mapped(path)


class Loop:
    """An ordinary loop: every layer, every position, batch by batch."""

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        trained: list[nn.Parameter],
        ids: Tensor,
        machine: device.Device,
    ):
        self.forward, self.machine, self.ids = forward, machine, ids.to(machine.torch)
        self.labels = labels(len(ids), machine)
        self.optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.1)
        self.plan = train.schedule(SEED, MESSAGES, TRAINING)

    def steps(self, count: int) -> float:
        """Seconds per step."""

        def run() -> None:
            for batch in self.plan.steps[:count]:
                picked = torch.tensor(batch) % len(self.ids)
                self.optimizer.zero_grad()
                F.cross_entropy(self.forward(self.ids[picked]), self.labels[picked]).backward()
                self.optimizer.step()

        return timed(run, self.machine) / count

    def evaluation(self, batches: int) -> float:
        """Seconds for one evaluation of 10 batches, from so many of them."""

        def run() -> None:
            with torch.no_grad():
                for batch in self.plan.steps[:batches]:
                    self.forward(self.ids[torch.tensor(batch) % len(self.ids)])

        return timed(run, self.machine) * 10 / batches


def plain(row: Row, layers: nn.Sequential, ids: Tensor, machine: device.Device) -> Loop:
    """Our own blocks, without reuse: the classified position of the whole last block's output."""
    position = row.tokens - 1
    layers.to(machine.torch)

    def forward(batch: Tensor) -> Tensor:
        with machine.autocast():
            x = layers[0](batch)
            for block in layers[1:-2]:
                x = model.Block.forward(block, x)
            return layers[-1](layers[-2](x[:, position])).float()

    start = first_trained(row.trainable_layers, SIZES[row.size].n_layer)
    layers[:start].requires_grad_(False)
    return Loop(forward, list(layers[start:].parameters()), ids, machine)


def transformers_loop(row: Row, ids: Tensor, machine: device.Device) -> Loop:
    """transformers' GPT-2 with a head on the classified position."""
    import transformers

    d = SIZES[row.size]
    config = transformers.GPT2Config(
        **vars(d), resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False
    )
    body = transformers.GPT2Model(config).to(machine.torch)
    head = nn.Linear(d.n_embd, 2).to(machine.torch)
    body.requires_grad_(row.trainable_layers == "all")
    if row.trainable_layers == "last_block":
        body.h[-1].requires_grad_(True)
        body.ln_f.requires_grad_(True)
    trained = [p for p in (*body.parameters(), *head.parameters()) if p.requires_grad]
    position = row.tokens - 1

    def forward(batch: Tensor) -> Tensor:
        with machine.autocast():
            return head(body(batch).last_hidden_state[:, position]).float()

    return Loop(forward, trained, ids, machine)


def labels(count: int, machine: device.Device) -> Tensor:
    """As many labels, on the device."""
    return (torch.arange(count) % 2).to(machine.torch)


def timed(run: Callable[[], object], machine: device.Device) -> float:
    """Seconds that one call takes."""
    start = machine.clock()
    run()
    return machine.clock() - start


def random_model(size: str) -> nn.Sequential:
    """All layers and the head, randomly initialised."""
    d = SIZES[size]
    return model.random_layers(d, SEED, 0, d.n_layer + 2).append(model.head(d, SEED))


def token_ids(row: Row) -> Tensor:
    """Random ones, [messages, tokens]: enough for whole batches, of one token too."""
    shape = (MESSAGES["train"], row.padded)
    return torch.randint(50257, shape, generator=torch.Generator().manual_seed(SEED))


def serve(row: Row, which: str, machine: device.Device) -> None:
    """Answers each line of stdin with one timing of a loop, as JSON: the seconds of a whole run."""
    ids = token_ids(row)
    plan = train.schedule(SEED, MESSAGES, TRAINING)
    evaluations = len(plan.losses) + len(plan.accuracies)
    if which == "ours":
        ours = Ours(row, random_model(row.size), ids, machine)
        few = 2 if row.trainable_layers == "all" else 20

        def once() -> dict[str, float]:
            return {
                "frozen": ours.frozen_batch() * (MESSAGES["train"] + 40),
                "loop": ours.steps(few) * len(plan.steps) + ours.evaluation() * evaluations,
            }
    else:
        loop = (
            transformers_loop(row, ids, machine)
            if which == "transformers"
            else plain(row, random_model(row.size), ids, machine)
        )

        def once() -> dict[str, float]:
            return {which: loop.steps(2) * len(plan.steps) + loop.evaluation(2) * evaluations}

    for _ in sys.stdin:
        print(json.dumps(once()), flush=True)


def measure(
    row: Row, rounds: int, seconds: float, kinds: list[str], options: list[str]
) -> dict[str, float]:
    """Medians over the rounds: our parts and the loops' whole runs, in seconds.

    Each loop has a process of its own, as it would; they take turns. After so many seconds no
    further round begins, but for the first.
    """
    pipe = subprocess.PIPE
    command = [sys.executable, __file__, *options, "--serve", row.id]
    loops = [
        subprocess.Popen([*command, kind], stdin=pipe, stdout=pipe, text=True) for kind in kinds
    ]
    found: dict[str, list[float]] = {}
    start = time.perf_counter()
    for round in range(-1, rounds):  # the first round warms up
        if round > 0 and time.perf_counter() - start > seconds:
            break
        for loop in loops:
            assert loop.stdin and loop.stdout
            print(file=loop.stdin, flush=True)
            part = json.loads(loop.stdout.readline())
            if round >= 0:
                for name, spent in part.items():
                    found.setdefault(name, []).append(spent)
    for loop in loops:
        loop.communicate()
    medians = {name: statistics.median(spent) for name, spent in found.items()}
    return medians | {"rounds": len(next(iter(found.values())))}


def share_of_peak(row: Row, seconds: float, machine: device.Device) -> str:
    """What training all layers makes of the machine's matrix-multiply rate, measured here.

    6 operations per weight and token of a step (2 forward, 4 backward), embeddings aside, and the
    attention's products; the last block's single query is credited as if it were all of them.
    """
    d, tokens, steps = SIZES[row.size], row.tokens, 5 * (MESSAGES["train"] // 8)
    weights = 12 * d.n_layer * d.n_embd**2
    attention = 2 * d.n_layer * d.n_embd * tokens  # per token, causal: half of all pairs
    needed = steps * 8 * tokens * (6 * weights + 3 * attention)
    kind = torch.bfloat16 if machine.precision == "bfloat16" else torch.float32
    matrix = torch.randn(SIDE, SIDE).to(machine.torch, kind)
    matrix @ matrix  # the first also starts the library
    product = statistics.median(timed(lambda: matrix @ matrix, machine) for _ in range(9))
    rate = 2 * SIDE**3 / product
    return (
        f"{row.id}: {needed / seconds / 1e9:.0f} GFLOP/s, {needed / seconds / rate:.0%} of the"
        f" {rate / 1e9:.0f} GFLOP/s of a product of two {SIDE} × {SIDE} matrices in"
        f" {machine.precision}"
    )


def profile(row: Row, machine: device.Device) -> str:
    """Where our steps spend their time, operation by operation, and how fast memory is here."""
    ours = Ours(row, random_model(row.size), token_ids(row), machine)
    ours.steps(20)
    with torch.profiler.profile() as found:
        ours.steps(20)
    source = torch.zeros(2**27).to(machine.torch)
    target = torch.zeros_like(source)
    rate = 2 * source.nbytes / min(timed(lambda: target.copy_(source), machine) for _ in range(9))
    by = "self_cpu_time_total" if machine.kind == "cpu" else "self_device_time_total"
    operations = sorted(found.key_averages(), key=lambda each: -getattr(each, by))[:12]
    lines = [[each.key, each.count / 20, getattr(each, by) / 20_000] for each in operations]
    return (
        _table(lines, [f"{row.id}: operation", "per step", "milliseconds per step"])
        + f"\n\nA copy reads and writes {rate / 1e9:.0f} GB/s."
    )


def peak_memory(row: Row, which: str, machine: device.Device) -> int:
    """The process's peak in bytes after two steps and an evaluation, in a process of its own.

    Ours is `trunk` (a process that loads the frozen layers and runs a batch) and `tail` (one that
    loads the rest and trains on, then classifies, a whole file of hidden states).
    """
    d = SIZES[row.size]
    depth = trunk_depth(row.trainable_layers, d.n_layer)
    ids = token_ids(row)[:40]
    if which == "trunk":
        trunk = hidden_states.freeze(model.random_layers(d, SEED, 0, depth), machine)
        parts = hidden_states.batches(40, row.tokens)[:2]
        list(hidden_states.forward(trunk, ids[:, : row.tokens], parts, machine, ""))
    elif which == "tail":
        start = first_trained(row.trainable_layers, d.n_layer)
        tokens, inputs = row.tokens, ids
        if depth:
            inputs = stored(torch.zeros(1, tokens, d.n_embd), sum(MESSAGES.values()))
        if depth < start:
            between = model.random_layers(d, SEED, depth, start)
            inputs = outputs_of(hidden_states.freeze(between, machine), inputs, machine)
            tokens = 1
        tail = model.random_layers(d, SEED, start, d.n_layer + 2).append(model.head(d, SEED))
        tail.to(machine.torch)
        split = train.Split(train.resident(inputs, machine), tokens, labels(len(inputs), machine))
        plan = train.Schedule([list(range(8))] * 2, 2, {}, {}, [])
        train.train(tail, {"train": split}, plan, TRAINING, machine, Unsaved(Path("-"), {}))
        train.evaluate(tail, split, range(len(inputs)), machine)
    else:
        loop = (
            transformers_loop(row, ids, machine)
            if which == "transformers"
            else plain(row, random_model(row.size), ids, machine)
        )
        loop.steps(2)
        loop.evaluation(1)
    return machine.peak_memory_bytes()


def in_a_process(row: Row, which: str, options: list[str]) -> int:
    """peak_memory, measured by itself."""
    command = [sys.executable, __file__, *options, "--peak", row.id, which]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(found: dict[str, dict[str, float]], trunk_of: dict[str, str]) -> str:
    """The results as Markdown tables."""
    each, together = [], []
    ours_so_far = plain_so_far = 0.0
    for number, (id, part) in enumerate(found.items(), start=1):
        ours = part["frozen"] + part["loop"]
        line = [id, ours, part["plain"], part["plain"] / ours]
        if "transformers" in part:
            line += [part["transformers"], part["transformers"] / ours]
        each.append([*line, part["rounds"]])
        ours_so_far += part["loop"] + (part["frozen"] if trunk_of[id] == id else 0.0)
        plain_so_far += part["plain"]
        together.append([number, ours_so_far, plain_so_far, plain_so_far / ours_so_far])
    columns = ["row", "ours (s)", "plain (s)", "plain / ours"]
    columns += ["transformers (s)", "transf. / ours"] if len(each[0]) > 5 else []
    tables = [_table(each, [*columns, "rounds"])]
    tables.append(_table(together, ["first rows of the table", *columns[1:4]]))
    if "baseline" in found:
        frozen, loop = found["baseline"]["frozen"], found["baseline"]["loop"]
        many = [
            [n, frozen + n * loop, n * found["baseline"]["plain"], 1 + (n - 1) * loop / one]
            for n in (1, 3, 10)
            for one in [frozen + loop]
        ]
        heads = ["seeds of the baseline", *columns[1:3], "ours, in runs of one seed"]
        tables.append(_table(many, heads))
    return "\n\n".join(tables)


def _table(lines: list[list[object]], headings: list[str]) -> str:
    return tabulate(lines, headings, tablefmt="github", floatfmt=".2f")


def memory(chosen: list[Row], options: list[str]) -> str:
    """Peak memory per row, of our two jobs and of the plain loop."""
    lines = []
    for row in chosen:
        kinds = ["tail", "plain"] if row.trainable_layers == "all" else ["trunk", "tail", "plain"]
        peak = {kind: in_a_process(row, kind, options) / 1e9 for kind in kinds}
        lines.append([row.id, *(peak.get(kind) for kind in ("trunk", "tail", "plain"))])
    return _table(lines, ["row", "trunk job (GB)", "train job (GB)", "plain loop (GB)"])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs=3, choices=SIZES, default=["small", "medium", "large"])
    parser.add_argument("--rows", nargs="*", help="only these")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="for all rows, about; at least a round"
    )
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--transformers", action="store_true", help="time that loop too")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--profile", action="store_true", help="our operations instead of time")
    for hidden in ("--serve", "--peak"):  # a process of this program asks another
        parser.add_argument(hidden, nargs=2, metavar=("ROW", "LOOP"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="the measured seconds, as JSON")
    arguments = parser.parse_args()
    table = {row.id: row for row in rows(*arguments.sizes)}
    # Not claimed as a job claims it: the loops take turns on it.
    machine = device.current(arguments.precision, arguments.threads)
    served = arguments.serve or arguments.peak
    if not served or served[1] != "transformers":
        device.keep_freed_memory()
    if served:
        row, which = table[served[0]], served[1]
        if arguments.serve:
            serve(row, which, machine)
        else:
            print(peak_memory(row, which, machine))
        return
    options = ["--sizes", *arguments.sizes, "--precision", arguments.precision]
    options += ["--threads", str(arguments.threads)]
    chosen = [row for row in table.values() if not arguments.rows or row.id in arguments.rows]
    if arguments.memory:
        print(memory(chosen, options))
        return
    if arguments.profile:
        print(*(profile(row, machine) for row in chosen), sep="\n\n")
        return
    print(f"{machine.name}, {arguments.threads} threads, {machine.precision}, {torch.__version__}")
    kinds = ["ours", "plain"] + ["transformers"] * arguments.transformers
    found = {}
    for row in chosen:
        seconds = 60 * arguments.minutes / len(chosen)
        found[row.id] = measure(row, arguments.rounds, seconds, kinds, options)
        print(
            row.id, {k: round(v, 2) for k, v in found[row.id].items()}, file=sys.stderr, flush=True
        )
        if arguments.output:
            arguments.output.write_text(json.dumps(found, indent=1))
    first: dict[tuple[str, int], str] = {}
    trunk_of = {row.id: first.setdefault((row.size, row.tokens), row.id) for row in chosen}
    print(report(found, trunk_of))
    for row in chosen:
        if row.id == "all-layers":
            print(f"\n{share_of_peak(row, found[row.id]['loop'], machine)}")


if __name__ == "__main__":
    main()
