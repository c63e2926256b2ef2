"""Files of the user's own texts: what is read of them, and one message for each mistake."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.data import split as stage
from ablations.data import texts as reader
from ablations.data.split import class_of, in_order, read_split, split
from ablations.data.texts import read
from ablations.errors import UserError
from ablations.study.dataset import SPLITS, Reading
from texts import file, run_split, split_arguments

COLUMNS = {"text": "review", "label": "stars"}
CUT = COLUMNS | {"split": {"train": 0.5, "validation": 0.2, "seed": 1}}


def reading(**options: Any) -> Reading:
    return msgspec.convert(CUT | options, Reading)


def pairs(path: Path, **options: Any) -> list[tuple[str, str]]:
    """What is read of a file: labels and texts."""
    return [(label, text) for _, label, text in read(file(path), reading(**options))]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


# --- every format gives the same

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
any_label = st.text("abcXYZ 019.-é", min_size=1, max_size=8)


@given(st.lists(st.tuples(any_label, any_text), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_every_format_gives_back_any_text(tmp_path_factory, found):
    folder = tmp_path_factory.getbasetemp()
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with (folder / name).open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writerow(["id", "stars", "review"])
            writer.writerows([1, label, text] for label, text in found)
    with (folder / "a.jsonl").open("w", encoding="utf-8") as opened:
        opened.writelines(
            json.dumps({"review": text, "stars": label}) + "\n" for label, text in found
        )
    labels, texts = map(list, zip(*found, strict=True))
    parquet(folder / "a.parquet", review=texts, stars=labels)
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet"):
        assert pairs(folder / name) == found, name


@given(st.text("ab\" ,'\n\r", max_size=40))
@settings(max_examples=150, deadline=None)
def test_quotes_and_line_ends_are_read_as_pandas_reads_them(tmp_path_factory, text):
    content = f"review,stars\nfirst,1\n{text}\nlast,2\n"
    path = written(tmp_path_factory.getbasetemp() / "quoted.csv", content)
    try:
        found = pairs(path)
    except UserError:
        return  # of what pandas fills up or lets pass, much is refused here
    frame = pd.read_csv(io.StringIO(content, newline=""), dtype=str, na_filter=False)
    assert found == list(zip(frame["stars"], frame["review"], strict=True))


def test_a_quote_may_be_a_character_like_others(tmp_path):
    path = written(tmp_path / "a.tsv", 'stars\treview\n1\t"never closed\n2\t5" wide\n')
    assert pairs(path, quotes=False) == [("1", '"never closed'), ("2", '5" wide')]


def test_labels_of_any_kind_are_their_texts(tmp_path):
    content = "".join(
        json.dumps({"review": "x", "stars": label}) + "\n" for label in (True, False, -3, 0, "a")
    )
    expected = ["True", "False", "-3", "0", "a"]
    path = written(tmp_path / "a.jsonl", content)
    assert [label for label, _ in pairs(path)] == expected
    for labels in ([True, False], [1, 2], ["x", "y"]):
        path = parquet(tmp_path / "a.parquet", review=["a", "b"], stars=labels)
        assert [label for label, _ in pairs(path)] == list(map(str, labels))
    categories = pyarrow.array(["x", "y"]).dictionary_encode()
    path = parquet(tmp_path / "a.parquet", review=["a", "b"], stars=categories)
    assert [label for label, _ in pairs(path)] == ["x", "y"]


def test_a_file_without_a_line_of_names_has_them_from_the_configuration(tmp_path):
    path = written(tmp_path / "a.csv", "5,7,good\n\n1,8,bad")
    found = pairs(path, columns=["stars", "id", "review"])
    assert found == [("5", "good"), ("1", "bad")]


def test_a_mark_of_the_encoding_and_line_ends_of_windows_are_no_text(tmp_path):
    path = written(tmp_path / "a.csv", "\ufeffreview,stars\r\ngood,1\r\n")
    assert pairs(path) == [("1", "good")]


def test_nul_characters_are_characters(tmp_path):
    assert pairs(written(tmp_path / "a.csv", "review,stars\na\0b,1\n")) == [("1", "a\0b")]


# --- the classes


@given(st.lists(st.integers(-50, 200), min_size=1, unique=True))
def test_classes_that_are_whole_numbers_stand_in_their_order(numbers):
    assert in_order(map(str, numbers)) == tuple(map(str, sorted(numbers)))


@given(st.sets(any_label, min_size=1))
def test_other_classes_stand_in_the_order_of_their_characters(names):
    names = {*names, "a"}
    assert in_order(names) == tuple(sorted(names))


def test_a_whole_number_is_the_index_of_a_class_unless_classes_are_numbers():
    assert class_of("1", ["bad", "good"]) == 1
    assert class_of("2", ["bad", "good"]) is None
    assert class_of("-1", ["bad", "good"]) is None
    assert class_of("1", ["1", "2"]) == 0
    assert class_of("0", ["1", "2"]) is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["01", "02", "10"], ["01", "02", "10"]),
        (["+1", "-1"], ["+1", "-1"]),
        (["2", "01"], ["01", "2"]),
        (["nan", "infinite"], ["infinite", "nan"]),
        (["v1.5", "2.0"], ["2.0", "v1.5"]),
    ],
)
def test_labels_that_are_no_plain_numbers_are_names(tmp_path, labels, expected):
    path = written(tmp_path / "a.csv", rows(*labels * 5))
    run_stage(tmp_path / "data", path, dataset=CUT)
    assert json.loads((tmp_path / "data/classes.json").read_text()) == expected


# --- cuts


@given(
    st.lists(st.integers(0, 3), min_size=30, max_size=120),
    st.floats(0.2, 0.6),
    st.floats(0.1, 0.3),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_stratified_cuts_are_a_partition_with_each_class_in_its_shares(labels, a, b, seed):
    texts = pd.DataFrame({"Label": labels, "Text": range(len(labels))})
    shares = {"train": a, "validation": b}
    try:
        parts = split(texts, shares, "test", seed, stratify=True)
    except UserError as error:
        assert "split is empty" in str(error)
        return
    assert sorted(n for part in parts.values() for n in part["Text"]) == list(range(len(labels)))
    for label in set(labels):
        size = labels.count(label)
        for name, share in shares.items():
            assert list(parts[name]["Label"]).count(label) == int(size * share)
    again = split(texts, shares, "test", seed, stratify=True)
    for name in SPLITS:
        pd.testing.assert_frame_equal(again[name], parts[name])


def rows(*stars: object) -> str:
    lines = "".join(f"text {number},{label}\n" for number, label in enumerate(stars))
    return f"review,stars\n{lines}"


def splits(folder: Path) -> dict[str, tuple[list[int], list[str]]]:
    return {name: read_split(folder / f"{name}.csv") for name in SPLITS}


def test_splits_that_have_files_stay_as_they_are(tmp_path):
    given = {
        "train": written(tmp_path / "a.csv", rows("b", "a", "b")),
        "validation": written(tmp_path / "v.jsonl", '{"stars": "a", "review": "é"}\n'),
        "test": parquet(tmp_path / "t.parquet", review=["x", "text 0"], stars=["b", "a"]),
    }
    files = [file(path, name) for name, path in given.items()]
    done = run_split(tmp_path / "data", *files, dataset=COLUMNS)
    assert done.returncode == 0, done.stderr
    assert splits(tmp_path / "data") == {
        "train": ([1, 0, 1], ["text 0", "text 1", "text 2"]),
        "validation": ([0], ["é"]),
        "test": ([1, 0], ["x", "text 0"]),
    }
    assert json.loads((tmp_path / "data/notes.json").read_text()) == [
        "The validation split has no text of 'b', so it says nothing about that."
    ]


def test_validation_texts_are_cut_from_training_files_where_they_have_none(tmp_path):
    train = [
        written(tmp_path / f"{n}.csv", rows(*"ab" * 5).replace("t ", f"t{n} ")) for n in (1, 2)
    ]
    test = written(tmp_path / "test.csv", rows("a", "b"))
    files = [*(file(path, "train") for path in train), file(test, "test")]
    dataset = COLUMNS | {"split": {"validation": 0.25, "seed": 1}, "stratify": True}
    done = run_split(tmp_path / "data", *files, dataset=dataset)
    assert done.returncode == 0, done.stderr
    found = splits(tmp_path / "data")
    assert found["test"] == ([0, 1], ["text 0", "text 1"])
    assert sorted(found["validation"][0]) == [0, 0, 1, 1]
    both = found["train"][1] + found["validation"][1]
    assert sorted(both) == sorted(f"text{n} {i}" for n in (1, 2) for i in range(10))


# --- mistakes: one message each, and nothing is left

GOOD = rows(*"121212121212")
LONG = "x" * 30

BAD_FILES: dict[str, tuple[str, str | bytes | None, str]] = {
    "no such column": ("a.csv", "text,stars\na,1\n", "a.csv: the column 'review' (text) is missing;"
                       " the columns are: 'text', 'stars'"),
    "semicolons": ("a.csv", "review;stars\na;1\n", "the columns are: 'review;stars'"),
    "a column twice": ("a.csv", "review,stars,stars\na,1,2\n",
                       "the column 'stars' (label) appears more than once"),
    "too many cells": ("a.csv", "review,stars\na,1\nb,c,2\n",
                       "a.csv: line 3 has 3 columns; allowed: 2, as 'review', 'stars'"),
    "too few cells": ("a.csv", 'review,stars\n"a\nb",1\nc\n', "a.csv: line 4 has 1 column"),
    "no label": ("a.csv", "review,stars\na,1\nb,\n",
                 "a.csv: line 3: the column 'stars' (label) is empty"),
    "no text": ("a.csv", "review,stars\n,1\n", "line 2: the column 'review' (text) is empty"),
    "decimals": ("a.csv", rows(1, 2, 4.5, 3), "a.csv: line 4: the column 'stars' (label) is 4.5, a"
                 " number with decimals; allowed: texts, whole numbers or truth values"),
    "an exponent": ("a.csv", rows(1, "2e0", 3), "line 3: the column 'stars' (label) is 2e0, a"),
    "NaN among numbers": ("a.csv", rows(1, 2, "nan"), "a.csv: line 4: the column 'stars' (label) is"
                          " nan, which is no label; allowed: a label on every line"),
    "one class": ("a.csv", rows(1, 1, 1, 1, 1), "the column 'stars' (label) is '1' in every text;"
                  " allowed: two classes or more"),
    "columns swapped": ("a.csv", "review,stars\n" + "".join(f"1,text {n}\n" for n in range(1002)),
                        "line 1002: the column 'stars' (label) holds more than 1000 different"),
    "a label as long as a text": ("a.csv", f"review,stars\n1,{'x' * 101}\n", "line 2: the column"
                                  " 'stars' (label) is 'xxx"),
    "a label that cannot be printed": ("a.csv", "review,stars\na,x\0\n", r"is 'x\x00'"),
    "open quote": ("a.csv", 'review,stars\na,1\n"b,2\nc,1\n',
                   "a.csv: line 3: a quote is opened and never closed"),
    "Latin-1": ("a.csv", GOOD.encode() + "caf\xe9,1\n".encode("latin-1") + b"x,1\n" * 9,
                "a.csv: line 14 is not UTF-8 (byte 0xe9)"),
    "UTF-16": ("a.csv", GOOD.encode("utf-16"), "a.csv: line 1 is not UTF-8 (byte 0xff)"),
    "cut in a character": ("a.csv", GOOD.encode() + "é".encode()[:1],
                           "a.csv: line 14 ends within a character"),
    "nothing": ("a.csv", "", "a.csv is empty"),
    "names alone": ("a.csv", "review,stars\n", "a.csv holds no texts"),
    "no file": ("a.csv", None, "a.csv cannot be read: No such file"),
    "no JSON": ("a.jsonl", '{"review": "a", "stars": 1}\n{"review": \n',
                "a.jsonl: line 2 is not JSON"),
    "JSON of another kind": ("a.jsonl", "[1, 2]\n", "a.jsonl: line 1 is [1, 2]; allowed: a JSON"
                             " object with the keys review and stars"),
    "no such key": ("a.jsonl", '{"review": "a"}\n', "line 1: the key 'stars' is missing"),
    "null": ("a.jsonl", '{"review": null, "stars": 1}\n', "the column 'review' (text) is empty"),
    "a number for a text": ("a.jsonl", '{"review": 7, "stars": 1}\n', "is 7; allowed: a text"),
    "a decimal in JSON": ("a.jsonl", '{"review": "a", "stars": 4.0}\n', "line 1: the column 'stars'"
                          " (label) is 4.0, a number with decimals"),
    "a list for a label": ("a.jsonl", '{"review": "a", "stars": [1]}\n', "is [1]; allowed:"),
    "deep JSON": ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl: line 1 is not JSON"),
    "no Parquet": ("a.parquet", "review,stars\n", "a.parquet cannot be read as Parquet"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_message(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        written(path, content)
    refused(tmp_path, message, path)


def run_stage(folder: Path, *given: Any, dataset: dict[str, Any]) -> None:
    """The program, in this process."""
    arguments = split_arguments(folder, *given, dataset=dataset)
    stage.main(stage.parser().parse_args(list(map(str, arguments))))


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


def test_a_parquet_file_s_columns_and_kinds(tmp_path):
    path = parquet(tmp_path / "a.parquet", review=["a", "b"], stars=[1.0, 2.0])
    refused(tmp_path, "a.parquet: row 1: the column 'stars' (label) is 1.0, a number with", path)
    path = parquet(tmp_path / "a.parquet", review=["a", "b"], stars=[float("nan"), 2.0])
    refused(tmp_path, "a.parquet: row 1: the column 'stars' (label) is empty", path)
    path = parquet(tmp_path / "a.parquet", review=["a", None], stars=[1, 2])
    refused(tmp_path, "a.parquet: row 2: the column 'review' (text) is empty", path)
    path = parquet(tmp_path / "a.parquet", text=["a", "b"], stars=[1, 2])
    refused(tmp_path, "a.parquet: the column 'review' (text) is missing", path)
    path = parquet(tmp_path / "a.parquet", review=[b"a", b"b"], stars=[1, 2])
    refused(tmp_path, "(text) is b'a'; allowed: a text", path)
    path.write_bytes(path.read_bytes()[:-20])
    refused(tmp_path, "a.parquet cannot be read as Parquet", path)
    broken = pyarrow.array([b"\xff", b"b"]).cast(pyarrow.binary()).view(pyarrow.string())
    path = parquet(tmp_path / "a.parquet", review=broken, stars=[1, 2])
    refused(tmp_path, "a.parquet cannot be read as Parquet: 'utf-8' codec", path)


def test_labels_that_are_no_class(tmp_path):
    path = written(tmp_path / "a.csv", rows("good", "bad", "god"))
    dataset = CUT | {"classes": ["bad", "good"]}
    message = "a.csv: line 4: the column 'stars' (label) is 'god'; allowed: 'bad', 'good'"
    refused(tmp_path, message, path, dataset=dataset)
    path = written(tmp_path / "a.csv", rows(0, 1, 2))
    refused(tmp_path, "line 4: the column 'stars' (label) is '2'", path, dataset=dataset)


def test_classes_that_training_lacks(tmp_path):
    train = file(written(tmp_path / "train.csv", rows("a", "b")), "train")
    dev = file(written(tmp_path / "dev.csv", rows("a", "b")), "validation")
    test = file(written(tmp_path / "test.csv", rows("a", "c")), "test")
    message = "the training split has no text of the class 'c'; test.csv: line 3 has it"
    refused(tmp_path, message, train, dev, test, dataset=COLUMNS)
    empty = file(written(tmp_path / "none.csv", "review,stars\n"), "test")
    refused(tmp_path, "none.csv holds no texts", train, dev, empty, dataset=COLUMNS)
    dataset = COLUMNS | {"classes": ["a", "b", "d"]}
    refused(tmp_path, "of the class 'd'; no text has it", train, dev, train, dataset=dataset)
    rare = written(tmp_path / "rare.csv", rows(*"a" * 40, "b"))
    split = {"train": 0.1, "validation": 0.1, "seed": 3}
    message = (
        "allowed: every class in training (with stratify: true, train 0.1 takes one of 10 texts of"
        " a class; this one has 1)"
    )
    for stratify in (False, True):
        dataset = COLUMNS | {"split": split, "stratify": stratify}
        refused(tmp_path, message, rare, dataset=dataset)
    enough = written(tmp_path / "enough.csv", rows(*"a" * 40, "b", "b"))
    dataset = COLUMNS | {"split": {"train": 0.5, "validation": 0.4, "seed": 2}}
    refused(tmp_path, "(stratify: true puts each class there)", enough, dataset=dataset)
    run_stage(tmp_path / "x", enough, dataset=dataset | {"stratify": True})  # as it says
    # no cut helps where training files alone are cut and only the test file has the class
    many = file(written(tmp_path / "many.csv", rows(*"ab" * 10)), "train")
    dataset = COLUMNS | {"split": {"validation": 0.1, "seed": 1}}
    with pytest.raises(UserError, match=r"test\.csv: line 3 has it; .* every class in training$"):
        run_stage(tmp_path / "y", many, test, dataset=dataset)


def test_too_few_texts_to_cut(tmp_path):
    path = written(tmp_path / "a.csv", rows("a", "b", "a"))
    refused(tmp_path, "the validation split is empty: 3 texts are too few", path)
    six = written(tmp_path / "six.csv", rows(*"ababcc"))
    message = "the validation split is empty: 6 texts are too few for train 0.5 and validation 0.2"
    refused(tmp_path, f"{message} of each class", six, dataset=CUT | {"stratify": True})


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


def test_a_line_and_a_text_have_an_end(tmp_path, monkeypatch, request):
    """No file is so large that it is read at once: a line is, and a text in quotes."""
    monkeypatch.setattr(reader, "MAX_CHARACTERS", 50)
    limit = csv.field_size_limit()  # the reader sets it for the whole process
    request.addfinalizer(lambda: csv.field_size_limit(limit))
    path = written(tmp_path / "a.csv", f"review,stars\na,1\n{LONG}{LONG},2\n")
    with pytest.raises(UserError, match=r"a\.csv: line 3 has more than 50 characters"):
        pairs(path)
    lines = "\n".join([LONG] * 3)
    path = written(tmp_path / "a.csv", f'review,stars\na,1\n"{lines}",2\n')
    with pytest.raises(UserError, match=r"a\.csv: line 3: a text has more than 50 .*quotes: false"):
        pairs(path)
    path = parquet(tmp_path / "a.parquet", review=[LONG * 2], stars=[1])
    with pytest.raises(UserError, match=r"\(text\) has 60 characters; allowed: at most 50"):
        pairs(path)
