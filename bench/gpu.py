#!/usr/bin/env python3
"""What only a GPU can tell, in parts that end within minutes; see docs/performance.md.

    python3 bench/gpu.py --output found --mirror DATA --reference REFERENCE
    python3 bench/gpu.py --output found --parts speed memory --rows baseline all-layers

Each part is a separate process and writes a separate file, FOUND/<part>.json:

    workflow       snakemake --cores 1 --resources gpu=1 on nano checkpoints: all rows, table and
                   answers; a second run; a run that is killed and goes on
    parity         the reference's losses and accuracies, and how far from them each precision is
    determinism    some steps of every row twice, and every trunk: the same bits?
    deterministic  the same with PyTorch's deterministic algorithms alone
    speed          whole runs with random weights, beside the plain and the transformers loop
    memory         the peak of XL's two rows that train throughout, by micro_batch
    estimates      the workflow with random weights: what a queue is asked for, and what was used

The file is written again after each measurement, so a part that is ended keeps what it has. What
fails is a measurement too, with its error in the place of its numbers.
"""

import argparse
import contextlib
import gc
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from msgspec import structs, to_builtins
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import bench
import gpu_workflow
from ablations import files
from ablations.data import byte_pairs, cuts, tokenizer
from ablations.data.sequences import sequences
from ablations.data.tokens import Tokens
from ablations.errors import UserError
from ablations.machine import device
from ablations.machine.device import Device
from ablations.machine.memory import keep_freed_memory
from ablations.model import checkpoint
from ablations.study import cut, needs
from ablations.study.cut import Trunk
from ablations.study.dimensions import NAMES, Dimensions
from ablations.study.settings import Settings
from ablations.training import run
from ablations.training.forward import forward
from ablations.training.hidden_states import Cache
from ablations.training.loop import Loop
from ablations.training.predictions import Predictions
from ablations.training.schedule import Schedule, schedule
from gpu_workflow import Found, called

SEED = bench.SEED
SIDE = 8192  # of the matrices whose product tells a GPU's rate


class Results:
    """The file of one part, with every measurement so far."""

    def __init__(self, path: Path, about: Found) -> None:
        self.path, self.about = path, about
        self.measured: list[Found] = []

    def add(self, about: Found, measure: Callable[..., Found], *arguments: Any) -> Found:
        """Measures, and adds what was found, or the error, and the seconds it took."""
        begin = time.perf_counter()
        try:
            found = measure(*arguments)
        except (RuntimeError, UserError, OSError, subprocess.SubprocessError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        found = about | found | {"wall_seconds": time.perf_counter() - begin}
        self.measured.append(found)
        text = json.dumps(self.about | {"measured": self.measured}, indent=1)
        files.write_text(self.path, text + "\n")
        print(json.dumps(found), flush=True)
        gc.collect()
        torch.cuda.empty_cache()
        return found


class Unsaved(bench.Unsaved):
    """A state that is not worth saving and, unlike the benchmark's, never waits for the device."""

    def due(self) -> bool:
        """Never."""
        return False


def machines(o: argparse.Namespace, cuda: Sequence[str]) -> Iterator[Device]:
    """The device in each precision: those that are asked for, or these; a CPU in float32."""
    for precision in o.precisions or (cuda if torch.cuda.is_available() else ["float32"]):
        yield device.current(precision, o.threads)


def rows(o: argparse.Namespace, ids: Sequence[str], machine: Device) -> list[Settings]:
    """These rows."""
    known = bench.rows(o.sizes, machine.precision)
    return [bench.changed(known[id], epochs=o.epochs) for id in ids]


def texts(o: argparse.Namespace) -> Tokens:
    """The real collection where the mirror holds it, as the workflow splits it; else random ids."""
    made_up = bench.random_messages()
    if not o.mirror:
        return made_up
    with zipfile.ZipFile(o.mirror / "sms+spam+collection.zip") as archive:
        file = archive.open("SMSSpamCollection")
        collection = pd.read_csv(file, sep="\t", header=None, names=["Label", "Text"])
    classes = made_up.about.classes
    collection["Label"] = collection["Label"].map(classes.index)
    chosen = cuts.shuffled(cuts.balanced(collection, SEED), SEED)
    merges = byte_pairs.read(o.mirror / "gpt2-bpe/vocab.bpe")
    ids = tokenizer.of_merges(merges).encode(chosen["Text"])
    return Tokens(made_up.about, ids, chosen["Label"].to_numpy(np.int64), made_up.cuts)


def trained(
    row: Settings, tokens: Tokens, machine: Device, weights: Path | None = None, seed: int = SEED
) -> Found:
    """A whole run as a job makes it, with an empty cache of hidden states."""
    lines = tokens.lines(None)
    plan = schedule(seed, bench.MESSAGES, row.training)
    reset_peak()
    with tempfile.TemporaryDirectory() as name:
        begin, cache = machine.clock(), Cache(Path(name), 10)
        layers = bench.frozen(row, machine, seed)
        made = run.prepare(row, seed, tokens, lines, weights, layers, cache, machine)
        preparing = machine.clock() - begin
        done = made.loop.train(plan, Unsaved(machine))
        answers = {
            name: Predictions.of(
                own, tokens.labels[own], made.loop.logits(name, range(len(own))).cpu().numpy()
            )
            for name, own in lines.items()
        }
    return {
        "training_time_seconds": done.seconds + made.frozen_seconds,
        "frozen_seconds": made.frozen_seconds,
        "seconds_per_step": done.seconds / len(plan.steps),  # with its share of evaluations
        # weights drawn and moved, and the hidden states of what training does not read
        "other_seconds": preparing - made.frozen_seconds,
        "peak_memory_bytes": machine.peak_memory_bytes(),
        "accuracy": to_builtins(run._accuracy(answers, plan)),
        "losses": to_builtins(done.losses),
        "epoch_accuracy": to_builtins(done.accuracies),
    }


def reset_peak() -> None:
    """Begins a new count of a GPU's memory; a process on a CPU has one peak."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def parity(o: argparse.Namespace, results: Results) -> None:
    """Every golden run, or those that have the name of a row that is asked for."""
    if not (o.reference and o.mirror):
        results.add({"skipped": "needs --reference and --mirror"}, dict)
        return
    tokens = texts(o)
    golden = json.loads((o.reference / "golden.json").read_text())["runs"]
    with tempfile.TemporaryDirectory() as name:
        called([sys.executable, str(o.reference / "make_nano.py"), name])
        for machine in machines(o, ["float32", "tf32"]):
            for run in [run for run in golden if not o.rows or run in o.rows]:
                expected = golden[run]
                folder = Path(name) / expected["model"]
                about = {"run": run, "precision": machine.precision}
                results.add(about, off, o.epochs, expected, folder, tokens, machine)


def off(epochs: int, expected: Found, folder: Path, tokens: Tokens, machine: Device) -> Found:
    """How far from the reference's digits a run is; only of the epochs that are asked for."""
    config = json.loads((folder / "config.json").read_text())
    dimensions = Dimensions(**{name: config[name] for name in NAMES})
    options = {"weights": "pretrained", "learning_rate": 5e-4, "dimensions": dimensions}
    options["epochs"] = min(epochs, len(expected["epoch_accuracy"]))
    baseline = bench.rows(["nano"] * 4, machine.precision)["baseline"]
    row = bench.changed(baseline, **options | expected["overrides"])
    checkpoint.write_manifest(folder, files.sha256(folder / "model.safetensors"), dimensions)
    weights = folder if row.weights == "pretrained" else None
    found = trained(row, tokens, machine, weights, expected.get("seed", SEED))

    losses = {
        ours["step"]: max(abs(ours[name] - theirs[name]) for name in theirs)
        for ours, theirs in zip(found["losses"], expected["history"], strict=False)
    }
    accuracies = list(zip(found["epoch_accuracy"], expected["epoch_accuracy"], strict=False))
    if epochs >= len(expected["epoch_accuracy"]) and "accuracy" in expected:
        accuracies.append((found["accuracy"], expected["accuracy"]))
    largest = max(losses.values())
    return {
        "largest_loss_difference": largest,
        "digits": math.floor(-math.log10(max(largest, 5e-7))),  # the reference's have six
        "loss_difference_by_step": losses,
        "largest_accuracy_difference": max(
            abs(ours[name] - theirs[name]) for ours, theirs in accuracies for name in theirs
        ),
    }


def determinism(o: argparse.Namespace, results: Results) -> None:
    """Rows and, once for those that share it, their trunk."""
    torch.use_deterministic_algorithms(o.part == "deterministic")
    tokens = texts(o)
    for machine in machines(o, ["tf32", "bfloat16"]):
        chosen = rows(o, o.rows or bench.ROWS, machine)
        trunk_of = bench.trunks(chosen)
        for row in chosen:
            about = {"row": row.row, "precision": machine.precision}
            results.add(about | {"part": "steps"}, steps_twice, row, tokens, machine)
            if cut.trunk(row, SEED) and trunk_of[row.row] == row.row:
                results.add(about | {"part": "trunk"}, trunk_twice, row, tokens, machine)


def steps_twice(row: Settings, tokens: Tokens, machine: Device) -> Found:
    """From the same weights, after a round that warms up."""
    loop = bench.Tail(row, tokens, machine).prepared.loop
    steps = bench.typical(row, tokens, bench.MANY)
    plan = Schedule(steps, len(steps), {}, {}, [])
    start = {name: each.clone() for name, each in loop.tail.state_dict().items()}
    found = []
    for _ in range(3):
        loop.tail.load_state_dict(start)
        seconds = loop.train(plan, Unsaved(machine)).seconds
        weights = [each.detach().clone() for each in loop.tail.parameters() if each.requires_grad]
        found = [*found[-1:], [*weights, loop.logits("validation", range(149))]]
    return compared(*found) | {"steps": len(steps), "seconds_per_step": seconds / len(steps)}


def trunk_twice(row: Settings, tokens: Tokens, machine: Device) -> Found:
    """Its first batches and its last."""
    trunk = bench.Trunk(row, tokens, machine)
    parts = [*trunk.parts[:3], trunk.parts[-1]]
    outputs = (trunk.layers, trunk.inputs, parts, machine)
    return compared(*(list(forward(*outputs)) for _ in range(2)))


def compared(one: list[Tensor], other: list[Tensor]) -> Found:
    """Whether all bits are the same, and how far they are apart."""
    pairs = list(zip(one, other, strict=True))
    return {
        "same_bits": all(torch.equal(*pair) for pair in pairs),
        "largest_difference": max(float((a - b).abs().max()) for a, b in pairs),
        "tensors_that_differ": f"{sum(not torch.equal(*pair) for pair in pairs)} of {len(pairs)}",
    }


def speed(o: argparse.Namespace, results: Results) -> None:
    """Ours once to load what the device has not run before, and then so many rounds."""
    tokens, kind = texts(o), "cuda" if torch.cuda.is_available() else "cpu"
    start = f"import torch; x = torch.ones(9, 9, device={kind!r}); (x @ x).cpu()"
    results.add({"what": "Python, PyTorch and a first product"}, start_up, start)
    for machine in machines(o, ["tf32", "bfloat16", "float32"]):
        about, side = {"precision": machine.precision}, SIDE if kind == "cuda" else bench.SIDE // 4
        rate = results.add(about | {"what": f"product, side {side}"}, product, machine, side)
        ids = o.rows or bench.PUBLISHED
        if kind == "cuda" and machine.precision == "float32" and not o.precisions:
            ids = ["random-weights"]  # for its accuracy
        for row in rows(o, ids, machine):
            about["row"] = row.row
            for round in range(1 + o.rounds):
                numbered = about | {"loop": "ours", "round": round}
                results.add(numbered, whole_run, row, tokens, machine, rate)
            for loop in ("plain", "transformers"):
                if (loop, row.trainable_layers) != ("transformers", "lora"):  # which it has not
                    results.add(
                        about | {"loop": loop}, scaled, row, loop, tokens, machine, o.rounds
                    )


def start_up(program: str) -> Found:
    """What a job needs before it computes; its wall_seconds."""
    called([sys.executable, "-c", program])
    return {}


def product(machine: Device, side: int) -> Found:
    """The card's own rate."""
    return {"operations_per_second": bench.product_rate(machine, side)}


def whole_run(row: Settings, tokens: Tokens, machine: Device, rate: Found) -> Found:
    """Ours, and its trunk's or, where all layers train, its steps' operations as a share of it."""
    found = trained(row, tokens, machine)
    if trunk := cut.trunk(row, SEED):
        operations, seconds = trunk_operations(row, trunk, tokens), found["frozen_seconds"]
    else:
        operations = bench.trained_operations(row, tokens)
        seconds = found["training_time_seconds"]
    if row.trainable_layers != "lora" and "operations_per_second" in rate:
        found["share_of_product_rate"] = operations / seconds / rate["operations_per_second"]
    return found


def trunk_operations(row: Settings, trunk: Trunk, tokens: Tokens) -> float:
    """Of what counts as training time: the training texts' and a share of the validation's."""
    found = sequences(tokens, row.input)
    share = run.timed_share(found, tokens.lines(None), row.training)
    read, average = share * found.lengths.sum(), found.lengths.mean()
    return trunk.blocks * float(read) * needs._per_token(row.dimensions, average)


def scaled(row: Settings, which: str, tokens: Tokens, machine: Device, rounds: int) -> Found:
    """A loop that recomputes everything: some steps and evaluations, scaled to a run's."""
    loop = bench.Loop(row, which, tokens, machine)
    loop.steps = bench.typical(row, tokens, bench.MANY)
    _, *seconds = [loop.seconds() for _ in range(1 + rounds)]  # the first warms up
    return {"training_time_seconds": statistics.median(seconds)}


def memory(o: argparse.Namespace, results: Results) -> None:
    """Small micro batches first, since the peak of a process on a CPU never falls."""
    tokens = texts(o)
    for machine in machines(o, ["tf32", "bfloat16"]):
        for row in rows(o, ["xl-all-layers", "xl-lora"], machine):
            loop = bench.Tail(row, tokens, machine).prepared.loop
            steps = [batch for update in bench.updates(row, tokens)[-2:] for batch in update]
            for size in (1, 2, 4, None):
                smaller = replace(loop, training=structs.replace(row.training, micro_batch=size))
                about = {"row": row.row, "precision": machine.precision, "micro_batch": size}
                results.add(about, peak, smaller, steps)
            del loop, smaller


def peak(loop: Loop, steps: list[list[int]]) -> Found:
    """Of two updates, and then with a split that is classified."""
    reset_peak()
    loop.train(Schedule(steps, len(steps), {}, {}, []), Unsaved(loop.machine))
    training = loop.machine.peak_memory_bytes()
    loop.logits("validation", range(149))
    return {"training_bytes": training, "all_bytes": loop.machine.peak_memory_bytes()}


PARTS = {
    "workflow": gpu_workflow.workflow,
    "parity": parity,
    "determinism": determinism,
    "deterministic": determinism,
    "speed": speed,
    "memory": memory,
    "estimates": gpu_workflow.estimates,
}


def about(o: argparse.Namespace) -> Found:
    """The machine, the versions, and what was asked for."""
    found = {"device": device.current("auto", o.threads).name, "torch": str(torch.__version__)}
    found |= {"python": sys.version, "texts": "real" if o.mirror else "made up"}
    if torch.cuda.is_available():
        query = "nvidia-smi --query-gpu=driver_version,memory.total --format=csv,noheader"
        with contextlib.suppress(OSError, RuntimeError):
            found |= {"driver, memory": called(query.split()).strip()}
    return found | {"asked": {name: str(each) for name, each in vars(o).items()}}


def main() -> None:
    """The command line: each part as a process of this program that gets its name."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=9, help="for each part, then it is ended")
    parser.add_argument("--mirror", type=Path, help="a folder that holds the real collection")
    parser.add_argument("--reference", type=Path, help="one with golden.json and make_nano.py")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--sizes", nargs=4, choices=bench.SIZES, default=bench.ROLES)
    of_rows = "else eight; of determinism all"
    parser.add_argument("--rows", nargs="+", choices=bench.ROWS, help=of_rows)
    parser.add_argument("--precisions", nargs="+", help="instead of a part's own")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.part:
        if o.device == "cuda" and not torch.cuda.is_available():
            parser.error("PyTorch sees no CUDA device; --device cpu tries the program itself")
        keep_freed_memory()
        PARTS[o.part](o, Results(o.output / f"{o.part}.json", about(o)))
        return
    o.output.mkdir(parents=True, exist_ok=True)
    # without the second, cuBLAS refuses to be deterministic
    variables = {"CUDA_VISIBLE_DEVICES": ""} if o.device == "cpu" else {}
    cublas = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    for part in o.parts:
        extra = variables | (cublas if part == "deterministic" else {})
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        process = subprocess.Popen(command, env=os.environ | extra, start_new_session=True)
        try:
            print(f"{part}: ended with {process.wait(60 * o.minutes)}", flush=True)
        except subprocess.TimeoutExpired:
            print(f"{part}: stopped after {o.minutes:g} minutes", flush=True)
        finally:
            gpu_workflow.end(process)


if __name__ == "__main__":
    main()
