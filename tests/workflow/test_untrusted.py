"""Names, texts and files that try to be more than that: nothing runs, nothing leaves results/."""

import csv
import io
import json
import os
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

import synthetic_runs
import tiny
from ablations import files
from ablations.answers.written import figures, interpretation, numbers, page, table
from ablations.data import collection
from ablations.errors import UserError
from ablations.model import fetch as checkpoint
from ablations.study import config
from ablations.study.dimensions import Dimensions
from commands import ROOT, snakemake
from shown import Shown
from texts import replace_texts

SHELL = "$(touch pwned) `touch pwned`; touch pwned & 'q' \"q\" {0} {row} %s $HOME \\ 🙂"
MARKUP = "<script>alert(1)</script> <img src=x onerror=alert(1)> | **b** [x](javascript:alert(1))"
LINES = "\n\n.. include:: /etc/passwd\n\n.. raw:: html\n\n   <script>alert(1)</script>\n\n# own\n"
TITLE = f"{SHELL} {MARKUP}{LINES}"
MODEL = f"{SHELL} a|b <b>"
MESSAGES = [
    SHELL,
    MARKUP,
    "<|endoftext|> in the middle <|endoftext|>",
    "../../../etc/passwd",
    '=HYPERLINK("http://example.org")',
    "a\0b",
    " ",
    "🙂" * 50,
    "x" * 100_000,
    "\x1b[31mred",
]


def pwned(*folders: Path) -> list[Path]:
    return [path for folder in (*folders, ROOT) for path in folder.rglob("pwned*")]


# --- names in the configuration

BAD_IDS = [
    *("../../x", "..", ".", "a/b", "$(touch pwned)", "a; touch pwned", "`touch pwned`", "a b"),
    *("a\n", "a\nb", "a\tb", "a|b", "a'b", 'a"b', "-rf", "", "a" * 101, "{row}", "A", "ä"),
]
BAD_MODELS = ["..", ".", "/", "../..", "a\nb", "a\0b", "a" * 101, "🙂"]


def test_row_ids_that_try_paths_or_shells_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "work"
    file = tiny.config(folder, rows=[*tiny.ROWS, *({"id": id} for id in BAD_IDS)])
    done = snakemake(folder, "--cores", 1, "--configfile", file, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stdout
    for id in BAD_IDS:
        wrong = "is not allowed" if len(id) <= 100 else "has 101 characters"
        assert f"id: {id!r} {wrong}" in done.stdout
    lines = re.findall("^.*(?: is not allowed|has 101 characters).*$", done.stdout, re.M)
    assert len(lines) == len(BAD_IDS)  # together, each in its own
    assert not (folder / "results").exists() and [path.name for path in tmp_path.iterdir()] == [
        "work"
    ]
    assert not pwned(tmp_path)


@pytest.mark.parametrize("name", BAD_MODELS, ids=ascii)
def test_model_names_that_are_no_file_names_are_refused(name: str, tmp_path: Path) -> None:
    made = yaml.safe_load(tiny.config(tmp_path).read_text())
    made["models"] = {name: tiny.MODEL}
    made["rows"][0]["model"] = name
    with pytest.raises(UserError, match="models: "):
        config.parse(made)


# --- texts, from the messages to the report


@pytest.mark.slow
def test_hostile_texts_go_through_the_whole_workflow_as_texts(tmp_path: Path) -> None:
    folder, mirror = tmp_path / "work", tmp_path / f"mirror {SHELL}"
    mirror.mkdir()
    pairs = [("ham", text) for text in MESSAGES] + [("spam", text[::-1]) for text in MESSAGES]
    with zipfile.ZipFile(mirror / "sms+spam+collection.zip", "w") as archive:
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows(pairs * 4)
        archive.writestr("SMSSpamCollection", text.getvalue())
    published = {"train": 0.5, "validation": 0.5, "test": 0.5, "training_time_min": 1.0}
    rows = [
        tiny.ROWS[0] | {"model": MODEL, "published": published | {"device": TITLE}},
        {"id": "variant", "trainable_layers": "last_layer"},
    ]
    question = {"id": "q", "question": TITLE, "baseline": "baseline", "variant": "variant"}
    file = tiny.config(
        folder,
        title=TITLE,
        mirror=str(mirror),
        models={MODEL: tiny.MODEL},
        rows=rows,
        comparisons=[question],
        dataset={
            "urls": ["http://127.0.0.1:9/$(touch${IFS}pwned);touch${IFS}pwned"],
            "sha256": files.sha256(mirror / "sms+spam+collection.zip"),
            "split": {"train": 0.6, "validation": 0.2, "seed": 1},
        },
        training={"epochs": 1},
    )
    snakemake(folder, "--cores", 2, "--configfile", file)
    snakemake(folder, "--report", "results/report.html", "--configfile", file)

    assert not pwned(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"work", mirror.name}
    assert {path.name for path in folder.iterdir()} == {
        *(".snakemake", "config.yaml", "results", "logs", "benchmarks")
    }
    texts = collection.read(folder / "results/data/texts.csv").texts
    assert set(texts) == {text for _, text in pairs}
    report = (folder / "results/report.html").read_text()
    assert "root:x:0" not in report
    assert "<script>alert" not in report and "<img src=x" not in report


STANDIN = f"Stand-in models: {MODEL} $\\frac{{$."


def hostile_study(folder: Path, *notes: str) -> None:
    """A finished study in which every text is hostile."""
    made = synthetic_runs.configuration()
    model = made["models"].pop("gpt2-small (124M)")
    rows = [made["rows"][0] | {"model": MODEL}, {"id": "variant", "context_length": 7}]
    rows[0]["published"]["device"] = TITLE
    question = {"id": "q", "question": TITLE, "baseline": "baseline", "variant": "variant"}
    made |= {"title": TITLE, "seeds": [1], "models": {MODEL: model}, "rows": rows}
    parsed = config.parse(made | {"comparisons": [question]})
    baseline, variant = synthetic_runs.disagreeing(len(MESSAGES), 3, 5)
    right = {"baseline": baseline, "variant": variant}
    synthetic_runs.write(folder, parsed, right, notes=notes)
    labels = [i % 2 for i in range(len(MESSAGES))]
    replace_texts(folder / "data/texts.csv", "test", labels, MESSAGES)


ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section"),
    *("article", "h1", "h2", "h3", "p", "strong", "em", "code", "ul", "ol", "li", "a", "b", "span"),
    *("div", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "blockquote"),
    *("figure", "figcaption", "img", "svg", "rect", "line", "text", "circle", "path"),
    *("dl", "dt", "dd", "small", "script"),
}


@pytest.mark.parametrize("notes", [(), (STANDIN,)])  # beside one nothing published is shown
def test_the_page_shows_hostile_texts_and_runs_none(tmp_path: Path, notes: tuple[str, ...]) -> None:
    hostile_study(tmp_path, *notes)
    read = synthetic_runs.load(tmp_path)
    text = page.page(
        read, dict.fromkeys((figure.__name__ for figure in figures.FIGURES), b""), [b""]
    )
    shown = Shown(text)
    assert {tag for tag, _ in shown.elements} <= ELEMENTS
    assert not [name for _, found in shown.elements for name in found if name.startswith("on")]
    assert text.count("<script>") == 1 and text.count("<style>") == 1
    addresses = shown.attribute("href") + shown.attribute("src")
    assert all(address.startswith(("#", "data:image/svg")) for address in addresses)
    title = " ".join(TITLE.split())
    assert shown.written.count(title) >= 3  # the window's, the page's and a question's
    assert MODEL in shown.written
    right = np.all([row.right.all(0) for row in read.rows], axis=0)
    wrong = np.flatnonzero(~right).tolist()
    plain = [MESSAGES[index] for index in wrong if len(MESSAGES[index]) < 500]
    assert len(plain) == 8 and "\0" not in text and "\x1b" not in text
    for message in plain:
        assert re.sub(r"[\0\x1b]", "\ufffd", message.strip()) in shown.written


@pytest.mark.parametrize("notes", [(), (STANDIN,)])
@pytest.mark.parametrize("name", ["table", "interpretation"])
def test_markdown_shows_hostile_texts(tmp_path: Path, name: str, notes: tuple[str, ...]) -> None:
    hostile_study(tmp_path, *notes)
    read = synthetic_runs.load(tmp_path)
    write = table.markdown if name == "table" else interpretation.markdown
    markdown = write(read)
    assert len(re.findall("^# ", markdown, re.M)) == 1
    for lines in re.findall(r"(?:^\|.*\n)+", markdown, re.M):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in lines.splitlines()}
        assert len(columns) == 1


def test_numbers_and_errors_keep_hostile_texts_as_they_are(tmp_path: Path) -> None:
    hostile_study(tmp_path)
    read = synthetic_runs.load(tmp_path)
    lines = list(csv.DictReader(io.StringIO(numbers.errors(read), newline="")))
    assert {line["text"] for line in lines} < set(MESSAGES)
    first = int(read.texts.lines[0])  # training and validation texts stand before them
    assert all(line["text"] == MESSAGES[int(line["index"]) - first] for line in lines)
    lines = list(csv.DictReader(io.StringIO(numbers.rows(read), newline="")))
    assert (lines[0]["model"], lines[0]["published_device"]) == (MODEL, TITLE)


def test_figures_take_a_dollar_for_a_dollar(tmp_path: Path) -> None:
    hostile_study(tmp_path, STANDIN)
    assert len(figures.draw(synthetic_runs.load(tmp_path))) == 4


# --- checkpoints


class Payload:
    """What a pickle may do when it is loaded."""

    def __reduce__(self) -> object:
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_pickle_is_never_loaded(tmp_path: Path, name: str, protocol: int) -> None:
    shape = {"n_layer": 1, "n_head": 1, "n_embd": 4, "n_positions": 8, "vocab_size": 257}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    (tmp_path / name).write_bytes(pickle.dumps(Payload(), protocol))
    if name == "config.json":
        (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match=name):
        checkpoint.take_folder(tmp_path, Dimensions(**shape), tmp_path / "out/manifest.json")
    assert not pwned(tmp_path) and not Path("pwned").exists()
    assert not (tmp_path / "out").exists()
