"""What `dataset` says of its files: columns, separator, encoding, names of classes, folders."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet
import pytest

from ablations.data import split, texts
from ablations.errors import UserError
from ablations.files import as_json
from ablations.sources import collection, manifest
from ablations.study import dataset_checks, identities
from ablations.study.dataset import Reading, Texts, class_names
from texts import file

OWN: dict[str, Any] = {"text": "text", "label": "label"}
SPLIT = {"train": 0.5, "validation": 0.2, "seed": 1}


def read(path: Path, content: str | bytes, **keys: Any) -> list[tuple[str, str]]:
    """The labels and texts of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    found = texts.read([file(path)], msgspec.convert(OWN | keys, Reading))
    return list(zip(found["Label"], found["Text"], strict=True))


def mistakes(**keys: Any) -> list[str]:
    given = OWN | {"files": __file__, "format": "csv", "split": SPLIT} | keys
    stated = {key: value for key, value in given.items() if value is not None}
    return list(dataset_checks.mistakes(msgspec.convert(stated, Texts)))


# --- columns


def test_several_columns_make_a_text_without_those_that_are_empty(tmp_path):
    keys = {"text": ["title", "body"]}
    content = "label,title,body\n1,Cold,It rains.\n2, \t,Sun\n2,Warm,\n"
    expected = [("1", "Cold\nIt rains."), ("2", "Sun"), ("2", "Warm")]
    assert read(tmp_path / "a.csv", content, **keys) == expected
    objects = [
        {"label": 1, "title": "Cold", "body": "It rains."},
        {"label": 2, "title": None, "body": "Sun"},
        {"label": 2, "title": "Warm", "body": "\u00a0"},
    ]
    assert read(tmp_path / "a.jsonl", "\n".join(map(json.dumps, objects)), **keys) == expected
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(objects), tmp_path / "a.parquet")
    held = (tmp_path / "a.parquet").read_bytes()
    assert read(tmp_path / "a.parquet", held, **keys) == expected
    with pytest.raises(UserError, match=r"line 2: the column 'title' and 'body' \(text\) is empty"):
        read(tmp_path / "a.csv", "label,title,body\n1,, \n", **keys)
    with pytest.raises(UserError, match=r"the column 'body' \(text\) is missing"):
        read(tmp_path / "a.csv", "label,title\n1,a\n", **keys)


def test_a_column_may_be_named_by_a_number(tmp_path):
    assert read(tmp_path / "a.csv", "0,1\nham,x\n", text=1, label=0) == [("ham", "x")]
    keys = {"text": [2, 1], "label": 0, "columns": [0, 1, 2]}
    assert read(tmp_path / "a.csv", "ham,x,y\n", **keys) == [("ham", "y\nx")]
    assert read(tmp_path / "a.jsonl", '{"0": "ham", "1": "x"}', text=1, label=0) == [("ham", "x")]


def test_a_line_of_names_where_columns_are_named_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"line 1 holds the names of the columns; leave out"):
        read(tmp_path / "a.csv", "Label,Text\nham,x\n", columns=["label", "text"])
    with pytest.raises(UserError, match=r"line 1 holds the names of the columns; leave out"):
        read(tmp_path / "a.csv", "label,text,x\nham,x,1\n", columns=["label", "text", "id"])


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_second_line_of_names_is_refused_and_a_text_like_a_name_is_read(tmp_path, mark):
    one = f"{mark}text,label,id\na,ham,1\n"
    for content in (one + one, one + one.replace("text", '"Text"')):
        with pytest.raises(UserError, match=r"line 3 holds the names of the columns; allowed: te"):
            read(tmp_path / "a.csv", content)
    with pytest.raises(UserError, match=r"line 2 holds the names of the columns; allowed: texts"):
        read(tmp_path / "a.csv", "x,ham\ntext,label\n", columns=["text", "label"])
    expected = [("ham", "text"), ("label", "a")]
    assert read(tmp_path / "a.csv", "text,label\ntext,ham\na,label\n") == expected


@pytest.mark.parametrize("separator", [";", "|", "\t", "^", " "])
def test_any_character_may_separate_cells(tmp_path, separator):
    content = f'text{separator}label\n"a{separator}b"{separator}ham\n'
    expected = [("ham", f"a{separator}b")]
    assert read(tmp_path / "a.csv", content, separator=separator) == expected


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8", "utf-8-sig"])
def test_a_file_in_another_encoding(tmp_path, encoding):
    content = "text,label\ncafé\u00a0crème,ham\n".encode(encoding)
    for path, held in (("a.csv", content), ("b.csv", gzip.compress(content))):
        found = read(tmp_path / path, held, encoding=encoding)
        assert found == [("ham", "café\u00a0crème")]


def test_a_file_that_is_not_in_its_encoding(tmp_path):
    content = b"text,label\na,ham\n" + b"\x81,ham\n"
    message = r"a\.csv: line 3 is not cp1252 \(byte 0x81, at 17\); allowed: a file in this encoding"
    with pytest.raises(UserError, match=message):
        read(tmp_path / "a.csv", content, encoding="cp1252")


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "koi8-r", "mac-roman"])
def test_utf8_that_is_stated_to_be_another_encoding(tmp_path, encoding):
    content = "text,label\ncafé €,ham\n"
    with pytest.raises(UserError, match=rf"a\.csv is UTF-8, and {encoding} would .*: utf-8"):
        read(tmp_path / "a.csv", content, encoding=encoding)
    assert read(tmp_path / "a.csv", "text,label\na,ham\n", encoding=encoding) == [("ham", "a")]
    for other in ("utf-8", "utf-8-sig"):
        assert read(tmp_path / "a.csv", content, encoding=other) == [("ham", "café €")]


def test_a_wide_encoding_without_a_mark_that_is_stated(tmp_path):
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        content = "text,label\ncafé,ham\n".encode(encoding)
        assert read(tmp_path / "a.csv", content, encoding=encoding) == [("ham", "café")]
    with pytest.raises(UserError, match="encoding: utf-32-le"):
        read(tmp_path / "a.csv", content, encoding="utf-16-le")


# --- classes


def test_classes_map_what_stands_in_the_file_to_names_in_their_own_order(tmp_path):
    keys = {"classes": {3: "World", 1: "Sports", 2: "Sports", "x": "World"}}
    content = "text,label\na,1\nb,2\nc, 3\nd,x\n"
    expected = [("Sports", "a"), ("Sports", "b"), ("World", "c"), ("World", "d")]
    assert read(tmp_path / "a.csv", content, **keys) == expected
    reading = msgspec.convert(OWN | keys, Reading)
    assert class_names(reading) == ("World", "Sports")
    again = msgspec.json.decode(as_json(reading), type=Reading)  # as a job gets it
    assert again == reading and class_names(again) == ("World", "Sports")
    with pytest.raises(UserError, match=r"\(label\) is '4'; allowed: '3', '1', '2', 'x', which"):
        read(tmp_path / "a.csv", "text,label\na,4\n", **keys)
    with pytest.raises(UserError, match=r"\(label\) is 'World'; allowed: '3'"):
        read(tmp_path / "a.csv", "text,label\na,World\n", **keys)
    hidden = {"classes": {"a\u200f": "x", "b": "y"}}
    assert read(tmp_path / "a.csv", "text,label\na,a\u200f\n", **hidden) == [("x", "a")]


def of_hub(path: Path, names: Any, *labels: int) -> Path:
    """A Parquet file as the library `datasets` writes it."""
    features = {"label": {"names": names, "_type": "ClassLabel"}, "text": {"dtype": "string"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pyarrow.table({"text": [f"text {n}" for n in labels], "label": labels})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def gathered(*paths: Path, **keys: Any) -> tuple[tuple[str, ...], list[int]]:
    table, classes = split.gather([file(path) for path in paths], Reading(**OWN | keys))
    return classes, table["Label"].tolist()


def test_a_hub_s_parquet_file_names_its_classes_itself(tmp_path):
    path = of_hub(tmp_path / "a.parquet", ["World", "Sports"], 1, 0, 1)
    assert gathered(path) == (("World", "Sports"), [1, 0, 1])
    assert gathered(path, classes=("Sports", "World")) == (("Sports", "World"), [0, 1, 0])
    assert gathered(path, classes=("Welt", "Sport")) == (("Welt", "Sport"), [1, 0, 1])
    pairs = (("Sports", "Sport"), ("World", "Welt"))
    assert gathered(path, classes=pairs) == (("Sport", "Welt"), [0, 1, 0])
    # a name that is a number is not the number in the file
    stars = of_hub(tmp_path / "b.parquet", ["1", "2", "3"], 0, 1, 2)
    assert gathered(stars) == (("1", "2", "3"), [0, 1, 2])


def test_names_in_a_schema_that_do_not_fit(tmp_path):
    path = of_hub(tmp_path / "a.parquet", ["World", "Sports"], 1, 0, -1)
    with pytest.raises(
        UserError, match=r"row 3: the column 'label' \(label\) is '-1'; allowed: 'W"
    ):
        gathered(path)
    other = of_hub(tmp_path / "b.parquet", ["Sports", "World"], 0)
    with pytest.raises(UserError, match=r"b\.parquet: its schema names the classes 'Sports', 'W"):
        gathered(path, other)
    for wrong, message in (
        (["pos"], "is 'pos' in every text; allowed: two classes or more"),
        (
            ["Pos", "pos "],
            "a.parquet: its schema: the column 'label' (label) is 'pos', but 'Pos' in",
        ),
        (["NA", "pos"], "a.parquet: its schema: the column 'label' (label) is 'NA', as a missing"),
        (["pos", " pos"], "a.parquet: its schema names the class 'pos' twice; allowed: each once"),
        (["pos", "\u3164"], "allowed: each once, with 1 to 100 characters that can be printed"),
    ):
        with pytest.raises(UserError) as raised:
            gathered(of_hub(path, wrong, 0, len(wrong) - 1))
        assert message in str(raised.value)
    blanks = of_hub(path, [" neg", "pos "], 1, 0)
    assert gathered(blanks) == (("neg", "pos"), [1, 0])
    assert gathered(blanks, classes=("pos", "neg")) == (("pos", "neg"), [0, 1])
    for names in (None, {"0": "World"}, [1, 2], "World"):
        assert gathered(of_hub(tmp_path / "c.parquet", names, 1, 0))[0] == ("0", "1")


# --- folders


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Films' reviews as they come: beside the classes, unlabelled texts and other files."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "train/pos/0_9.txt": "A joy.\n",
        "train/pos/1_7.txt": "Fine,\n\nreally\r\n",
        "train/neg/0_1.txt": '"Bad"',
        "train/unsup/0_0.txt": "?",
        "train/labeledBow.feat": "0:9",
        "train/.DS_Store": "\0",
        "test/pos/.hidden": "",
        "test/pos/0_8.txt": "Good",
        "test/neg/0_2.txt": "Long",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name and text, newline="")
    return tmp_path


IMDB: dict[str, Any] = {
    "files": {"train": "train", "test": "test/"},
    "classes": ["neg", "pos"],
    "split": {"validation": 0.5, "seed": 1},
}


def test_folders_of_files_are_read_without_those_that_are_no_class(reviews):
    given = msgspec.convert(IMDB, Texts)
    assert not list(dataset_checks.mistakes(given))
    collection.collection(given, reviews / "results/collection.json")
    files = manifest.read(reviews / "results/collection.json")
    assert [(each.name, each.format, each.split) for each in files] == [
        ("train", "folder", "train"),
        ("test/", "folder", "test"),
    ]
    found = texts.read(files, given.reading)
    assert found.values.tolist() == [
        ["neg", '"Bad"', "train/neg/0_1.txt", "train"],
        ["pos", "A joy.", "train/pos/0_9.txt", "train"],
        ["pos", "Fine,\n\nreally", "train/pos/1_7.txt", "train"],
        ["neg", "Long", "test/neg/0_2.txt", "test"],
        ["pos", "Good", "test/pos/0_8.txt", "test"],
    ]
    all_classes = texts.read(files, Reading())["Label"]
    assert set(all_classes) == {"neg", "pos", "unsup"}
    mapped = texts.read(files, Reading(classes=(("pos", "good"), ("neg", "bad"))))["Label"]
    assert set(mapped) == {"good", "bad"}


def test_a_text_that_moves_to_another_class_is_another_collection(reviews):
    class Study:
        dataset = msgspec.convert(IMDB, Texts)

    before = identities.of_texts(Study, reviews / "memory.json")  # type: ignore[arg-type]
    (reviews / "train/unsup/1_0.txt").write_text("?")
    assert identities.of_texts(Study, reviews / "memory.json") == before  # type: ignore[arg-type]
    (reviews / "train/pos/0_9.txt").rename(reviews / "train/neg/0_9.txt")
    assert identities.of_texts(Study, reviews / "memory.json") != before  # type: ignore[arg-type]


def test_folders_that_hold_no_texts(reviews):
    def wrong(**changes: Any) -> list[str]:
        return list(dataset_checks.mistakes(msgspec.convert(IMDB | changes, Texts)))

    assert wrong(classes=["good", "bad"])[0] == (
        "dataset: files: the folder train holds no folder that is named as one of classes with"
        " texts; allowed: a folder for each class, a file for each text"
    )
    assert wrong(text="text", label="label") == [
        f"dataset: {key} names a column; a folder of texts has none, so leave it out"
        for key in ("text", "label")
    ]
    (reviews / "train/pos/more").mkdir()
    assert wrong() == [
        "dataset: files: train/pos/more is a folder; allowed in train/pos: a file for each text"
    ]
    assert wrong(files={"train": "trian", "test": "test"})[0].startswith(
        "dataset: files: train: tr"
    )
    (reviews / "train/pos/more").rmdir()
    (reviews / "train/pos/none").symlink_to("nowhere")
    assert wrong()[0].startswith("dataset: files: train/pos/none is no file, or a link to none; al")
    (reviews / "train/pos/none").unlink()
    (reviews / "train/pos/Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")  # as hidden as .DS_Store
    assert wrong() == []
    for name in ("caf\udce9", "caf\udce9.txt"):
        path = reviews / "train" / (name if "." not in name else f"pos/{name}")
        path.touch() if "." in name else path.mkdir()
        assert f"the name {name!r} is not UTF-8; allowed: a name in UTF-8" in wrong()[0]
        path.unlink() if "." in name else path.rmdir()
    for name in ("Pos", "pos ", "po\u200ds"):
        (reviews / "test" / name).mkdir()
        assert wrong() == [
            f"dataset: files: the folder test/{name} is left out, but 'pos' of classes differs from"
            " its name in blanks, case or Unicode form alone; allowed: one spelling"
        ]
        (reviews / "test" / name).rmdir()
    (reviews / "train/pos/0_9.txt").write_text("\n")
    given = msgspec.convert(IMDB, Texts)
    collection.collection(given, reviews / "results/collection.json")
    with pytest.raises(UserError, match=r"train/pos/0_9\.txt is empty; allowed: a text in every"):
        texts.read(manifest.read(reviews / "results/collection.json"), given.reading)


# --- the door

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no columns": ({"text": None, "label": None}, "dataset: missing key text and label"),
    "no label": ({"label": None}, "dataset: missing key label"),
    "a column twice": ({"text": ["a", "a"]}, "dataset: text names the column 'a' twice; name diff"),
    "text and label": ({"text": ["a", "label"]}, "text and label both name the column 'label'"),
    "a column that is not there": (
        {"columns": ["text", "x"]},
        "dataset: label: 'label' appears 0 times in columns; allowed: once (text, x)",
    ),
    "no encoding": (
        {"encoding": "base64"},
        "dataset: encoding: 'base64' is none that Python knows; allowed: its name, such as latin-1",
    ),
    "an encoding of Parquet": (
        {"format": "parquet", "encoding": "latin-1"},
        "dataset: encoding is for files of text; a Parquet file has its own",
    ),
    "an archive": (
        {"files": "a.csv.zip", "format": None},
        "dataset: files: a.csv.zip: .zip is an archive; allowed: its files, packed with gzip (.gz)",
    ),
    "packed otherwise": (
        {"files": "a.csv.bz2", "format": None},
        "dataset: files: a.csv.bz2: .bz2 is packed; allowed: its files, packed with gzip (.gz) or",
    ),
    "a spreadsheet": (
        {"files": "a.XLSX", "format": None},
        "dataset: files: a.XLSX: .xlsx is a spreadsheet's; allowed: its table, saved as CSV",
    ),
    "a separator of JSON": (
        {"format": "jsonl", "separator": ";"},
        "dataset: separator is for csv and tsv files, not for jsonl",
    ),
    "a class twice": ({"classes": ["a", "a "]}, "dataset: classes: 'a' appears 2 times"),
    "a blank class": ({"classes": ["a", " "]}, "dataset: classes: '' cannot be a name; allowed: 1"),
    "two lines": ({"classes": {1: "a", 2: "b\nc"}}, "dataset: classes: 'b\\nc' cannot be a name"),
    "one class": (
        {"classes": {1: "a", 2: "a"}},
        "dataset: classes: all texts are 'a'; allowed: two",
    ),
    "a label twice": (
        {"classes": {1: "a", "1 ": "b"}},
        "dataset: classes: the label '1' appears 2 times, without the blanks around it; each may",
    ),
    "a class that nobody sees": ({"classes": ["a", "\u3164"]}, "cannot be a name; allowed: 1 to"),
    "half a mapping": ({"classes": [[1, "a"], "b"]}, "dataset: classes: names and pairs; allowed:"),
}


@pytest.mark.parametrize(("keys", "message"), WRONG.values(), ids=WRONG)
def test_keys_that_do_not_fit_each_other(keys, message):
    found = mistakes(**keys)
    assert message in found[0]
