"""Tokens: what the encodings do to a text, what the file keeps, how long a context is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from ablations.data import byte_pairs, tokens
from ablations.data import encode as stage
from ablations.data.tokenizer import of_merges
from ablations.errors import UserError
from ablations.files import sha256, write_json
from ablations.study.dataset import SPLITS
from commands import program
from texts import as_tokens, file, gpt2, gpt2_bpe, run_split, sms_collection, write_texts

AWKWARD = ["", " ", "<|endoftext|>", "a<|endoftext|>\0b\t\n", "🙂ü", "x" * 100_000, "\n" * 300_000]

CLASSES = ("even", "odd", "neither")


def write_data(folder: Path, **texts: list[str]) -> None:
    """Three splits; those not named hold one text. Labels alternate."""
    write_json(folder / "classes.json", CLASSES)
    (folder / "collection.tsv").write_text("the collection\n")
    write_json(folder / "collection.json", [file(folder / "collection.tsv")])
    found = {split: texts.get(split, ["hello"]) for split in SPLITS}
    labels = {split: [i % 2 for i in range(len(own))] for split, own in found.items()}
    write_texts(folder / "texts.csv", labels, found)


def arguments(folder: Path, tokenizer: str, *options: object) -> list[str]:
    found = ["--tokenizer", tokenizer, *options, "--texts", folder / "texts.csv"]
    found += ["--classes", folder / "classes.json"]
    found += ["--collection", folder / "collection.json"]
    return list(map(str, [*found, "--output", folder / "tokens.safetensors"]))


def run_stage(folder: Path, tokenizer: str, *options: object) -> None:
    """The program, in this process."""
    stage.main(stage.parser().parse_args(arguments(folder, tokenizer, *options)))


def described(found: tokens.Tokens) -> tuple[str, int, int]:
    return found.about.tokenizer, found.about.vocab_size, found.about.padding_id


# --- encodings


@given(st.text())
@settings(max_examples=200)
def test_bytes_are_the_texts_own(text):
    (ids,) = of_merges(()).encode([text])
    assert ids.tolist() == list(text.encode())


def test_awkward_texts_as_bytes():
    found = of_merges(()).encode(AWKWARD)
    assert [ids.tolist() for ids in found] == [list(text.encode()) for text in AWKWARD]


def test_gpt2_ids_decode_to_the_text_and_hold_no_special_token():
    used = gpt2()
    pieces = byte_pairs.encoding(byte_pairs.read(gpt2_bpe() / "vocab.bpe"))

    def check(text):
        (ids,) = used.encode([text])
        assert pieces.decode(ids.tolist()) == text
        assert used.padding_id not in ids

    settings(max_examples=200)(given(st.text())(check))()
    for text in AWKWARD:
        check(text)


def test_gpt2_ids_are_gpt2s():
    """Ids that transformers' GPT-2 tokenizer gives for these texts."""
    used = gpt2()
    assert (used.vocab_size, used.padding_id, used.closing) == (50257, 50256, 0)
    (ids,) = used.encode(["Hello, world!"])
    assert ids.tolist() == [15496, 11, 995, 0]
    assert ids.dtype == np.int32


# --- the program


def test_real_collection_has_120_tokens_in_its_longest_training_text(tmp_path):
    sms_collection(tmp_path).rename(tmp_path / "collection.tsv")
    run_split(tmp_path, tmp_path / "collection.tsv")
    write_json(tmp_path / "collection.json", [file(tmp_path / "collection.tsv")])
    shutil.copy(gpt2_bpe() / "vocab.bpe", tmp_path / "merges.txt")
    run_stage(tmp_path, "gpt2", "--files", tmp_path / "manifest.json")
    read = tokens.read(tmp_path / "tokens.safetensors")
    assert list(map(len, read.lines(None).values())) == [1045, 149, 300]
    assert read.context_tokens("longest_training_example", 1024) == 120
    assert described(read) == ("gpt2", 50257, 50256)
    assert read.about.classes == ("ham", "spam")
    expected = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"
    assert read.about.dataset_sha256 == expected


def test_file_holds_every_text_and_the_same_bytes_each_time(tmp_path):
    write_data(tmp_path, train=AWKWARD, test=["only"])
    written = set()
    for seed in "12":  # of Python's hashes; the file's own hash maps are seeded by the system
        done = program("data.encode", *arguments(tmp_path, "bytes"), PYTHONHASHSEED=seed)
        assert done.returncode == 0, done.stderr
        written.add((tmp_path / "tokens.safetensors").read_bytes())
    assert len(written) == 1
    read = tokens.read(tmp_path / "tokens.safetensors")
    own = read.lines(None)
    assert [bytes(read.ids[line].tolist()).decode() for line in own["train"]] == AWKWARD
    assert read.labels[own["train"]].tolist() == [i % 2 for i in range(len(AWKWARD))]
    assert list(map(len, own.values())) == [len(AWKWARD), 1, 1]
    assert read.about.dataset_sha256 == sha256(tmp_path / "collection.tsv")
    assert described(read) == ("bytes", 257, 256)
    assert read.about.classes == CLASSES
    with safe_open(tmp_path / "tokens.safetensors", framework="numpy") as opened:
        assert sorted(opened.keys()) == ["cuts/split", "ids", "labels", "offsets"]


def refused(folder: Path, message: str, tokenizer: str, *options: object) -> None:
    with pytest.raises(UserError) as raised:
        run_stage(folder, tokenizer, *options)
    assert message in str(raised.value)
    assert not (folder / "tokens.safetensors").exists()


def test_a_vocabulary_that_is_missing_or_not_gpt2_s_is_a_message(tmp_path):
    write_data(tmp_path)
    refused(tmp_path, "needs the manifest of its files", "gpt2")
    refused(tmp_path, "nowhere/merges.txt cannot be", "gpt2", "--files", "nowhere/manifest.json")
    merges = (gpt2_bpe() / "vocab.bpe").read_text()
    (tmp_path / "merges.txt").write_text(merges[: merges.rindex("\n", 0, -1) + 1])  # one less
    options = ("gpt2", "--files", tmp_path / "manifest.json")
    refused(tmp_path, "merges.txt does not hold GPT-2's merges; delete the manifest", *options)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("texts.csv", "texts.csv does not exist"),
        ("classes.json", "json cannot be read: No"),
    ],
)
def test_missing_texts_or_list_of_classes_is_a_message(tmp_path, file, expected):
    write_data(tmp_path)
    (tmp_path / file).unlink()
    refused(tmp_path, expected, "bytes")


@pytest.mark.parametrize("content", [None, b"", b"no safetensors", b"\x02\0\0\0\0\0\0\0{}"])
def test_reading_anything_else_is_a_message(tmp_path, content):
    path = tmp_path / "tokens.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="is no file of tokens"):
        tokens.read(path)


# --- the file, and lengths of context


@given(st.lists(st.lists(st.integers(0, 255), max_size=12), min_size=1, max_size=8))
@settings(max_examples=100)
def test_file_gives_back_what_was_written_and_context_lengths(tmp_path_factory, train):
    path = tmp_path_factory.getbasetemp() / "tokens.safetensors"
    written = as_tokens(dict.fromkeys(SPLITS, train))
    tokens.write(path, written)
    read = tokens.read(path)
    assert [ids.tolist() for ids in read.ids] == 3 * train
    assert read.labels.tolist() == [0] * 3 * len(train)
    assert read.cuts["split"].tolist() == written.cuts["split"].tolist()
    assert read.about == written.about
    longest = max(1, max(map(len, train)))
    assert read.context_tokens("longest_training_example", 12) == longest
    assert read.context_tokens("model_context_length", 12) == 12
    assert read.context_tokens(12, 12) == 12
    assert read.context_tokens(1, 12) == 1
    if all(train):
        assert read.context_tokens("variable", 12) == longest


@pytest.mark.parametrize(
    ("context_length", "found"),
    [(7, "context_length: 7,"), ("longest_training_example", "longest training text has 9 tokens")],
)
def test_more_tokens_than_positions_are_refused(context_length, found):
    with pytest.raises(UserError) as caught:
        as_tokens({name: [[1] * 9, [2]] for name in SPLITS}).context_tokens(context_length, 6)
    for part in (found, "the model has 6 positions", "a number up to 6"):
        assert part in str(caught.value)
