"""The program that classifies: what it reads, what it writes, and what it says of bad input."""

import contextlib
import csv
import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

import programs
import runs
from ablations import predict as program
from ablations.errors import UserError
from commands import environment

TEXTS = ["WINNER!! £100, call now", "two\nlines, and a comma", 'so "good"', "see you at ten"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept model that learnt nothing, of padded texts."""
    return kept(tmp_path_factory.mktemp("padded"))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that learnt from a table in which a quote is an ordinary character."""
    reading = '{"text": "text", "label": "label", "quotes": false}'
    return kept(tmp_path_factory.mktemp("learnt"), keep=("--dataset", reading))


@pytest.fixture(scope="module")
def unpadded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(tmp_path_factory.mktemp("unpadded"), context_length="variable", batch_size=1)


def kept(folder: Path, keep: tuple[str, ...] = (), **options: object) -> Path:
    runs.row(folder, **options)
    ids = {split: [np.array([1, 2], np.int32)] * 4 for split in ("train", "validation", "test")}
    labels = {split: np.arange(4, dtype=np.int64) % 2 for split in ids}
    runs.write_tokens(folder, ids, labels, ("ham", "spam"))
    runs.train(folder, "--keep")
    runs.keep(folder, *keep)
    return folder / "model"


def predicted(*arguments: object, stdin: bytes = b"") -> list[dict[str, str]]:
    """The lines that the program writes for several texts."""
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(io.StringIO()) as out:
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        program.main(program.parser().parse_args(list(map(str, arguments))))
    return list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def refused(*arguments: object) -> str:
    """What the program says in this process; it writes nothing."""
    with pytest.raises(UserError) as raised, contextlib.redirect_stdout(io.StringIO()) as out:
        program.main(program.parser().parse_args(list(map(str, arguments))))
    assert out.getvalue() == "" and "\n" not in str(raised.value)
    return str(raised.value)


def test_one_text_gives_each_class_and_its_probability(folder):
    done = programs.run("ablations.predict", folder, TEXTS[0])
    first, second = (line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert sorted([first[0], second[0]]) == ["ham", "spam"]
    shares = [float(each[1].rstrip("%")) for each in (first, second)]
    assert sum(shares) == pytest.approx(100, abs=0.02) and shares[0] >= shares[1]


def test_texts_of_a_csv_file_of_lines_and_of_standard_input_are_the_same(folder, tmp_path):
    """A mark of the encoding is no text."""
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8-sig") as file:
        table = csv.writer(file)
        table.writerows([["id", "text"], *enumerate(TEXTS)])
    lines = "\n".join(each.replace("\n", " ") for each in TEXTS)
    (tmp_path / "lines.txt").write_text(lines, encoding="utf-8-sig")
    from_csv = predicted(folder, "--file", tmp_path / "a.csv")
    assert [line["text"] for line in from_csv] == TEXTS
    assert [line["line"] for line in from_csv] == ["2", "3", "5", "6"]
    for line in from_csv:
        shares = {name: float(line[f"probability_{name}"]) for name in ("ham", "spam")}
        assert sum(shares.values()) == pytest.approx(1, abs=2e-6)
        assert shares[line["class"]] == float(line["probability"]) == max(shares.values())
    held = (tmp_path / "a.csv").read_bytes()
    for file in ([], ["--file", "-"]):
        assert predicted(folder, "--format", "csv", *file, stdin=held) == from_csv
        assert predicted(folder, "--format", "csv", *file, stdin=gzip.compress(held)) == from_csv
    from_lines = predicted(folder, "--file", tmp_path / "lines.txt")
    assert [line["text"] for line in from_lines] == lines.split("\n")
    assert (
        from_lines[0] | {"line": "2"} == from_csv[0]
        and from_lines[3] | {"line": "6"} == from_csv[3]
    )
    assert predicted(folder, stdin=b"\n" + lines.encode() + b"\n\n") == [
        line | {"line": str(int(line["line"]) + 1)} for line in from_lines
    ]
    arguments = predicted(folder, *TEXTS)
    assert [line["line"] for line in arguments] == ["1", "2", "3", "4"]
    assert [line | {"line": ""} for line in arguments] == [line | {"line": ""} for line in from_csv]


def written(path: Path, texts: list[str], labels: list[str]) -> Path:
    """A table in the format that the path's name tells."""
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        columns = pyarrow.table({"label": labels, "text": texts})
        pyarrow.parquet.write_table(columns, path)
    elif "json" in name:
        found = [{"label": a, "text": b} for a, b in zip(labels, texts, strict=True)]
        whole = json.dumps(found, indent=1) if name.endswith(".json") else ""
        path.write_text(whole or "\n".join(map(json.dumps, found)))
    else:
        with path.open("w", newline="") as file:
            table = csv.writer(file, delimiter="\t" if name.endswith(".tsv") else ",")
            table.writerows([["label", "text"], *zip(labels, texts, strict=True)])
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a.csv.gz", "a.jsonl.gz"]
)
def test_every_format_is_read_as_in_training(folder, tmp_path, name):
    path = written(tmp_path / name, TEXTS, ["a label", "", "NA", "9"])  # no label is read
    found = predicted(folder, "--file", path)
    assert [line["text"] for line in found] == TEXTS
    path.rename(tmp_path / "data")
    (format,) = {"csv", "tsv", "jsonl", "parquet"} & {*name.replace(".json.", "").split(".")} or {
        "jsonl"
    }
    assert predicted(folder, "--file", tmp_path / "data", "--format", format) == found


def test_each_file_of_a_folder_is_a_text_whatever_the_names_of_folders_in_it(folder, tmp_path):
    for name, text in {"good/1.txt": "one\ntwo\n", "new/2.txt": "three", "0": "zero"}.items():
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "texts" / name).write_text(text)
    found = predicted(folder, "--file", tmp_path / "texts")
    assert [line["text"] for line in found] == ["zero", "one\ntwo", "three"]
    assert [Path(line["file"]).name for line in found] == ["0", "1.txt", "2.txt"]
    (line,) = predicted(folder, "--file", tmp_path / "texts/new")
    assert line["file"] == f"{tmp_path}/texts/new/2.txt"
    (tmp_path / "texts/new/2.txt").rename(tmp_path / "texts/new/a.csv")
    assert len(predicted(folder, "--file", tmp_path / "texts")) == 3  # it learnt from a folder


def test_what_a_folder_of_texts_may_not_hold(learnt, tmp_path):
    (tmp_path / "empty/within").mkdir(parents=True)
    assert f"{tmp_path}/empty holds no texts" in refused(learnt, "--file", tmp_path / "empty")
    (tmp_path / "empty/within/a.csv.gz").touch()
    assert "within/a.csv.gz: the name tells the format csv; allowed in a folder: a file for" in (
        refused(learnt, "--file", tmp_path / "empty")
    )
    (tmp_path / "empty/within/a.csv.gz").unlink()
    (tmp_path / "empty/a").write_text("PAR1")
    assert "a is a Parquet file; allowed in a folder: files of text" in (
        refused(learnt, "--file", tmp_path / "empty")
    )
    assert "--format is for a file; " in (
        refused(learnt, "--file", tmp_path / "empty", "--format", "csv")
    )


OPTIONS = {
    "a separator of lines": ("a.txt", ["--separator", "|"], "--separator is for csv and tsv files,"
                             " not for lines; is it a table? Set --format csv"),
    "names of lines": ("a", ["--columns", "text,id"], "--columns is for csv and tsv files, not"),
    "a column of lines": ("a", ["--text", "a"], "--text names a column; a file with a text on each"
                          " line has none, so leave it out; is it a table? Set --format csv"),
    "denied": ("a", ["--format", "lines", "--separator", "|"], "csv and tsv files, not for lines"),
    "a column of a folder": (".", ["--text", "a"], "--text names a column; a folder of texts has"),
    "a separator of JSON": ("a.jsonl", ["--separator", ";"], "csv and tsv files, not for jsonl"),
    "an encoding of Parquet": ("a.parquet", ["--encoding", "cp1252"], "--encoding is for files of"),
    "a column twice": ("a.csv", ["--text", "a", "--text", "a"], "--text names the column 'a' twi"),
    "no such column": ("a.csv", ["--columns", "a,b"], "--text 'text' appears 0 times in columns;"),
    "no encoding": ("a.csv", ["--encoding", "klingon"], "--encoding 'klingon' is none that Python"),
    "no encoding of text": ("a", ["--encoding", "rot13"], "--encoding 'rot13' is none that Python"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "options", "message"), OPTIONS.values(), ids=OPTIONS)
def test_options_that_do_not_fit_a_file(folder, tmp_path, name, options, message):
    (tmp_path / "a").write_text("text\na\n")
    assert message in refused(folder, "--file", tmp_path / name, *options)


def test_quotes_are_those_that_the_model_learnt_with(learnt, tmp_path):
    (tmp_path / "a.tsv").write_text('text\n"a" b\n')
    (line,) = predicted(learnt, "--file", tmp_path / "a.tsv")
    assert line["text"] == '"a" b'
    assert "' b' follows the quote" in refused(
        learnt, "--file", tmp_path / "a.tsv", "--quotes", "true"
    )


def test_what_the_keys_of_a_study_say_is_said_by_options(folder, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('1|café"|crème\n', encoding="cp1252")
    options = ["--columns", "id,title,body", "--separator", "|", "--encoding", "cp1252"]
    texts = ["--text", "title", "--text", "body", "--quotes", "false"]
    (line,) = predicted(folder, "--file", path, *options, *texts)
    assert (line["line"], line["text"]) == ("1", 'café"\ncrème')
    (line,) = predicted(folder, "--file", path, *options, "--column", "body")
    assert line["text"] == "crème"


def test_the_columns_are_those_that_the_model_learnt_from(tmp_path):
    reading = '{"text": ["title", 2], "label": "mood", "classes": [[1, "ham"], [2, "spam"]]}'
    model = kept(tmp_path, keep=("--dataset", reading))
    (tmp_path / "a.csv").write_text("title,2,mood\nCold,It rains,1\n")
    (line,) = predicted(model, "--file", tmp_path / "a.csv")
    assert line["text"] == "Cold\nIt rains"
    (tmp_path / "b.csv").write_text('title,2,mood\nCold,"a,1\nb,c,2\nd,e",1\n')
    assert "b.csv: line 2: a quote joins it with the lines to 4, of which line 3 looks like" in (
        refused(model, "--file", tmp_path / "b.csv")
    )


BAD: dict[str, tuple[str, str, str]] = {
    "too many cells": ("a.csv", "text,topic\nThe invoice, which is wrong, came late,b\n",
                       "a.csv: line 2 has 4 columns; allowed: 2, as 'text', 'topic'"),
    "never closed": ("a.csv", 'text,topic\n"The invoice,b\nMy parcel,c\n',
                     "a.csv: line 2: a quote is opened and never closed; allowed: cells in quotes,"
                     " or --quotes false where"),
    "rows swallowed": ("a.csv", 'text,label\n"The invoice,ham\nMy,spam\nyour",ham\n',
                       "a.csv: line 2: a quote joins it with the lines to 4"),
    "no such column": ("a.csv", "note,topic\na,b\n", "a.csv: the column 'text' (text) is missing;"
                       " the columns are: 'note', 'topic'. The first line names them; where it does"
                       " not, set --columns [a name for each]"),
    "names again": ("a.csv", "id,text\n1,a\nid,text\n", "a.csv: line 3 holds the names of the"),
    "names again, with labels": ("a.csv", "id,text,label\n1,a,b\nx,text,label\n", "line 3 holds"),
    "a column twice": ("a.csv", "text,text\nA,B\n", "the column 'text' (text) appears more"),
    "an empty text": ("a.csv", "text,topic\nb,c\n,b\n", "a.csv: line 3: the column 'text' (text)"),
    "a short line": ("a.csv", "text,topic\nb,c\n\nWhere\n", "a.csv: line 4 has 1 column; allowed:"),
    "a TSV file's line": ("a.tsv", "text\ttopic\nA\n", "a.tsv: line 2 has 1 column; allowed: 2"),
    "JSON": ("a.jsonl", '{"topic": "a"}\n', "a.jsonl: line 1: the key 'text' is missing; its keys"),
    "a number": ("a.jsonl", '{"text": 7}\n', "a.jsonl: line 1: the column 'text' (text) is 7"),
    "semicolons": ("a.csv", "text;topic\na;b\n", "by ';'? Set --separator \";\""),
    "no texts": ("a.csv", "text\n", "a.csv holds no texts; allowed: at least one"),
    "no lines": ("a.txt", "\n\n", "a.txt holds no texts"),
    "CSV as lines": ("a.txt", "text,topic\na,b\n", "a.txt: line 1 looks like CSV; allowed: --format"
                     " csv, or --format lines where each line is a text"),
    "one column as lines": ("a", "text\na\n", "a: line 1 looks like CSV; allowed: --format csv,"),
    "TSV as lines": ("a.txt", "\ntopic\ttext\na\tb\n", "line 2 looks like TSV; allowed: --format"),
    "labels as lines": ("a.txt", "ham\tA text\n", "line 1 looks like TSV; allowed: --format tsv"),
    "labels behind": ("a.txt", "A text,spam\n", "line 1 looks like CSV; allowed: --format csv"),
    "other names": ("a", "body;topic\na;b\nc, d;e\n", "a: line 1 looks like CSV; allowed:"),
    "tabs": ("a", "a\tb\nc\td\ne\tf\n", "a: line 1 looks like TSV; allowed: --format tsv, or"),
    "other case": ("a", "id,Text\n1,b\n", "a: line 1 looks like CSV; allowed: --format csv, or"),
    "pipes": ("a", "a|b\nc|d\ne|f\n", "line 1 looks like CSV; allowed: --format csv --separator"
              ' "|", or --format lines'),
    "texts of several lines": ("a", "note,id\n" + '"a,\nb\nc",1\n' * 9, "looks like CSV; allowed:"),
    "few of them": ("a", 'note,id\n"a\nb",1\n', "looks like CSV; allowed: --format csv, or"),
    "a quote that is not closed": ("a", 'note,id\n"a,1\nb,2\n', "looks like CSV; allowed:"),
    "all in quotes": ("a", '"Hello, you"\n"Bye"\n', "line 1 looks like CSV; allowed: --format csv"
                      " --columns text, or --format lines"),
    "an object over lines": ("a", '{\n "text": "a"\n}\n', "line 1 looks like JSONL; allowed:"),
    "texts in JSON": ("a", '["hello", "bye"]\n', "line 1 looks like JSONL; allowed: --format"),
    "an array over lines": ("a", '[\n"hello"\n]\n', "line 1 looks like JSONL; allowed: --format"),
    "JSON as lines": ("a.txt", '{"text": "a"}\n', "line 1 looks like JSONL; allowed: --format"),
    "an array as lines": ("a.txt", '[{"text": "a"},\n', "line 1 looks like JSONL; allowed:"),
    "Parquet as lines": ("a.txt", "PAR1", "a.txt is a Parquet file; set --format parquet"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "held", "message"), BAD.values(), ids=BAD)
def test_what_training_refuses_is_refused(folder, tmp_path, monkeypatch, name, held, message):
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(held)
    assert message in refused(folder, "--file", name)


def test_lines_that_look_like_a_table_may_be_texts(folder, tmp_path):
    (tmp_path / "a.txt").write_text("text,topic\n{}\n")
    found = predicted(folder, "--file", tmp_path / "a.txt", "--format", "lines")
    assert [line["text"] for line in found] == ["text,topic", "{}"]
    (tmp_path / "a.txt").write_text("I like ham, eggs\n{}\nham, spam; eggs\ntext\n")
    assert len(predicted(folder, "--file", tmp_path / "a.txt")) == 4
    said = f'{{so}} she said\n"Hello," he said\n[1] is a note\n"{"x" * 200_000}\n"ham"\n'
    (tmp_path / "a.txt").write_text(said)
    assert len(predicted(folder, "--file", tmp_path / "a.txt")) == 5


def test_more_texts_than_are_held_at_a_time(folder):
    texts = [f"text {number}" for number in range(1500)]
    found = predicted(folder, stdin="\n".join(texts).encode())
    assert [line["text"] for line in found] == texts


def test_a_reader_that_has_seen_enough_is_no_error(folder):
    texts = "\n".join(["a text"] * 9000)
    command = f"{sys.executable} -m ablations.predict {folder} | head -n 2"
    done = subprocess.run(
        command, shell=True, env=environment(), input=texts, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[1].startswith("1,a text,") and done.stderr == ""


def test_bad_input_is_one_message(folder, unpadded, tmp_path):
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "a.csv").write_text(f"text\na\n{'b' * 17}\n")
    done = programs.run("ablations.predict", "nowhere", "a")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: nowhere is no folder; expected the folder of")
    assert "Traceback" not in done.stderr
    assert f"{tmp_path} has no ablations.json; expected" in refused(tmp_path, "a")
    assert "none.csv cannot be read: No such file" in refused(
        folder, "--file", tmp_path / "none.csv"
    )
    assert "latin.txt: line 1 is not UTF-8 (byte 0xe9); allowed: a file saved as UTF-8, or" in (
        refused(folder, "--file", tmp_path / "latin.txt")
    )
    assert "--separator ';;' is not allowed; allowed: one character" in refused(
        folder, "--file", tmp_path / "a.csv", "--separator", ";;"
    )
    assert "text 2 is empty; allowed: a text" in refused(folder, "a", "")
    assert "text 1 is not UTF-8 (byte 0xe9); allowed: a text" in refused(folder, "caf\udce9")
    assert "text 2 has 17 tokens; row baseline reads texts without padding, allowed: 1 to 16" in (
        refused(unpadded, "a", "b" * 17)
    )
    place = f"{tmp_path}/a.csv: line 3 has 17 tokens"
    assert place in refused(unpadded, "--file", tmp_path / "a.csv")
    if not torch.cuda.is_available():
        assert "tf32 needs a CUDA device" in refused(folder, "a", "--precision", "tf32")


def test_texts_from_two_places_are_refused(folder):
    assert "text 'a' and --file are given; allowed: texts as arguments, or a file and" in refused(
        folder, "a", "--file", "x.csv", "--column", "nope"
    )
    assert "text 'a' and --text are given" in refused(folder, "a", "b", "--column", "nope")


def test_weights_of_another_size_name_the_command_that_writes_them_again(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    with (tmp_path / "model/model.safetensors").open("ab") as file:
        file.write(b"!")
    message = refused(tmp_path / "model", "a")
    assert "model.safetensors has" in message
    assert f"snakemake --cores 1 --force {tmp_path}/model/manifest.json" in message


@pytest.mark.parametrize("name", ["model.safetensors", "ablations.json", "manifest.json"])
def test_a_pointer_of_git_lfs_is_named_as_such(folder, tmp_path, name):
    shutil.copytree(folder, tmp_path / "model")
    (tmp_path / "model" / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    assert f"model/{name} is a Git LFS pointer and not" in refused(tmp_path / "model", "a")


@pytest.mark.parametrize("option", [("--precision", "float16"), ("--threads", "0")])
def test_an_option_that_is_not_allowed_is_refused(capsys, option):
    with pytest.raises(SystemExit, match=r"^2$"):
        program.parser().parse_args(["folder", "a", *option])
    said = capsys.readouterr().err
    assert f"argument {option[0]}: " in said and repr(option[1]) in said


def test_a_head_of_other_classes_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    about = tmp_path / "model/ablations.json"
    about.write_text(about.read_text().replace('"spam"', '"spam","eggs"'))
    expected = r"model\.safetensors is not the model that .*ablations\.json"
    with pytest.raises(UserError, match=expected):
        predicted(tmp_path / "model", "a")
