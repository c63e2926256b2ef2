"""The recipe protects itself: every option against the plain loop, which shares none of our code.

bench/plain.py recomputes every layer at every step and position, with PyTorch's own loaders and
optimizer. Whatever combination of options a row has, every loss, accuracy and prediction of ours
must be the plain loop's. Needs nothing outside the repository.
"""

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import plain
import runs
from ablations.data import tokens
from ablations.data.cuts import folds
from ablations.study import dimensions
from ablations.study.dataset import SPLITS
from ablations.study.dimensions import Dimensions
from texts import as_tokens

NANO = Dimensions(n_layer=3, n_head=2, n_embd=8, n_positions=16, vocab_size=257)
CLASSES = ("one", "two", "three")
DEFAULTS = runs.RECIPE | {"context_length": "longest_training_example"}

Options = dict[str, Any]


def messages(seed: int, shortest: int, empty: bool) -> dict[str, list[np.ndarray]]:
    """Random messages of up to 11 tokens; some are equal, some only begin alike, one is empty."""
    draw = np.random.default_rng(seed)
    found = {}
    for split, count in {"train": 22, "validation": 9, "test": 7}.items():
        ids = [draw.integers(0, 256, draw.integers(shortest, 12), np.int32) for _ in range(count)]
        ids[3], ids[5] = ids[1], np.concatenate([ids[2], ids[4]])[:11]
        found[split] = ids
    if empty:
        found["train"][7] = found["test"][2] = np.zeros(0, np.int32)
    return found


def labels_of(ids: Mapping[str, Sequence[np.ndarray]]) -> dict[str, np.ndarray]:
    """Three classes, each among the first texts, so that the fewest to train on hold them all."""
    return {
        split: np.array([*range(3), *(len(i) % 3 for i in found[3:])], np.int64)
        for split, found in ids.items()
    }


def both(folder: Path, options: Options, seed: int = 1) -> tuple[dict[str, Any], plain.Result]:
    """The same run by the workflow's program and by the plain loop."""
    # Alone in a batch, the first of several tokens gives query and key gradients of zero, which the
    # plain loop's attention rounds to 1e-8; AdamW makes a step of that. So does an empty message
    # whose padding is masked: one token.
    alone = options.get("batch_size") == 1
    unpadded = options.get("context_length") == "variable"
    empty = not unpadded and not (alone and options.get("mask_padding"))
    ids = messages(seed, 2 if alone else 1, empty)
    labels = labels_of(ids)
    runs.write_tokens(folder, ids, labels, CLASSES)
    manifest = runs.write_checkpoint(folder, NANO)
    return trained(folder, options), plain_run(
        options, ids, labels, load_file(manifest.parent / "model.safetensors")
    )


def trained(folder: Path, options: Options, *more: str) -> dict[str, Any]:
    """What the workflow's program makes of a row."""
    return runs.train_options(folder, DEFAULTS | options, NANO, *more)


def plain_run(
    options: Options,
    ids: Mapping[str, Sequence[np.ndarray]],
    labels: Mapping[str, Any],
    tensors: Mapping[str, Any],
) -> plain.Result:
    """What the plain loop makes of it."""
    chosen = DEFAULTS | options
    chosen.pop("micro_batch", None)  # says how and not what
    recipe = plain.Recipe(**chosen)
    shape = plain.Shape(**{name: getattr(NANO, name) for name in dimensions.NAMES})
    return plain.train(
        recipe,
        shape,
        *runs.as_lists(ids, labels),
        padding_id=256,
        classes=len(CLASSES),
        seed=runs.SEED,
        tensors=tensors if recipe.weights == "pretrained" else None,
    )


VARIABLE = {"context_length": "variable", "batch_size": 1}
# Of each a run has one; the first is the default.
CHOICES: list[list[Options]] = [
    [{}, {"weights": "random"}],
    [{}, {"trainable_token": "first"}, {"trainable_token": "flexible"}],
    [
        {},
        {"trainable_layers": "last_layer"},
        {"trainable_layers": "last_two_blocks"},
        {"trainable_layers": "all"},
        {"trainable_layers": "lora"},
        {"trainable_layers": 2},
        {"trainable_layers": "lora", "lora_blocks": 1},
    ],
    [{}, {"context_length": "model_context_length"}, {"context_length": 5}, VARIABLE],
    [{}, {"batch_size": 5}],
    [{}, {"accumulation_steps": 3}],
    [{}, {"causal_mask": False}],
    [{}, {"average_embeddings": True}],
    [{}, {"mask_padding": True}],
    [{}, {"ignore_index": 50256}],
    [{}, {"micro_batch": 3}],
    [{}, {"weight_decay": 0.0}],
    [{}, {"train_size": 9}],
    [{}, {"epochs": 1, "eval_every": 1, "eval_batches": 1}],
]
ALONE = [{}, *(option for choice in CHOICES for option in choice[1:])]
NAMED: list[Options] = [  # what users of the later rows combine
    {"trainable_layers": "lora", "weights": "random", "trainable_token": "first"},
    {"trainable_layers": "lora", "lora_rank": 3, "lora_alpha": 2},
    {"trainable_layers": "lora", "lora_blocks": 2, "weights": "random"},
    {"trainable_layers": 3, "trainable_token": "first"},
    {"trainable_layers": 3, "average_embeddings": True, "causal_mask": False, "train_size": 8},
    {"causal_mask": False, "trainable_token": "first"},
    {"causal_mask": False, "trainable_token": "flexible"},
    {"trainable_token": "flexible", "context_length": 5},
    {**VARIABLE, "trainable_layers": "last_two_blocks", "accumulation_steps": 4},
    {**VARIABLE, "causal_mask": False, "average_embeddings": True, "accumulation_steps": 4},
    {"average_embeddings": True, "trainable_layers": "last_layer"},
    {"mask_padding": True, "causal_mask": False, "trainable_layers": "last_two_blocks"},
    {"mask_padding": True, "causal_mask": False, "average_embeddings": True, "context_length": 5},
    {"average_embeddings": True, "causal_mask": False, "trainable_layers": "lora"},
    {"trainable_layers": "all", "trainable_token": "flexible", "accumulation_steps": 2},
]


Value = tuple[int, int]  # the number of a choice, and of one of its options


def refused(one: Options, other: Options) -> bool:
    """Whether a study may not have these two options in a row."""
    both = one | other
    mean_of_one = both.get("average_embeddings") and both.get("trainable_token") == "flexible"
    return bool(one.keys() & other.keys() or mean_of_one)


def runs_with_every_pair() -> list[Options]:
    """Few runs that have every two options which are not refused together, found greedily."""
    values = [(choice, n) for choice, options in enumerate(CHOICES) for n in range(len(options))]

    def together(one: Value, other: Value) -> bool:
        options, more = (CHOICES[choice][n] for choice, n in (one, other))
        return one[0] != other[0] and not refused(options, more)

    left = {pair for pair in itertools.combinations(values, 2) if together(*pair)}
    found = []
    while left:
        run = list(min(left))
        while fitting := [value for value in values if all(together(value, has) for has in run)]:
            new = [len(left & {tuple(sorted((value, has))) for has in run}) for value in fitting]
            run.append(fitting[new.index(max(new))])
        assert len(run) == len(CHOICES)
        left -= set(itertools.combinations(sorted(run), 2))
        found.append({key: it for choice, n in run for key, it in CHOICES[choice][n].items()})
    return found


@pytest.mark.parametrize("options", ALONE + NAMED, ids=str)
def test_every_option_is_the_plain_loops(options: Options, tmp_path: Path) -> None:
    runs.assert_same(*both(tmp_path, options))


@pytest.mark.parametrize("options", runs_with_every_pair(), ids=str)
def test_every_pair_of_options_is_the_plain_loops(options: Options, tmp_path: Path) -> None:
    runs.assert_same(*both(tmp_path, options))


@pytest.mark.parametrize("options", [{}, {"trainable_layers": "lora", "train_size": 12}], ids=str)
@pytest.mark.parametrize("fold", [1, 2, 3])
def test_a_fold_is_the_plain_loop_on_its_own_texts(
    fold: int, options: Options, tmp_path: Path
) -> None:
    found = messages(seed=2, shortest=1, empty=True)
    ids = [text for split in ("train", "validation", "test") for text in found[split]]
    ids[0] = np.resize(ids[0], 13)  # the longest is no training text of the first fold
    labels, part = np.array([len(i) % 3 for i in ids]), np.array_split(np.arange(len(ids)), 3)
    ring = folds(pd.DataFrame({"Label": labels, "Text": map(str, ids)}), 3, 0.2, False, False)
    columns = [f"fold-{number}" for number in (1, 2, 3)]
    cuts = {name: ring[name].map(SPLITS.index).to_numpy(np.int8) for name in columns}
    about = as_tokens({split: [] for split in SPLITS}, classes=CLASSES).about
    tokens.write(tmp_path / "tokens.safetensors", tokens.Tokens(about, ids, labels, cuts))
    manifest = runs.write_checkpoint(tmp_path, NANO)

    after = np.roll(np.arange(len(ids)), -(part[fold - 1][-1] + 1))[: -len(part[fold - 1])]
    size = int(0.2 * len(ids))
    own = {"train": after[size:], "validation": after[:size], "test": part[fold - 1]}
    expected = plain_run(
        # the length is that of all texts, which are training texts of some fold
        {**options, "context_length": max(map(len, ids))},
        {split: [ids[line] for line in lines] for split, lines in own.items()},
        {split: labels[lines] for split, lines in own.items()},
        load_file(manifest.parent / "model.safetensors"),
    )
    most = {"train": options.get("train_size")}
    for split, logits in expected.logits.items():
        lines = own[split][: most.get(split)]
        expected.logits[split] = logits[np.argsort(lines)]  # as they are read back
    ours = trained(tmp_path, options, "--fold", str(fold))
    assert (ours["fold"], ours["context_tokens"]) == (fold, max(map(len, ids)))
    with (tmp_path / "run/predictions.csv").open(newline="") as file:
        tested = [int(line["index"]) for line in csv.DictReader(file) if line["split"] == "test"]
    assert tested == part[fold - 1].tolist()
    in_order = {
        split: np.array(logits)[np.argsort(own[split][: most.get(split)])]
        for split, logits in ours["logits"].items()
    }
    runs.assert_same(ours | {"logits": in_order}, expected)


@st.composite
def any_options(draw: st.DrawFn) -> Options:
    options: Options = {
        "weights": draw(st.sampled_from(["pretrained", "random"])),
        "trainable_token": draw(st.sampled_from(["last", "first", "flexible"])),
        "trainable_layers": draw(
            st.sampled_from(["last_layer", "last_block", "last_two_blocks", "all", "lora", 1, 3])
        ),
        "context_length": draw(
            st.sampled_from(["longest_training_example", "model_context_length", "variable", 1, 7])
        ),
        "batch_size": draw(st.sampled_from([1, 3, 4])),
        "accumulation_steps": draw(st.sampled_from([1, 1, 2, 5])),
        "causal_mask": draw(st.booleans()),
        "average_embeddings": draw(st.booleans()),
        "mask_padding": draw(st.booleans()),
        "epochs": draw(st.sampled_from([1, 2])),
        "eval_every": draw(st.sampled_from([2, 5])),
        "lora_rank": draw(st.sampled_from([1, 4])),
        "lora_blocks": draw(st.sampled_from([None, None, 1, 2, 3])),
        "train_size": draw(st.sampled_from([None, None, 4, 13, 22])),
    }
    if options["context_length"] == "variable":
        options["batch_size"] = 1
    if options["average_embeddings"] and options["trainable_token"] == "flexible":
        options["trainable_token"] = "last"
    return options


@settings(
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(options=any_options(), seed=st.integers(0, 1000))
def test_any_options_are_the_plain_loops(
    options: Options, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    runs.assert_same(*both(tmp_path_factory.mktemp("any"), options, seed))
