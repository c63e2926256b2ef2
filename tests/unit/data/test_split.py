"""The collection, its balance and split, and the CSV files that give every text back."""

import io
import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.data import tokens
from ablations.data.split import SPLITS, balanced, read_split, split, write_split
from ablations.data.texts import read
from ablations.errors import UserError
from ablations.files import write_json
from ablations.sources import manifest
from ablations.study.dataset import Reading
from commands import program
from texts import SMS, SPLIT, file, run_split, sms_collection

CLASSES = ("ham", "spam")

AWKWARD = [
    "",
    " ",
    " \t ",
    "\n",
    "\r",
    "a\r\nb",
    '"',
    '""quoted"" and "open',
    "a\tb",
    "a,b;c",
    "a\0b",
    "\0",
    "NA",
    "null",
    "nan",
    "-1",
    "1e5",
    "True",
    "#N/A",
    "<|endoftext|>",
    "\ufeffmark",
    "\u2028\x85\x1a",
    "🙂👩\u200d👩\u200d👧 ü £",
    "'; DROP TABLE messages; -- $(touch pwned) `touch pwned` {0} %s \\n",
    "x" * 100_000,
    '"' * 100_000,
    "\n" * 100_000,
]


def lines(*pairs: tuple[str, str]) -> str:
    return "".join(f"{label}\t{text}\n" for label, text in pairs)


def collection(ham: int, spam: int) -> str:
    return lines(
        *(("ham", f"hello {i}") for i in range(ham)), *(("spam", f"win {i}") for i in range(spam))
    )


# --- the published recipe


def test_real_collection_is_split_as_published(tmp_path):
    real = sms_collection(tmp_path)
    done = run_split(tmp_path / "data", file(real, format="tsv"))
    assert done.returncode == 0, done.stderr
    assert "5572 texts: 4825 ham, 747 spam" in done.stderr
    assert "1494 after balancing" in done.stderr

    frame = pd.read_csv(real, sep="\t", header=None, names=["Label", "Text"])
    ham, spam = frame[frame.Label == "ham"], frame[frame.Label == "spam"]
    both = pd.concat([ham.sample(747, random_state=123), spam])
    for _ in range(2):
        both = both.sample(frac=1, random_state=123).reset_index(drop=True)
    expected = {"train": both[:1045], "validation": both[1045:1194], "test": both[1194:]}
    for name, part in expected.items():
        labels, texts = read_split(tmp_path / "data" / f"{name}.csv")
        assert texts == part.Text.tolist()
        assert labels == [{"ham": 0, "spam": 1}[label] for label in part.Label]


def test_split_files_have_the_columns_label_and_text(tmp_path):
    (tmp_path / "collection.tsv").write_text(collection(30, 20))
    run_split(tmp_path / "data", tmp_path / "collection.tsv")
    for name, rows in zip(SPLITS, (28, 4, 8), strict=True):
        path = tmp_path / f"data/{name}.csv"
        assert path.read_text().startswith("Label,Text\n")
        frame = pd.read_csv(path)
        assert list(frame) == ["Label", "Text"] and len(frame) == rows
        assert set(frame.Label) <= {0, 1}
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "classes.json", "notes.json", "test.csv", "train.csv", "validation.csv",
    ]  # fmt: skip
    assert json.loads((tmp_path / "data/classes.json").read_text()) == ["ham", "spam"]
    assert json.loads((tmp_path / "data/notes.json").read_text()) == []


# --- balance and cuts


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_balance_takes_as_many_of_each_class_and_none_twice(ham, spam, seed):
    pairs = [(0, f"h{i}") for i in range(ham)] + [(1, f"s{i}") for i in range(spam)]
    chosen = balanced(pd.DataFrame(pairs, columns=["Label", "Text"]), CLASSES, seed)
    found = list(chosen.itertuples(index=False, name=None))
    assert len(set(found)) == len(found) and set(found) <= set(pairs)
    assert chosen["Label"].tolist().count(0) == chosen["Label"].tolist().count(1) == min(ham, spam)


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_balance_takes_as_many_of_each_of_three_classes(more, seed):
    labels = [0, 1, 2, *more]
    names = ("question", "answer", "neither")
    counts = [labels.count(label) for label in range(3)]
    texts = pd.DataFrame({"Label": labels, "Text": [f"{i}" for i in range(len(labels))]})
    chosen = balanced(texts, names, seed)
    assert chosen["Label"].value_counts().to_dict() == dict.fromkeys(range(3), min(counts))
    found = list(chosen.itertuples(index=False, name=None))
    assert len(set(found)) == len(found)
    assert set(found) <= set(texts.itertuples(index=False, name=None))
    assert chosen.index.tolist() == list(range(len(chosen)))
    pd.testing.assert_frame_equal(balanced(texts, names, seed), chosen)


def test_a_third_class_that_is_larger_does_not_change_what_the_others_give():
    """Each class is sampled on its own, from the seed alone."""
    two = pd.DataFrame({"Label": [0] * 9 + [1] * 5, "Text": [f"{i}" for i in range(14)]})
    more = pd.DataFrame({"Label": [2] * 30, "Text": [f"third {i}" for i in range(30)]})
    three = balanced(pd.concat([two, more], ignore_index=True), ("a", "b", "c"), 7)
    kept = set(three["Text"][three["Label"] < 2])
    assert kept == set(balanced(two, ("a", "b"), 7)["Text"])


def test_three_classes_are_split_and_encoded_by_label(tmp_path):
    labels = [0, 1, 2] * 20
    texts = pd.DataFrame({"Label": labels, "Text": [f"text {i}" for i in range(60)]})
    parts = split(balanced(texts, ("a", "b", "c"), 1), {"train": 0.5, "validation": 0.2}, "test", 1)
    for name, part in parts.items():
        write_split(tmp_path / f"{name}.csv", part["Label"].tolist(), part["Text"].tolist())
    write_json(tmp_path / "classes.json", ("a", "b", "c"))
    manifest.write(tmp_path / "collection.json", [file(tmp_path / "train.csv")])
    done = program(
        "data.encode", "--tokenizer", "bytes", "--data-dir", tmp_path,
        "--collection", tmp_path / "collection.json", "--output", tmp_path / "tokens.safetensors",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = tokens.read(tmp_path / "tokens.safetensors")
    assert read.about.classes == ("a", "b", "c")
    for name, part in parts.items():
        assert read.labels[name].tolist() == part["Label"].tolist()
        assert [bytes(ids.tolist()).decode() for ids in read.ids[name]] == part["Text"].tolist()
    assert set(np.concatenate(list(read.labels.values()))) == {0, 1, 2}


@given(
    st.integers(4, 200),
    st.floats(0.01, 0.98),
    st.floats(0.01, 0.98),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=50, deadline=None)
def test_splits_are_a_partition_cut_at_whole_messages(n, train, validation, seed):
    messages = pd.DataFrame({"Label": [0] * n, "Text": [str(i) for i in range(n)]})
    sizes = [int(n * train), int(n * validation)]
    shares = {"train": train, "validation": validation}
    if min(*sizes, n - sum(sizes)) <= 0:
        with pytest.raises(UserError, match=r"the (train|validation|test) split is empty"):
            split(messages, shares, "test", seed)
        return
    parts = split(messages, shares, "test", seed)
    assert [len(parts[name]) for name in SPLITS] == [*sizes, n - sum(sizes)]
    texts = [text for part in parts.values() for text in part["Text"]]
    assert sorted(texts) == sorted(messages["Text"])


def test_another_seed_gives_another_split_and_the_same_seed_the_same_bytes(tmp_path):
    (tmp_path / "collection.tsv").write_text(collection(40, 30))
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        dataset = SMS | {"split": SPLIT | {"seed": seed}}
        run_split(tmp_path / folder, tmp_path / "collection.tsv", dataset=dataset)
    a, b, c = ((tmp_path / folder / "train.csv").read_bytes() for folder in "abc")
    assert a == b != c


# --- any text survives


@given(st.lists(st.tuples(st.integers(0, 1), st.text() | st.sampled_from(AWKWARD)), max_size=20))
@settings(max_examples=150, deadline=None)
def test_split_files_give_back_what_was_written(tmp_path_factory, pairs):
    path = tmp_path_factory.getbasetemp() / "split.csv"
    labels, texts = [label for label, _ in pairs], [text for _, text in pairs]
    write_split(path, labels, texts)
    assert read_split(path) == (labels, texts)


def test_all_awkward_texts_survive_together(tmp_path):
    labels = [i % 2 for i in range(len(AWKWARD))]
    write_split(tmp_path / "split.csv", labels, AWKWARD)
    assert read_split(tmp_path / "split.csv") == (labels, AWKWARD)


@given(st.text(alphabet="ab\" ,'\n", max_size=30))
@settings(max_examples=150, deadline=None)
def test_collection_is_read_with_pandas_default_quoting(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "collection.tsv"
    content = f"ham\tfirst\nham\t{text}\nspam\tlast\n"
    path.write_text(content)
    reading = msgspec.convert(SMS, Reading)
    try:
        frame = pd.read_csv(io.StringIO(content), sep="\t", header=None, keep_default_na=False)
        expected = frame.to_numpy().tolist() if (frame[[0, 1]] != "").all(axis=None) else None
    except ValueError:
        expected = None
    if expected is None:
        with pytest.raises(UserError):
            list(read(file(path), reading))
    else:
        assert [[each.label, each.text] for each in read(file(path), reading)] == expected


def test_awkward_messages_go_through_the_command_line_unharmed(tmp_path):
    kept = [text for text in AWKWARD if text and not set(text) & set('"\t\n\r')]
    quoted = ['"a\tb\nc\rd ""e"" f"', '"""all of it"""', 'in the "middle"']
    pairs = [("ham", text) for text in kept + quoted] + [
        ("spam", text[::-1]) for text in [*kept, "x", "y", "z"]
    ]
    source = tmp_path / "collection.tsv"
    source.write_bytes(lines(*pairs).encode())
    dataset = SMS | {"split": {"train": 0.5, "validation": 0.2, "seed": 123}}
    done = run_split(tmp_path / "data", source, dataset=dataset)
    assert done.returncode == 0, done.stderr
    found = [
        pair
        for name in SPLITS
        for pair in zip(*read_split(tmp_path / "data" / f"{name}.csv"), strict=True)
    ]
    expected = [(0, text) for text in kept]
    expected += [(0, 'a\tb\nc\rd "e" f'), (0, '"all of it"'), (0, 'in the "middle"')]
    expected += [(1, text[::-1]) for text in kept] + [(1, "x"), (1, "y"), (1, "z")]
    assert sorted(found) == sorted(expected)
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("pwned").exists()


# --- mistakes are one message, and leave nothing


@pytest.mark.parametrize("content", [None, b"", b"Label\n1\n", b"Label,Text\nspam,a\n"])
def test_bad_split_file_is_a_message_that_names_it(tmp_path, content):
    path = tmp_path / "train.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"train\.csv"):
        read_split(path)
