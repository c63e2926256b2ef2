"""The program that classifies: what it reads, what it writes, and what it says of bad input."""

import contextlib
import csv
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import programs
import runs
from ablations import predict as program
from commands import environment

TEXTS = ["WINNER!! £100, call now", "two\nlines, and a comma", "", "see you at ten"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kept model that learnt nothing, of padded texts."""
    return kept(tmp_path_factory.mktemp("padded"))


@pytest.fixture(scope="module")
def unpadded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kept(tmp_path_factory.mktemp("unpadded"), context_length="variable", batch_size=1)


def kept(folder: Path, **options: object) -> Path:
    runs.row(folder, **options)
    ids = {split: [np.array([1, 2], np.int32)] * 4 for split in ("train", "validation", "test")}
    labels = {split: np.arange(4, dtype=np.int64) % 2 for split in ids}
    runs.write_tokens(folder, ids, labels, ("ham", "spam"))
    runs.train(folder, "--keep")
    runs.keep(folder)
    return folder / "model"


def predicted(*arguments: object, stdin: bytes = b"") -> list[dict[str, str]]:
    """The lines that the program writes for several texts."""
    with pytest.MonkeyPatch.context() as patched, contextlib.redirect_stdout(io.StringIO()) as out:
        patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        program.main(program.parser().parse_args(list(map(str, arguments))))
    return list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def failed(*arguments: object) -> str:
    done = programs.run("ablations.predict", *map(str, arguments))
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return done.stderr.partition("error: ")[2]


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
        table.writerows([["id", "Text"], *enumerate(TEXTS)])
    lines = "\n".join(each.replace("\n", " ") for each in TEXTS)
    (tmp_path / "lines.txt").write_text(lines, encoding="utf-8-sig")
    from_csv = predicted(folder, "--file", tmp_path / "a.csv")
    assert [line["text"] for line in from_csv] == TEXTS
    assert {line["class"] for line in from_csv} <= {"ham", "spam"}
    piped = predicted(folder, "--column", "text", stdin=(tmp_path / "a.csv").read_bytes())
    assert piped == from_csv
    from_lines = predicted(folder, "--file", tmp_path / "lines.txt")
    assert [line["text"] for line in from_lines] == lines.split("\n")
    assert from_lines[0] == from_csv[0] and from_lines[2:] == from_csv[2:]
    assert predicted(folder, stdin=lines.encode()) == from_lines
    assert predicted(folder, *TEXTS) == from_csv


def test_a_column_is_named_exactly_or_else_in_any_case(folder, tmp_path):
    (tmp_path / "a.csv").write_text("text,body,Body\n1,hello,2\n")
    for column, expected in {"body": "hello", "BODY": "hello", "Body": "2"}.items():
        (line,) = predicted(folder, "--column", column, "--file", tmp_path / "a.csv")
        assert line["text"] == expected


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
    assert done.stdout.startswith("text,class,probability\na text,") and done.stderr == ""


def test_bad_input_is_one_message(folder, unpadded, tmp_path):
    (tmp_path / "a.csv").write_text("id,body\n1,hello\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    assert "nowhere is no folder; expected the folder of" in failed("nowhere", "a")
    assert f"{tmp_path} has no ablations.json; expected" in failed(tmp_path, "a")
    assert "a.csv has no column text; found: id, body (--column names" in failed(
        folder, "--file", tmp_path / "a.csv"
    )
    assert "has no column Body2; found: id, body" in failed(
        folder, "--file", tmp_path / "a.csv", "--column", "Body2"
    )
    assert "none.csv cannot be read: No such file" in failed(
        folder, "--file", tmp_path / "none.csv"
    )
    assert "latin.txt is not UTF-8 text" in failed(folder, "--file", tmp_path / "latin.txt")
    assert "text 1 has 0 tokens; row baseline reads texts without padding, allowed: 1 to 16" in (
        failed(unpadded, "")
    )
    assert "text 2 has 17 tokens" in failed(unpadded, "a", "b" * 17)
    assert "tf32 needs a CUDA device" in failed(folder, "a", "--precision", "tf32") or (
        torch.cuda.is_available()
    )


def test_texts_from_two_places_are_refused(folder):
    assert "text 'a' and --file are given; allowed: texts as arguments, or --file and" in failed(
        folder, "a", "--file", "x.csv", "--column", "nope"
    )
    assert "text 'a' and --column are given" in failed(folder, "a", "b", "--column", "nope")


def test_weights_of_another_size_name_the_command_that_writes_them_again(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    with (tmp_path / "model/model.safetensors").open("ab") as file:
        file.write(b"!")
    message = failed(tmp_path / "model", "a")
    assert "model.safetensors has" in message
    assert f"snakemake --cores 1 --force {tmp_path}/model/manifest.json" in message


@pytest.mark.parametrize("option", [("--precision", "float16"), ("--threads", "0")])
def test_an_option_that_is_not_allowed_is_refused(folder, option):
    done = programs.run("ablations.predict", folder, "a", *option)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"argument {option[0]}: " in done.stderr and repr(option[1]) in done.stderr


def test_a_head_of_other_classes_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    about = tmp_path / "model/ablations.json"
    about.write_text(about.read_text().replace('"spam"', '"spam","eggs"'))
    message = failed(tmp_path / "model", "a")
    assert "model.safetensors is not the model that" in message and "ablations.json" in message
