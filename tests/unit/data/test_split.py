"""Texts from files to the three splits, and the CSV files that give every text back."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.data import collection, tokens
from ablations.data import split as stage
from ablations.errors import UserError
from commands import program
from texts import SMS, SPLIT, file, read_splits, run_split, sms_collection, split_arguments

REVIEWS = {"text": "review", "label": "stars"}
CUT = REVIEWS | {"split": {"train": 0.5, "validation": 0.2, "seed": 1}}

AWKWARD = [
    *("", " ", " \t ", "\n", "\r", "a\r\nb", '"', '""quoted"" and "open', "a\tb", "a,b;c", "a\0b"),
    *("\0", "NA", "null", "nan", "-1", "1e5", "True", "#N/A", "<|endoftext|>", "\ufeffmark"),
    *("\u2028\x85\x1a", "🙂👩\u200d👩\u200d👧 ü £"),
    "'; DROP TABLE messages; -- $(touch pwned) `touch pwned` {0} %s \\n",
    *("x" * 100_000, '"' * 100_000, "\n" * 100_000),
]


def rows(*stars: object) -> str:
    lines = "".join(f"text {number},{label}\n" for number, label in enumerate(stars))
    return f"review,stars\n{lines}"


def written(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def run_stage(folder: Path, *given: Any, dataset: dict[str, Any]) -> None:
    """The program, in this process."""
    arguments = split_arguments(folder, *given, dataset=dataset)
    stage.main(stage.parser().parse_args(list(map(str, arguments))))


def splits(folder: Path) -> dict[str, tuple[list[int], list[str]]]:
    return read_splits(folder / "texts.csv")


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
    for name, (labels, texts) in splits(tmp_path / "data").items():
        assert texts == expected[name].Text.tolist()
        assert labels == expected[name].Label.map({"ham": 0, "spam": 1}).tolist()


def test_what_is_written_and_that_another_seed_gives_another_split(tmp_path):
    texts = [("ham", f"hello {i}") for i in range(30)] + [("spam", f"win {i}") for i in range(20)]
    source = written(tmp_path / "a.tsv", "".join(f"{label}\t{text}\n" for label, text in texts))
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_stage(tmp_path / folder, source, dataset=SMS | {"split": SPLIT | {"seed": seed}})
    a, b, c = ((tmp_path / folder / "texts.csv").read_bytes() for folder in "abc")
    assert a == b != c and a.startswith(b"Label,Text,split\n")
    frame = pd.read_csv(tmp_path / "a/texts.csv")
    assert frame["split"].tolist() == ["train"] * 28 + ["validation"] * 4 + ["test"] * 8
    assert set(frame.Label) == {0, 1}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [
        "classes.json", "notes.json", "texts.csv",
    ]  # fmt: skip
    assert json.loads((tmp_path / "a/classes.json").read_text()) == ["ham", "spam"]
    assert json.loads((tmp_path / "a/notes.json").read_text()) == []


def noted(folder: Path) -> list[str]:
    found: list[str] = json.loads((folder / "notes.json").read_text())
    return found


def test_what_balancing_leaves_of_a_collection_is_told_where_it_is_little(tmp_path, caplog):
    few = written(tmp_path / "few.csv", rows(*"a" * 40, *"b" * 40, *"c" * 6))
    run_stage(tmp_path / "few", few, dataset=CUT | {"balance": True, "stratify": True})
    said = "Balanced: 18 of 86 texts are used, as many of each class as 'c' has (6)."
    assert noted(tmp_path / "few") == [said]
    assert said in [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    enough = written(tmp_path / "enough.csv", rows(*"a" * 40, *"b" * 40, *"c" * 9))
    run_stage(tmp_path / "enough", enough, dataset=CUT | {"balance": True, "stratify": True})
    run_stage(tmp_path / "all", few, dataset=CUT | {"stratify": True})
    assert noted(tmp_path / "enough") == noted(tmp_path / "all") == []


def test_the_same_text_with_two_labels_is_a_note(tmp_path):
    content = rows(*"ab" * 20) + "text 1,a\ntext 1,b\ntext 4,a\ntext 3,a\n"
    path = written(tmp_path / "a.csv", content)
    run_stage(tmp_path / "data", path, dataset=CUT | {"stratify": True})
    (note,) = noted(tmp_path / "data")
    assert note.startswith("2 texts stand there with more than one label, such as 'text ")
    assert "'a' in a.csv: line " in note and "'b' in a.csv: line " in note
    one = written(tmp_path / "b.csv", rows("a", "b", *"ab" * 20) + "text 1,a\n")
    run_stage(tmp_path / "one", one, dataset=CUT | {"stratify": True})
    (note,) = noted(tmp_path / "one")
    assert note.startswith("1 text stands there with more than one label, such as 'text 1' ('")
    assert "'b' in b.csv: line 3" in note and "'a' in b.csv: line 44" in note


# --- files for each split


def test_splits_that_have_files_stay_as_they_are_and_three_classes_are_encoded(tmp_path):
    given = {
        "train": written(tmp_path / "a.csv", rows("c", "a", "b")),
        "validation": written(tmp_path / "v.jsonl", '{"stars": "a", "review": "é"}\n'),
        "test": written(tmp_path / "t.csv", "review,stars\nx,b\ntext 0,a\ny,c\n"),
    }
    files = [file(path, name) for name, path in given.items()]
    run_stage(tmp_path / "data", *files, dataset=REVIEWS)
    expected = {
        "train": ([2, 0, 1], ["text 0", "text 1", "text 2"]),
        "validation": ([0], ["é"]),
        "test": ([1, 0, 2], ["x", "text 0", "y"]),
    }
    assert splits(tmp_path / "data") == expected
    assert json.loads((tmp_path / "data/notes.json").read_text()) == [
        "The validation split has no text of 'b', 'c', so it says nothing about that.",
        "1 text stands there with more than one label, such as 'text 0' ('c' in a.csv: line 2, 'a'"
        " in t.csv: line 3).",
    ]
    done = program(
        "data.encode", "--tokenizer", "bytes", "--texts", tmp_path / "data/texts.csv",
        "--classes", tmp_path / "data/classes.json",
        "--collection", tmp_path / "data.collection.json", "--output", tmp_path / "tokens",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    read = tokens.read(tmp_path / "tokens")
    assert read.about.classes == ("a", "b", "c")
    for name, own in read.lines(None).items():
        assert read.labels[own].tolist() == expected[name][0]
        assert [bytes(read.ids[i].tolist()).decode() for i in own] == expected[name][1]


def test_validation_texts_are_cut_from_training_files_where_they_have_none(tmp_path):
    train = [
        written(tmp_path / f"{n}.csv", rows(*"ab" * 5).replace("t ", f"t{n} ")) for n in (1, 2)
    ]
    test = written(tmp_path / "test.csv", rows("a", "b"))
    files = [*(file(path, "train") for path in train), file(test, "test")]
    dataset = REVIEWS | {"split": {"validation": 0.25, "seed": 1}, "stratify": True}
    run_stage(tmp_path / "data", *files, dataset=dataset)
    found = splits(tmp_path / "data")
    assert found["test"] == ([0, 1], ["text 0", "text 1"])
    assert sorted(found["validation"][0]) == [0, 0, 1, 1]
    both = found["train"][1] + found["validation"][1]
    assert sorted(both) == sorted(f"text{n} {i}" for n in (1, 2) for i in range(10))


# --- any text survives


@given(st.lists(st.tuples(st.integers(0, 1), st.text() | st.sampled_from(AWKWARD)), max_size=20))
@settings(max_examples=100)
def test_the_table_gives_back_what_was_written(tmp_path_factory, pairs):
    path = tmp_path_factory.getbasetemp() / "texts.csv"
    pairs = [*pairs, (0, "a"), (0, "b"), (1, "c")]
    cut = ["train"] * (len(pairs) - 2) + ["validation", "test"]
    collection.write(path, *zip(*pairs, strict=True), {"split": cut})
    found = collection.read(path)
    assert list(zip(found.labels.tolist(), found.texts, strict=True)) == pairs
    assert found.cuts["split"].tolist() == [0] * (len(pairs) - 2) + [1, 2]


def test_awkward_texts_go_through_the_command_line_unharmed(tmp_path):
    kept = [text for text in AWKWARD if text and not set(text) & set('"\t\n\r')]
    quoted = ['"a\tb\nc\rd ""e"" f"', '"""all of it"""', 'in the "middle"']
    spam = [text[::-1] for text in [*kept, "x", "y", "z"]]
    pairs = [("ham", text) for text in kept + quoted] + [("spam", text) for text in spam]
    source = tmp_path / "collection.tsv"
    source.write_bytes("".join(f"{label}\t{text}\n" for label, text in pairs).encode())
    dataset = SMS | {"split": {"train": 0.5, "validation": 0.2, "seed": 123}}
    done = run_split(tmp_path / "data", source, dataset=dataset)
    assert done.returncode == 0, done.stderr
    found = [
        pair for part in splits(tmp_path / "data").values() for pair in zip(*part, strict=True)
    ]
    ham = [*kept, 'a\tb\nc\rd "e" f', '"all of it"', 'in the "middle"']
    assert sorted(found) == sorted([(0, text) for text in ham] + [(1, text) for text in spam])
    assert not list(tmp_path.rglob("pwned")) and not Path("pwned").exists()


# --- mistakes are one message, and leave nothing


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        (b"", "No columns"),
        (b"Label\n1\n", "'Text'"),
        (b"Label,Text,split\nspam,a,train\n", "spam"),
        (b"Label,Text\n1,a\n", "no column that says how its texts are cut"),
        (b"Label,Text,split\n1,a,train\n0,b,dev\n", "split: 'dev' is no split; allowed: train,"),
        (b"Label,Text,fold-1\n1,a,train\n0,b,test\n", "fold-1: no text is validation"),
    ],
)
def test_a_bad_table_is_a_message_that_names_it(tmp_path, content, message):
    path = tmp_path / "texts.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"texts\.csv") as raised:
        collection.read(path)
    assert message in str(raised.value)


def refused(folder: Path, message: str, *given: Any, dataset: dict[str, Any] = CUT) -> None:
    """What the program raises before it writes anything."""
    with pytest.raises(UserError) as raised:
        run_stage(folder / "data", *given, dataset=dataset)
    assert message in str(raised.value) and "\n" not in str(raised.value)
    assert not list((folder / "data").glob("*"))


def test_the_program_says_a_mistake_in_one_line(tmp_path):
    path = written(tmp_path / "a.csv", rows(1, 2, ""))
    done = run_split(tmp_path / "data", path, dataset=CUT)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.endswith(
        "error: a.csv: line 4: the column 'stars' (label) is empty; allowed: a label on every line"
    )
    refused(tmp_path, "line 4: the column 'stars' (label) is empty", path)


def test_classes_that_training_lacks(tmp_path):
    train = file(written(tmp_path / "train.csv", rows("a", "b")), "train")
    dev = file(written(tmp_path / "dev.csv", rows("a", "b")), "validation")
    test = file(written(tmp_path / "test.csv", rows("a", "c")), "test")
    message = "the training split has no text of the class 'c'; test.csv: line 3 has it"
    refused(tmp_path, message, train, dev, test, dataset=REVIEWS)
    dataset = REVIEWS | {"classes": ["a", "b", "d"]}
    same = file(tmp_path / "train.csv", "test")
    refused(tmp_path, "of the class 'd'; no text has it", train, dev, same, dataset=dataset)
    # no cut helps where training files alone are cut and only the test file has the class
    many = file(written(tmp_path / "many.csv", rows(*"ab" * 10)), "train")
    dataset = REVIEWS | {"split": {"validation": 0.1, "seed": 1}}
    with pytest.raises(UserError, match=r"test\.csv: line 3 has it; .* every class in training$"):
        run_stage(tmp_path / "y", many, test, dataset=dataset)


def test_how_a_rare_class_gets_into_training(tmp_path):
    rare = written(tmp_path / "rare.csv", rows(*"a" * 40, "b"))
    dataset = REVIEWS | {"split": {"train": 0.1, "validation": 0.1, "seed": 3}}
    message = (
        "allowed: every class in training (with stratify: true, train 0.1 takes one of 10 texts of"
        " a class; this one has 1)"
    )
    for stratify in (False, True):
        refused(tmp_path, message, rare, dataset=dataset | {"stratify": stratify})
    enough = written(tmp_path / "enough.csv", rows(*"a" * 40, "b", "b"))
    dataset = REVIEWS | {"split": {"train": 0.5, "validation": 0.4, "seed": 2}}
    refused(tmp_path, "(stratify: true puts each class there)", enough, dataset=dataset)
    run_stage(tmp_path / "x", enough, dataset=dataset | {"stratify": True})  # as it says


def test_a_class_of_near_copies_cannot_be_in_every_training_split(tmp_path):
    first = [f"{one}{other},a\n" for one in "abcd" for other in "efghijklm"]
    path = written(tmp_path / "a.csv", "".join(["review,stars\n", *first, *["the same,b\n"] * 6]))
    dataset = REVIEWS | {"split": {"folds": 3, "validation": 0.1, "seed": 1}}
    for stratify in (False, True):
        rules = {"stratify": stratify, "keep_together": True}
        message = (
            "has no text of the class 'b'; a.csv: line 38 has it; allowed: every class in"
            " training (keep_together: true leaves near-copies whole, and its 6 texts are in 1"
            " group of them)"
        )
        refused(tmp_path, message, path, dataset=dataset | rules)


def test_too_few_texts_to_cut_or_none(tmp_path):
    path = written(tmp_path / "a.csv", rows("a", "b", "a"))
    refused(tmp_path, "the validation split is empty: 3 texts are too few", path)
    six = written(tmp_path / "six.csv", rows(*"ababcc"))
    message = "the validation split is empty: 6 texts are too few for train 0.5 and validation 0.2"
    refused(tmp_path, f"{message} of each class", six, dataset=CUT | {"stratify": True})
    empty = written(tmp_path / "none.csv", rows())
    refused(tmp_path, "none.csv holds no texts", empty)
    files = [file(path, "train"), file(path, "validation"), file(empty, "test")]
    refused(tmp_path, "none.csv holds no texts", *files, dataset=REVIEWS)


def test_balance_with_few_texts_of_a_class_or_none(tmp_path):
    dataset = CUT | {"balance": True}
    path = written(tmp_path / "a.csv", rows(*"a" * 10, *"b" * 10, "zz"))
    message = (
        "the validation split is empty: 3 texts are too few for train 0.5 and validation 0.2;"
        " balance: true left 3 of 21, since 'zz' has 1 text"
    )
    refused(tmp_path, message, path, dataset=dataset)
    message = (
        "a.csv: the column 'stars' (label) is 'c' in 0 of 21 texts; balance: true needs texts of"
        " each class"
    )
    classes = ["a", "b", "c", "zz"]
    refused(tmp_path, message, path, dataset=dataset | {"classes": classes})
