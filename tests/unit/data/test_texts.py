"""Files of texts: every format gives the same table, and each mistake in a file is one message."""

import csv
import gzip
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

from ablations.data import texts
from ablations.errors import UserError
from ablations.study.dataset import Reading, Texts
from texts import SMS, file

REVIEWS: dict[str, Any] = {"text": "review", "label": "stars"}


def read(*paths: Path, **options: Any) -> pd.DataFrame:
    reading = msgspec.convert(REVIEWS | options, Reading)
    return texts.read([file(path) for path in paths], reading)


def pairs(path: Path, **options: Any) -> list[tuple[str, str]]:
    """The labels and texts of a file."""
    found = read(path, **options)
    return list(zip(found["Label"], found["Text"], strict=True))


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def parquet(path: Path, **columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


# --- every format gives the same

any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
any_label = st.text("abcXYZ 019.-é", min_size=1, max_size=8).map(str.strip).filter(len)


@given(st.lists(st.tuples(any_label, any_text), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_every_format_gives_back_any_text(tmp_path_factory, expected):
    folder = tmp_path_factory.getbasetemp()
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with (folder / name).open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            writer.writerow(["id", "stars", "review"])
            writer.writerows([1, label, text] for label, text in expected)
    objects = ({"review": text, "stars": label} for label, text in expected)
    written(folder / "a.jsonl", "".join(json.dumps(each) + "\n" for each in objects))
    array = [{"review": text, "stars": label} for label, text in expected]
    assert pairs(written(folder / "array.jsonl", json.dumps(array, indent=1))) == expected
    labels, bodies = map(list, zip(*expected, strict=True))
    parquet(folder / "a.parquet", review=bodies, stars=labels)
    for name in ("a.csv", "a.tsv", "a.jsonl", "a.parquet"):
        assert pairs(folder / name) == expected, name
        packed = folder / f"packed{name[1:]}"  # known by its content
        packed.write_bytes(gzip.compress((folder / name).read_bytes(), 1))
        assert pairs(packed) == expected, name


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
    assert found == list(zip(frame["stars"].str.strip(), frame["review"], strict=True))


@given(st.text("ab\" ,'\n", max_size=30))
@settings(max_examples=150, deadline=None)
def test_the_collection_is_read_with_pandas_default_quoting(tmp_path_factory, text):
    content = f"ham\tfirst\nham\t{text}\nspam\tlast\n"
    path = written(tmp_path_factory.getbasetemp() / "collection.tsv", content)
    try:
        frame = pd.read_csv(io.StringIO(content), sep="\t", header=None, keep_default_na=False)
        frame[0] = frame[0].astype(str).str.strip()
        readable = (frame[[0, 1]] != "").all(axis=None)
    except ValueError:
        readable = False
    if readable:
        assert pairs(path, **SMS) == list(frame.itertuples(index=False, name=None))
    else:
        with pytest.raises(UserError):
            pairs(path, **SMS)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.csv.gz", "csv"), ("A.TSV.GZ", "tsv"), ("a.json", "jsonl"), ("a.gz", None)],
)
def test_the_format_by_a_file_s_name(name, format):
    assert msgspec.convert(REVIEWS | {"files": name}, Texts).format_of(name) == format


def test_each_text_has_its_place(tmp_path):
    quoted = written(tmp_path / "a.csv", 'review,stars\r\n\r\n"x\r\ny",1\r\nz,2')
    lines = written(tmp_path / "b.jsonl", '{"review": "x", "stars": 1}\n\n' * 2)
    table = parquet(tmp_path / "c.parquet", review=["x"], stars=[1])
    found = read(quoted, lines, table)
    assert found["where"].tolist() == [
        *("a.csv: line 3", "a.csv: line 5", "b.jsonl: line 1", "b.jsonl: line 3"),
        "c.parquet: row 1",
    ]


def test_blanks_around_a_label_are_not_part_of_it_and_joiners_are(tmp_path):
    path = written(tmp_path / "a.csv", "review,stars\na, spam\nb,spam\t\nc,می\u200cخواهم\n")
    assert read(path)["Label"].tolist() == ["spam", "spam", "می\u200cخواهم"]


def test_a_quote_may_be_a_character_like_others(tmp_path):
    path = written(tmp_path / "a.tsv", 'stars\treview\n1\t"never closed\n2\t5" wide\n')
    assert pairs(path, quotes=False) == [("1", '"never closed'), ("2", '5" wide')]


def test_labels_of_any_kind_are_their_texts(tmp_path):
    labels = (True, False, -3, 0, "a")
    lines = (json.dumps({"review": "x", "stars": label}) for label in labels)
    path = written(tmp_path / "a.jsonl", "\n".join(lines))
    assert read(path)["Label"].tolist() == ["True", "False", "-3", "0", "a"]
    categories = pyarrow.array(["x", "y"]).dictionary_encode()
    for labels in ([True, False], [1, 2], ["x", "y"], categories):
        path = parquet(tmp_path / "a.parquet", review=["a", "b"], stars=labels)
        assert read(path)["Label"].tolist() == list(map(str, labels))


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        ("5,7,good\n\n1,8,bad", {"columns": ["stars", "id", "review"]}, ["5 good", "1 bad"]),
        ("\ufeffreview,stars\r\ngood,1\r\n", {}, ["1 good"]),  # as a spreadsheet on Windows saves
        ("review,stars\na\0b,1\n", {}, ["1 a\0b"]),
        ('review,stars\ra,1\r"b\rc",2\r', {}, ["1 a", "2 b\rc"]),  # as on an old Mac
        (f"review,stars\n{'x' * 200_000},1\n", {}, [f"1 {'x' * 200_000}"]),
    ],
)
def test_what_a_file_may_be_like(tmp_path, content, options, expected):
    path = written(tmp_path / "a.csv", content)
    assert [f"{label} {text}" for label, text in pairs(path, **options)] == expected


# --- mistakes: one message each

HEAD = "review,stars\n"

BAD_FILES: dict[str, tuple[str, str | bytes | None, str]] = {
    "no such column": ("a.csv", "text,stars\na,1\n", "a.csv: the column 'review' (text) is missing;"
                       " the columns are: 'text', 'stars'"),
    "semicolons": ("a.csv", "review;stars\na;1\n", "the columns are: 'review;stars'. Are they"
                   " separated by ';'? Set separator: \";\""),
    "Excel's separator": ("a.csv", "sep=;\r\nreview;stars\r\na;1\r\n", "a.csv: line 1 tells Excel"
                          " which character separates cells; leave it out, and set separator: "),
    "a column in another case": ("a.csv", "Review ,stars\na,1\n", "are: 'Review ', 'stars'."
                                 " 'Review ' differs in blanks, case or Unicode form alone"),
    "a key in another case": ("a.jsonl", '{"review": "a", "Stars": 1}\n', "its keys are: 'review', "
                              "'Stars'. 'Stars' differs in blanks, case or Unicode form alone"),
    "tabs": ("a.csv", "review\tstars\na\t1\n", 'separated by \'\\t\'? Set separator: "\\t"'),
    "no line of names": ("a.csv", "good,1\n", "the columns are: 'good', '1'. The first line names"
                         " them; where it does not, set columns: [a name for each]"),
    "a column twice": ("a.csv", "review,stars,stars\na,1,2\n",
                       "the column 'stars' (label) appears more than once"),
    "too many cells": ("a.csv", HEAD + "a,1\nb,c,2\n",
                       "a.csv: line 3 has 3 columns; allowed: 2, as 'review', 'stars'"),
    "too few cells": ("a.csv", HEAD + '"a\nb",1\nc\n', "a.csv: line 4 has 1 column"),
    "no label": ("a.csv", HEAD + "a,1\nb,\n", "a.csv: line 3: the column 'stars' (label) is empty"),
    "a blank label": ("a.csv", HEAD + "a,1\nb, \n", "line 3: the column 'stars' (label) is empty"),
    "no text": ("a.csv", HEAD + ",1\n", "line 2: the column 'review' (text) is empty"),
    "a long label": ("a.csv", f"{HEAD}1,{'x' * 101}\n", "line 2: the column 'stars' (label) is 'x"),
    "a label that cannot be printed": ("a.csv", HEAD + "a,x\0\n", r"is 'x\x00'"),
    "a label that nobody sees": ("a.csv", HEAD + "a,\u3164\n", "characters that can be printed"),
    "Braille's blank": ("a.csv", HEAD + "a,\u2800\n", "characters that can be printed"),
    "a joiner alone": ("a.csv", HEAD + "a,\u200d\n", "characters that can be printed"),
    "a long text": ("a.csv", f"{HEAD}{'x' * 10_000_001},1\n",
                    "(text) has 10,000,001 characters; allowed: at most 10,000,000"),
    "open quote": ("a.csv", HEAD + 'a,1\n"b,2\nc,1\n',
                   "a.csv: line 3: a quote is opened and never closed"),
    "open quote in the last line": ("a.csv", HEAD + 'a,1\n"b,2', "line 3: a quote is opened"),
    "Latin-1": ("a.csv", HEAD.encode() + "caf\xe9,1\n".encode("latin-1") + b"x,1\n" * 9,
                "a.csv: line 2 is not UTF-8 (byte 0xe9); allowed: a file saved as UTF-8, or the key"
                " that names its encoding, such as encoding: cp1252"),
    "UTF-16": ("a.csv", HEAD.encode("utf-16"), "a.csv: line 1 is not UTF-8 (byte 0xff); allowed: a"
               " file saved as UTF-8, or the key that names its encoding, such as encoding: utf-1"),
    "UTF-32": ("a.csv", HEAD.encode("utf-32"), "the key that names its encoding, such as encoding:"
               " utf-32"),
    "UTF-32 without a mark": ("a.csv", HEAD.encode("utf-32-be"), "UTF-8, or encoding: utf-32-be"),
    "UTF-16 without a mark": ("a.csv", HEAD.encode("utf-16-le"), "a.csv seems to be UTF-16-LE: it"
                              " has a zero in the place of every other letter; allowed: a file"
                              " saved as UTF-8, or encoding: utf-16-le"),
    "UTF-16 of another language": ("a.csv", (HEAD[:5] + "\nиз Москвы, 7").encode("utf-16-be"),
                                   "or encoding: utf-16-be"),
    "cut in a character": ("a.csv", HEAD.encode() + "é".encode()[:1],
                           "a.csv: line 2 ends within a character; allowed: a whole file, saved as"
                           " UTF-8, or the key that names its encoding, such as encoding: cp1252"),
    "nothing": ("a.csv", "", "a.csv is empty"),
    "no file": ("a.csv", None, "a.csv cannot be read: No such file"),
    "no JSON": ("a.jsonl", '{"review": "a", "stars": 1}\n{"review": \n',
                "a.jsonl: line 2 is not JSON"),
    "an object over several lines": ("a.jsonl", '{\n "review": "a"\n}\n', "a.jsonl: line 1 is not"
                                     " JSON: Input data was truncated; allowed: an object on each"
                                     " line, or an array of objects"),
    "JSON of another kind": ("a.jsonl", "7\n", "a.jsonl: line 1 is 7; allowed: a JSON object with"
                             " the keys review and stars"),
    "an array of others": ("a.jsonl", '[{"review": "a", "stars": 1}, [2]]',
                           "a.jsonl: object 2 is [2]; allowed: a JSON object"),
    "half an array": ("a.jsonl", '[{"review": "a", "stars": 1},\n', "a.jsonl is not JSON"),
    "no such key": ("a.jsonl", '{"review": "a"}\n', "line 1: the key 'stars' is missing"),
    "null": ("a.jsonl", '{"review": null, "stars": 1}\n', "the column 'review' (text) is empty"),
    "a number for a text": ("a.jsonl", '{"review": 7, "stars": 1}\n', "is 7; allowed: a text"),
    "a decimal in JSON": ("a.jsonl", '{"review": "a", "stars": 4.0}\n', "line 1: the column 'stars'"
                          " (label) is 4.0, a number with decimals"),
    "a list for a label": ("a.jsonl", '{"review": "a", "stars": [1]}\n', "is [1]; allowed:"),
    "deep JSON": ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl is not JSON"),
    "a key twice": ("a.jsonl", '{"review": "a", "stars": 1, "review": "b"}\n',
                    "a.jsonl: line 1: the key 'review' appears more than once"),
    "a key twice in an array": ("a.jsonl", '[{"review": "a", "stars": 1, "review": "b"}]',
                                "a.jsonl: the key 'review' appears more than once"),
    "a key twice, once escaped": ("a.jsonl", '{"review": "a", "stars": 1, "st\\u0061rs": 2}\n',
                                  "line 1: the key 'stars' appears more than once in an object"),
    "half a character in JSON": ("a.jsonl", '{"review": "\\ud800", "stars": 1}\n', "is not JSON"),
    "a zip archive": ("a.csv", b"PK\x03\x04...", "a.csv is a zip archive or a spreadsheet; unpack"),
    "a tar archive": ("a.csv", gzip.compress(b"\0" * 257 + b"ustar"), "a.csv is a tar archive;"),
    "Parquet by another name": ("a.csv", b"PAR1...", "a Parquet file; set format: parquet"),
    "half a gzip file": ("a.csv", gzip.compress(b"review,stars")[:-9], "a.csv cannot be read: Com"),
    "no gzip file": ("a.csv", b"\x1f\x8b0123456789", "a.csv cannot be read: Unknown"),
    "Git LFS": ("a.parquet", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
                "a.parquet stands for a file that Git LFS holds; git lfs pull gets it"),
    "Git LFS behind a mark": ("a.csv", "\ufeffversion https://git-lfs.github.com/spec/v1\n",
                              "a.csv stands for a file that Git LFS holds"),
    "no Parquet": ("a.parquet", HEAD, "a.parquet cannot be read as Parquet"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_one_message(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        written(path, content)
    refused(path, message)


def refused(path: Path, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(path)
    assert message in str(raised.value) and "\n" not in str(raised.value)


BROKEN = pyarrow.array([b"\xff"]).cast(pyarrow.binary()).view(pyarrow.string())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"review": ["a"], "stars": [1.0]}, "a.parquet: row 1: the column 'stars' (label) is 1.0"),
        ({"review": ["a"], "stars": [float("nan")]}, "row 1: the column 'stars' (label) is empty"),
        ({"review": ["a", None], "stars": [1, 2]}, "a.parquet: row 2: the column 'review' (text)"),
        ({"body": ["a"], "stars": [1]}, "a.parquet: the column 'review' (text) is missing"),
        ({"review": [b"a"], "stars": [1]}, "(text) is b'a'; allowed: a text"),
        ({"review": BROKEN, "stars": [1]}, "cannot be read as Parquet: 'utf-8' codec"),
    ],
)
def test_a_parquet_file_s_columns_and_kinds(tmp_path, columns, message):
    refused(parquet(tmp_path / "a.parquet", **columns), message)


@pytest.mark.parametrize("name", ["título", "a/b", 'a"b', "a\\b"])
@pytest.mark.parametrize("as_ascii", [True, False])
def test_a_key_of_any_letters_may_be_there_once(tmp_path, name, as_ascii):
    one, key = json.dumps({name: "a"}, ensure_ascii=as_ascii), name.replace("/", "\\/")
    path = written(tmp_path / "a.jsonl", one[:-1] + ', "stars": 1}')
    assert pairs(path, text=name) == [("1", "a")]
    second = json.dumps(key, ensure_ascii=as_ascii).replace("\\\\/", "\\/")
    written(path, f'{one[:-1]}, "stars": 1, {second}: "b"}}')
    with pytest.raises(UserError, match="appears more than once in an object"):
        pairs(path, text=name)


def test_half_a_parquet_file(tmp_path):
    path = parquet(tmp_path / "a.parquet", review=["a"], stars=[1])
    refused(written(path, path.read_bytes()[:-20]), "a.parquet cannot be read as Parquet")
