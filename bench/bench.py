#!/usr/bin/env python3
"""What reuse saves: each row against two loops that recompute everything, on this machine.

    make bench                                               GPT-2 small, medium and large
    .venv/bin/python bench/bench.py --rows baseline --rounds 9   one row, more rounds
    .venv/bin/python bench/bench.py --all          the extended study's rows too, without XL's
    .venv/bin/python bench/bench.py --minutes 10   fewer rounds, so that it ends in about that time
    .venv/bin/python bench/bench.py --sizes nano nano nano   takes a few minutes

(plain) bench/plain.py: every layer at every step and position, PyTorch's default AdamW, with the
memory settings of our jobs; (transformers) its GPT-2 with a classification head in the same
ordinary loop. Random weights; the same token ids, batches, precision and threads. A whole run takes
hours, so parts are timed (some steps and an evaluation of each loop, a batch of the trunk) and
scaled up to the counts of the run. Each loop has its own process, and they take turns on the same
machine. Each number is the median over the rounds.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from msgspec import structs
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import plain
from ablations import files
from ablations.data.sequences import Numbers, Sequences, sequences
from ablations.data.tokens import About, Ids, Tokens
from ablations.machine import device
from ablations.machine.device import Device
from ablations.machine.memory import keep_freed_memory
from ablations.model import build, transformer
from ablations.study import config, cut, extends, needs, settings
from ablations.study.dimensions import NAMES
from ablations.study.settings import Settings, Training
from ablations.training import hidden_states, run
from ablations.training.forward import forward, freeze, token_ids
from ablations.training.hidden_states import Cache, Frozen, Record, TrunkManifest
from ablations.training.inputs import TOKENS_PER_BATCH, batches
from ablations.training.resume import State
from ablations.training.schedule import Batch, Schedule, schedule

Item = TypeVar("Item")

ROOT = Path(__file__).parents[1]
STUDY = extends.whole(ROOT / "studies/extended/config.yaml")
PARSED = config.parse(STUDY)
ROLES = ["small", "medium", "large", "xl"]  # of its models
SIZES = dict(zip(ROLES, (model.dimensions for model in PARSED.models.values()), strict=True))
SIZES["nano"] = structs.replace(SIZES["small"], n_layer=4, n_head=4, n_embd=32)
# Its rows by their ids, and in which order they are measured: the published table's come first.
KNOWN = {row.id: row.settings for row in PARSED.rows}
PUBLISHED = [row["id"] for row in extends.whole(ROOT / "config.yaml")["rows"]]
ROWS = [*PUBLISHED, *(id for id in KNOWN if id not in PUBLISHED)]
MESSAGES = {"train": 1045, "validation": 149, "test": 300}
# What comes after the last block of transformers' models.
AFTER = {"gpt2": "ln_f", "gpt_neox": "final_layer_norm", "llama": "norm"}
LONGEST = 120  # tokens of a message
PADDING = 50256
SEED = 123
SIDE = 4096  # of the matrices whose product measures the machine's rate
# Messages of the timed steps: where the frozen layers have run already, and where not.
MANY, FEW = 160, 16


def rows(sizes: Sequence[str], precision: str) -> dict[str, Settings]:
    """Every row by its id, with models of these sizes: small, medium, large and XL.

    Weights are random: they take the same time as pretrained ones.
    """
    sized = dict(zip(STUDY["models"], sizes, strict=True))
    found = {}
    for id in ROWS:
        size = sized[KNOWN[id].model]
        model = {"model": size, "dimensions": SIZES[size], "weights": "random"}
        found[id] = changed(KNOWN[id], **model, precision=precision)
    return found


def changed(row: Settings, /, **options: Any) -> Settings:
    """The row with other options, its own and those of its training."""
    training = {name: options.pop(name) for name in settings.names(Training) if name in options}
    return structs.replace(row, training=structs.replace(row.training, **training), **options)


def random_messages() -> Tokens:
    """Random ids in messages about as long as the collection's: 31 tokens on average."""
    draw = np.random.default_rng(SEED)
    ids = []
    for split, count in MESSAGES.items():
        lengths = draw.lognormal(3.22, 0.65, count).clip(1, LONGEST).round().astype(int)
        if split == "train":
            lengths[0] = LONGEST
        ids += [draw.integers(PADDING, size=length, dtype=np.int32) for length in lengths]
    about = About(
        tokenizer="random",
        vocab_size=PADDING + 1,
        padding_id=PADDING,
        classes=("ham", "spam"),
        dataset_sha256="",
    )
    cut = np.repeat(range(3), list(MESSAGES.values())).astype(np.int8)
    return Tokens(about, ids, np.arange(len(ids)) % 2, {"split": cut})


def by_split(tokens: Tokens) -> tuple[dict[str, list[Ids]], dict[str, list[int]]]:
    """Each split's ids and labels."""
    lines = tokens.lines(None)
    ids = {split: [tokens.ids[line] for line in own] for split, own in lines.items()}
    return ids, {split: tokens.labels[own].tolist() for split, own in lines.items()}


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """This number of items, evenly spaced."""
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def updates(row: Settings, tokens: Tokens) -> list[list[Batch]]:
    """The batches of each whole update of a run; those with the longest message come last."""
    plan, count = planned(row), row.training.accumulation_steps
    ids, _ = by_split(tokens)
    found = [plan.steps[each.start : each.stop] for each in plan.updates(count)]

    def longest(update: list[Batch]) -> int:
        return max(len(ids["train"][message]) for batch in update for message in batch)

    return sorted((update for update in found if len(update) == count), key=longest)


def typical(row: Settings, tokens: Tokens, messages: int) -> list[Batch]:
    """Steps of about this number of messages, in whole updates, with short and long messages."""
    size = row.training.batch_size * row.training.accumulation_steps
    chosen = spread(updates(row, tokens), max(1, messages // size))
    return [batch for update in chosen for batch in update]


def planned(row: Settings) -> Schedule:
    """Every batch of the run."""
    return schedule(SEED, MESSAGES, row.training)


def evaluations(plan: Schedule) -> int:
    """How often a run measures losses or accuracies."""
    return len(plan.losses) + len(plan.accuracies)


def timed(run: Callable[[], object], machine: Device) -> float:
    """Seconds that one call takes."""
    start = machine.clock()
    run()
    return machine.clock() - start


class Trunk:
    """The pass over all sequences that makes a row's hidden states.

    `folder`, here and below: that of the config.json of a model that is no GPT-2.
    """

    def __init__(
        self, row: Settings, tokens: Tokens, machine: Device, folder: Path | None = None
    ) -> None:
        self.machine, self.found = machine, sequences(tokens, row.input)
        end, causal = cut.trunk_end(row), row.input.causal_mask
        layers = build.layers(row.dimensions, folder, SEED, stop=end, causal=causal)
        self.layers = freeze(layers, machine)
        self.parts = list(batches(self.found.lengths))
        self.inputs = token_ids(self.found.distinct(), row.input.causal_mask)
        self.share = run.timed_share(self.found, tokens.lines(None), row.training)

    def run(self, parts: list[Numbers]) -> None:
        """Some of the collection's batches."""
        for _ in forward(self.layers, self.inputs, parts, self.machine):
            pass

    def whole(self) -> float:
        """Seconds of the pass over the collection, from some of its batches."""
        lengths = self.found.lengths
        parts = spread(self.parts, 1 if lengths.min() == lengths.max() else 3)
        each = timed(lambda: self.run(parts), self.machine) / _padded(parts, lengths)
        return each * _padded(self.parts, lengths)

    def seconds(self) -> float:
        """The part that counts as training time: the training texts and some of validation."""
        return self.share * self.whole()


def _padded(parts: Any, lengths: Numbers) -> int:
    """The tokens of these batches, with their padding."""
    return sum(len(part) * int(lengths[part].max()) for part in parts)


class Tail:
    """What a training job does once the hidden states are computed."""

    def __init__(
        self, row: Settings, tokens: Tokens, machine: Device, folder: Path | None = None
    ) -> None:
        self.row, self.machine = row, machine
        self.frozen = cut.trunk(row, SEED) is not None
        self.steps = typical(row, tokens, MANY if self.frozen else FEW)
        self.prepared = prepared(row, tokens, machine, folder)

    def train(self, steps: list[Batch]) -> list[float]:
        """These steps, from the weights as they are; the clock after each update."""
        plan = Schedule(steps, len(steps), {}, {}, [])
        state = Unsaved(self.machine)
        self.prepared.loop.train(plan, state)
        return state.updated

    def seconds(self) -> float:
        """Seconds of all steps, all evaluations, and the frozen layers after the trunk."""
        plan, loop = planned(self.row), self.prepared.loop
        # The optimizer makes its moments in the first update, which a run does once.
        first = self.steps[: self.row.training.accumulation_steps]
        begin, *_, end = self.train([*first, *self.steps])
        step = (end - begin) / len(self.steps)
        read = list(plan.losses.values())[: max(1, 8 // self.row.training.batch_size)]
        evaluation = timed(
            lambda: [loop.loss(split, found[split]) for found in read for split in found],
            self.machine,
        ) / len(read)
        frozen = self.prepared.frozen_seconds  # measured once
        return frozen + step * len(plan.steps) + evaluation * evaluations(plan)


def prepared(
    row: Settings, tokens: Tokens, machine: Device, folder: Path | None = None
) -> run.Prepared:
    """A run as a job prepares it, but with made-up hidden states, which it finds in its cache."""
    with tempfile.TemporaryDirectory() as made:  # a mapped file can be used once it is deleted
        cache, layers = Cache(Path(made), 10), frozen(row, machine, folder=folder)
        if layers:
            make_up(cache, layers, sequences(tokens, row.input))
        entries = set(cache.folder.iterdir())
        found = run.prepare(row, SEED, tokens, tokens.lines(None), folder, layers, cache, machine)
        now = {path for path in cache.folder.iterdir() if path.is_dir()}
        assert now <= entries, "not found there"
        return found


def frozen(
    row: Settings, machine: Device, seed: int = SEED, folder: Path | None = None
) -> Frozen | None:
    """The layers of a row's trunk, if it has one."""
    if trunk := cut.trunk(row, seed):
        manifest = TrunkManifest(checkpoint_sha256="", sequences="", code="")
        return hidden_states.frozen(trunk, manifest, folder, machine)
    return None


def make_up(cache: Cache, layers: Frozen, found: Sequences) -> None:
    """Writes an entry of the cache: made-up hidden states of the right size, which took no time."""
    entry, width = cache._entry(layers, found), layers.dimensions.n_embd
    entry.mkdir()
    noise = torch.randn(TOKENS_PER_BATCH, width)
    parts = list(batches(found.lengths))
    shapes = ((len(part), int(found.lengths[part].max())) for part in parts)
    outputs = (noise[: size * length].view(size, length, width) for size, length in shapes)
    hidden_states._write_array(entry / hidden_states.ARRAY, found, width, parts, outputs)
    files.write_json(entry / hidden_states.RECORD, Record(0.0, False))


class Unsaved(State):
    """The state of a run that is never saved, and when each of its updates was done."""

    def __init__(self, machine: Device) -> None:
        self.path, self.signal = Path("-"), None
        self.machine = machine
        self.updated: list[float] = []

    def due(self) -> bool:
        """Never; asked after every update."""
        self.updated.append(self.machine.clock())
        return False


class Loop:
    """An ordinary loop that recomputes everything: of the plain model or of transformers'."""

    def __init__(
        self,
        row: Settings,
        which: str,
        tokens: Tokens,
        machine: Device,
        folder: Path | None = None,
    ) -> None:
        self.row, self.machine = row, machine
        options = row.compared()
        shape = plain.Shape(**{name: getattr(row.dimensions, name) for name in NAMES})
        recipe = plain.Recipe(**{each.name: options[each.name] for each in fields(plain.Recipe)})
        if which == "plain":
            self.model = plain.gpt2(shape, recipe, classes=2, seed=SEED)
        elif folder:
            self.model = whole(recipe, transformer.config(folder))
        else:
            import transformers  # seconds, which the others would pay

            self.model = whole(recipe, transformers.GPT2Config(**vars(shape), use_cache=False))
        self.model.to(machine.torch)
        self.optimizer = plain.optimizer(self.model, recipe)
        loaders = plain.loaders(recipe, shape, *by_split(tokens), PADDING)
        self.data = loaders["train"]
        self.steps = typical(row, tokens, FEW)

    def train(self, steps: list[Batch]) -> None:
        """These steps, from the weights as they are."""
        with self.machine.autocast():
            for number, batch in enumerate(self._read(steps), start=1):
                update = number % self.row.training.accumulation_steps == 0
                plain.step(self.model, self.optimizer, batch, update)

    def evaluate(self, steps: list[Batch]) -> None:
        """Losses and accuracies of these steps' batches."""
        with self.machine.autocast():
            plain.evaluate(self.model, self._read(steps))

    def _read(self, steps: list[Batch]) -> Any:
        return [self.data.collate_fn([self.data.dataset[i] for i in batch]) for batch in steps]

    def seconds(self) -> float:
        """Seconds of all steps and all evaluations."""
        plan, count = planned(self.row), len(self.steps)
        step = timed(lambda: self.train(self.steps), self.machine) / count
        batch = timed(lambda: self.evaluate(self.steps), self.machine) / count
        read = 2 * self.row.training.eval_batches  # of train, of validation
        return step * len(plan.steps) + batch * read * evaluations(plan)


def whole(recipe: plain.Recipe, config: Any) -> plain.Model:
    """transformers' whole model of its config, with random weights and a classification head."""
    config.is_causal = recipe.causal_mask
    torch.manual_seed(SEED)
    body = transformer.constructed(config)
    blocks, after = transformer.blocks(body), body.get_submodule(AFTER[config.model_type])
    return plain.Model(body, blocks, [after], config.hidden_size, recipe, classes=2, seed=SEED)


def machine_of(loop: str, precision: str, threads: int) -> Device:
    """This process's machine, with a job's memory settings; transformers' loop has its own.

    It is not claimed, as a job does it: the loops take turns.
    """
    if loop != "transformers":
        keep_freed_memory()
    return device.current(precision, threads)


def process() -> ProcessPoolExecutor:
    """A new process of this program; its peak memory is at least what this one has used so far."""
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


READY: dict[str, Trunk | Tail | Loop] = {}  # what was begun in this process


def begin(row: Settings, loop: str, threads: int) -> None:
    """Makes ready what is timed in this process: a loop, or the parts of ours."""
    tokens, machine = random_messages(), machine_of(loop, row.training.precision, threads)
    if loop != "ours":
        READY[loop] = Loop(row, loop, tokens, machine)
        return
    if cut.trunk(row, SEED):
        READY["trunk"] = Trunk(row, tokens, machine)
    READY["tail"] = Tail(row, tokens, machine)


def timings() -> dict[str, float]:
    """One timing of what is ready: the seconds of a whole run."""
    return {name: part.seconds() for name, part in READY.items()}


def measure(
    row: Settings, rounds: int, seconds: float, kinds: list[str], threads: int
) -> dict[str, float]:
    """Medians over the rounds: our parts and the loops' whole runs, in seconds.

    Each loop has its own process, as in real use; they take turns. After this number of seconds no
    further round begins; the first always runs.
    """
    found: dict[str, list[float]] = {}
    start = time.perf_counter()
    with ExitStack() as running:
        loops = {kind: running.enter_context(process()) for kind in kinds}
        for ready in [loop.submit(begin, row, kind, threads) for kind, loop in loops.items()]:
            ready.result()
        for round in range(-1, rounds):  # the first round warms up
            if round > 0 and time.perf_counter() - start > seconds:
                break
            for loop in loops.values():
                parts = loop.submit(timings).result()
                for name, spent in parts.items() if round >= 0 else ():
                    found.setdefault(name, []).append(spent)
    medians = {name: statistics.median(spent) for name, spent in found.items()}
    return {"trunk": 0.0} | medians | {"rounds": len(found["tail"])}


def product_rate(machine: Device, side: int = SIDE) -> float:
    """Operations per second of a product of two square matrices in the machine's precision."""
    kind = torch.bfloat16 if machine.precision == "bfloat16" else torch.float32
    matrix = torch.randn(side, side).to(machine.torch, kind)
    matrix @ matrix  # the first also starts the library
    product = statistics.median(timed(lambda: matrix @ matrix, machine) for _ in range(9))
    return 2 * side**3 / product


def trained_operations(row: Settings, tokens: Tokens) -> float:
    """Of a run that trains all layers, backward twice those of forward; without embeddings.

    The last block's single query counts as if every position had one.
    """
    d = row.dimensions
    length = tokens.context_tokens(row.context_length, d.n_positions)
    read = len(planned(row).steps) * row.training.batch_size * length
    return 3 * d.n_layer * read * needs._per_token(d, length)


def share_of_peak(row: Settings, seconds: float, machine: Device) -> str:
    """The share of the machine's measured matrix-multiply rate that training all layers reaches."""
    reached, rate = trained_operations(row, random_messages()) / seconds, product_rate(machine)
    return (
        f"{row.row}: {reached / 1e9:.0f} GFLOP/s, {reached / rate:.0%} of the"
        f" {rate / 1e9:.0f} GFLOP/s of a product of two {SIDE} × {SIDE} matrices in"
        f" {machine.precision}"
    )


def profile(row: Settings, machine: Device) -> str:
    """The time of each operation in our steps, and how fast memory is here."""
    tail = Tail(row, random_messages(), machine)
    count = len(tail.steps)
    tail.train(tail.steps)
    with torch.profiler.profile() as found:
        tail.train(tail.steps)
    source = torch.zeros(2**27).to(machine.torch)
    target = torch.zeros_like(source)
    rate = 2 * source.nbytes / min(timed(lambda: target.copy_(source), machine) for _ in range(9))
    by = "self_cpu_time_total" if machine.kind == "cpu" else "self_device_time_total"
    operations = sorted(found.key_averages(), key=lambda each: -getattr(each, by))[:12]
    lines = [[e.key, e.count / count, getattr(e, by) / 1000 / count] for e in operations]
    return (
        _table(lines, [f"{row.row}: operation", "per step", "milliseconds per step"])
        + f"\n\nA copy reads and writes {rate / 1e9:.0f} GB/s."
    )


def peak_memory(row: Settings, which: str, threads: int) -> int:
    """The process's peak memory in bytes after two updates and an evaluation.

    Our processes are `trunk` (it loads the frozen layers and runs two batches) and `tail` (it loads
    the rest, and trains on and classifies a whole file of hidden states). The updates and batches
    are those with the longest messages.
    """
    tokens, machine = random_messages(), machine_of(which, row.training.precision, threads)
    steps = [batch for update in updates(row, tokens)[-2:] for batch in update]
    if which == "trunk":
        trunk = Trunk(row, tokens, machine)
        trunk.run(trunk.parts[:2])
    elif which == "tail":
        tail = Tail(row, tokens, machine)
        tail.train(steps)
        tail.prepared.loop.logits("train", range(MESSAGES["train"] if tail.frozen else 40))
    else:
        loop = Loop(row, which, tokens, machine)
        loop.train(steps)
        loop.evaluate(steps[-1:])
    return machine.peak_memory_bytes()


def report(found: dict[str, dict[str, float]], trunk_of: dict[str, str]) -> str:
    """The results as Markdown tables."""
    each, together = [], []
    ours_so_far = plain_so_far = 0.0
    for number, (id, part) in enumerate(found.items(), start=1):
        ours, theirs = part["trunk"] + part["tail"], part.get("transformers")
        line = [id, ours, part["plain"], part["plain"] / ours, theirs, theirs and theirs / ours]
        each.append([*line, part["rounds"]])
        ours_so_far += part["tail"] + (part["trunk"] if trunk_of[id] == id else 0.0)
        plain_so_far += part["plain"]
        together.append([number, ours_so_far, plain_so_far, plain_so_far / ours_so_far])
    columns = ["row", "ours (s)", "plain (s)", "plain / ours"]
    if any("transformers" in part for part in found.values()):
        columns += ["transformers (s)", "transf. / ours"]
    else:
        each = [[*line[:4], line[6]] for line in each]
    tables = [_table(each, [*columns, "rounds"])]
    tables.append(_table(together, ["first rows of the table", *columns[1:4]]))
    if "baseline" in found:
        trunk, tail = found["baseline"]["trunk"], found["baseline"]["tail"]
        many = [
            [n, trunk + n * tail, n * found["baseline"]["plain"], 1 + (n - 1) * tail / one]
            for n in (1, 3, 10)
            for one in [trunk + tail]
        ]
        heads = ["seeds of the baseline", *columns[1:3], "ours, in runs of one seed"]
        tables.append(_table(many, heads))
    return "\n\n".join(tables)


def _table(lines: Sequence[Sequence[object]], headings: list[str]) -> str:
    return tabulate(lines, headings, tablefmt="github", floatfmt=".2f")


def memory(chosen: list[Settings], threads: int) -> str:
    """Peak memory per row, of our two jobs and of the plain loop."""
    lines = []
    for row in chosen:
        kinds = ["trunk", "tail", "plain"] if cut.trunk(row, SEED) else ["tail", "plain"]
        peak = {}
        for kind in kinds:
            with process() as alone:
                peak[kind] = alone.submit(peak_memory, row, kind, threads).result() / 1e9
        lines.append([row.row, *(peak.get(kind) for kind in ("trunk", "tail", "plain"))])
    return _table(lines, ["row", "trunk job (GB)", "train job (GB)", "plain loop (GB)"])


def trunks(chosen: list[Settings]) -> dict[str, str]:
    """For each row, the first one that has the same trunk and reads the same sequences."""
    tokens = random_messages()
    first: dict[object, str] = {}
    return {
        row.row: first.setdefault(
            (
                row.dimensions,
                row.causal_mask,
                cut.trunk_end(row),
                sequences(tokens, row.input).sha256,
            ),
            row.row,
        )
        for row in chosen
    }


def options(description: str | None) -> argparse.ArgumentParser:
    """A command line with what the programs that time parts share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser


def medians(parts: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Each part's seconds; the parts take turns, and a round before the first is not counted."""
    taken = [{name: part() for name, part in parts.items()} for _ in range(1 + rounds)]
    return {name: statistics.median(each[name] for each in taken[1:]) for name in parts}


def float32(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Device]:
    """What the command line says, and the machine as jobs have it; what it is, is printed.

    With --cpu-time every time from now on is the CPU's in this process.
    """
    parser.add_argument("--cpu-time", action="store_true", help="where others use the machine")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        time.perf_counter = time.process_time
    machine = machine_of("ours", "float32", arguments.threads)
    print(described(machine, arguments.threads))
    return arguments, machine


def described(machine: Device, threads: int) -> str:
    """What the seconds below were measured on."""
    return f"{machine.name}, {threads} threads, {machine.precision}, {torch.__version__}"


def command_line() -> argparse.Namespace:
    """What to measure."""
    parser = options(__doc__)
    parser.add_argument(
        "--sizes",
        nargs="+",
        choices=SIZES,
        default=["small", "medium", "large"],
        help="of the models of three sizes; a fourth is XL's",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--rows", nargs="*", choices=ROWS, help="only these")
    which.add_argument("--all", action="store_true", help="all rows, but those of size xl")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="for all rows, about; at least a round"
    )
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--transformers", action="store_true", help="time that loop too")
    parser.add_argument("--memory", action="store_true", help="peak memory instead of time")
    parser.add_argument("--profile", action="store_true", help="our operations instead of time")
    parser.add_argument("--output", type=Path, help="the measured seconds, as JSON")
    arguments = parser.parse_args()
    if len(arguments.sizes) not in (3, 4):
        parser.error("--sizes: three or four are needed")
    return arguments


def main() -> None:
    """Measures, and prints what was found."""
    arguments = command_line()
    table = rows([*arguments.sizes, "xl"][:4], arguments.precision)
    without_xl = [id for id, row in table.items() if id in PUBLISHED or row.model != "xl"]
    ids = arguments.rows or (without_xl if arguments.all else PUBLISHED)
    chosen = [row for id, row in table.items() if id in ids]
    if arguments.memory:
        print(memory(chosen, arguments.threads))
        return
    machine = machine_of("ours", arguments.precision, arguments.threads)
    if arguments.profile:
        print(*(profile(row, machine) for row in chosen), sep="\n\n")
        return
    print(described(machine, arguments.threads))
    found = {}
    for row in chosen:
        kinds = ["ours", "plain"]
        if arguments.transformers and row.trainable_layers != "lora":  # which it does not have
            kinds.append("transformers")
        seconds = 60 * arguments.minutes / len(chosen)
        found[row.row] = measure(row, arguments.rounds, seconds, kinds, arguments.threads)
        rounded = {name: round(spent, 2) for name, spent in found[row.row].items()}
        print(row.row, rounded, file=sys.stderr, flush=True)
        if arguments.output:
            arguments.output.write_text(json.dumps(found, indent=1))
    print(report(found, trunks(chosen)))
    if "all-layers" in found:
        print(f"\n{share_of_peak(table['all-layers'], found['all-layers']['tail'], machine)}")


if __name__ == "__main__":
    main()
