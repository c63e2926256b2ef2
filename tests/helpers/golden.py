"""One study of each kind, and what is written of it: tests/unit/answers/golden/.

    .venv/bin/python tests/helpers/golden.py

writes those files again, after a change of the words. git shows what changed.
"""

import re
import tempfile
from pathlib import Path

import numpy as np

import synthetic_runs
from ablations.answers.written import figures, interpretation, page, table, terminal
from ablations.study import config
from synthetic_runs import configuration, eight_rows

FOLDER = Path(__file__).parents[1] / "unit/answers/golden"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"


def one_seed(folder):
    """The default study, a quarter of its test texts in the training set too."""
    eight_rows(folder, messages=120, seen=range(0, 60, 2))


def several_seeds(folder):
    """Three rows with three seeds, confounded, on two devices; one always answers the same."""
    rows = [
        configuration()["rows"][0],
        {"id": "random", "weights": "random", "trainable_layers": "all"},
        {"id": "lora", "trainable_layers": "lora", "epochs": 10},
    ]
    asked = [("baseline", "random", "worse"), ("baseline", "lora", "similar")]
    study = config.parse(
        configuration(seeds=[1, 2, 3], rows=rows, comparisons=questions(asked), title="R&D *bold*")
    )
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((3, 300)) < 0.97 for row in study.rows}
    right["random"][:, ::2] = False  # the ham, taken for spam
    slow = {"device": "a CPU | 2", "threads": 4, "trunk_time_seconds": 0.0}
    synthetic_runs.write(folder, study, right, per_row={"random": slow})


def stand_ins(folder):
    """Two rows of the default study with two seeds, on stand-ins: nothing published is shown."""
    rows = configuration()["rows"][:2]
    asked = questions([("baseline", "first-token", "worse")])
    study = config.parse(configuration(seeds=[1, 2], rows=rows, comparisons=asked))
    right = dict(
        zip(("baseline", "first-token"), synthetic_runs.disagreeing(400, 3, 2, 2), strict=True)
    )
    notes = ["Stand-in data: made-up texts.", "Stand-in models: nano."]
    synthetic_runs.write(folder, study, right, notes=notes, shared_device=True)


def so_far(folder):
    """The default study, two of its rows not finished."""
    eight_rows(folder, messages=40)
    for run in ("first-token", "all-layers"):
        (folder / f"runs/{run}/seed-123/metrics.json").unlink()


def grids(folder):
    """A grid of two settings, all of whose rows are compared, and one of which a row is chosen."""
    rows = [
        configuration()["rows"][0],
        {"id": "sweep", "grid": {"learning_rate": [5.0e-5, 1.0e-4], "epochs": [5, 10]}},
        {"id": "best", "grid": {"weight_decay": [0.1, 0.2, 0.3]}, "choose": "validation"},
    ]
    asked = questions([("baseline", "best", None), ("baseline", "sweep", None)])
    study = config.parse(configuration(rows=rows, comparisons=asked))
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((1, 200)) < 0.9 for row in study.rows}
    right["sweep-epochs-10-lr-5e-5"][:, :60] = False
    synthetic_runs.write(folder, study, right)


def classes(folder):
    """Three classes with awkward names."""
    rows = [configuration()["rows"][0], {"id": "variant", "trainable_token": "first"}]
    asked = questions([("baseline", "variant", None)])
    dataset = {"urls": ["https://example.org/reviews.csv"], "sha256": "0" * 64, "text": "review"}
    dataset |= {"label": "stars", "split": {"train": 0.7, "validation": 0.1, "seed": 123}}
    study = config.parse(
        configuration(title="Three classes", dataset=dataset, rows=rows, comparisons=asked)
    )
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((1, 90)) < 0.8 for row in study.rows}
    names = ("bad", "so-so | *fair*", "very_good_")
    synthetic_runs.write(folder, study, right, seen=[0, 1, 2, 4, 5, 8], classes=names)


def folds(folder):
    """Three rows with five folds; one learns from fewer texts; some texts stand twice."""
    rows = [
        configuration()["rows"][0],
        {"id": "first-token", "trainable_token": "first", "published": PUBLISHED},
        {"id": "fewer", "train_size": 80},
    ]
    asked = [("baseline", "first-token", "worse"), ("baseline", "fewer", None)]
    dataset = configuration()["dataset"] | {"split": FIVE_FOLDS}
    study = config.parse(configuration(dataset=dataset, rows=rows, comparisons=questions(asked)))
    draw = np.random.default_rng(0)
    difficulty = draw.standard_normal(243)
    shares = {"baseline": 0.95, "first-token": 0.8, "fewer": 0.93}
    right = {
        id: np.argsort(np.argsort(difficulty + 0.5 * draw.standard_normal((1, 243)))) < 243 * share
        for id, share in shares.items()
    }
    synthetic_runs.write(folder, study, right, seen=range(0, 100, 10))


def folds_and_seeds(folder):
    """Two folds, which keep near-copies together, and two seeds; runs are missing."""
    rows = [
        configuration()["rows"][0],
        {"id": "constant", "epochs": 1},
        {"id": "late", "epochs": 2},
    ]
    asked = questions([("baseline", "constant", None)])
    dataset = configuration()["dataset"] | {"split": FIVE_FOLDS | {"folds": 2}}
    dataset["keep_together"] = True
    study = config.parse(configuration(dataset=dataset, seeds=[1, 2], rows=rows, comparisons=asked))
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((2, 90)) < 0.9 for row in study.rows}
    right["constant"][:, ::2] = False
    synthetic_runs.write(folder, study, right)
    for run in ("fold-1/seed-2", "fold-2/seed-1"):
        (folder / f"runs/late/{run}/metrics.json").unlink()


def sizes(folder):
    """A grid over one number, with a second setting."""
    values = {"train_size": [50, 100, 400, 1000], "trainable_layers": ["last_block", "last_layer"]}
    rows = [configuration()["rows"][0], {"id": "sizes", "grid": values}]
    study = config.parse(configuration(rows=rows, comparisons=[]))
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((1, 200)) < 0.9 for row in study.rows}
    synthetic_runs.write(folder, study, right, seen=range(100))


def references(folder):
    """Two rows and three references, and a question that names one of these."""
    rows = configuration()["rows"][:2]
    asked = questions([("characters", "baseline", None)])
    named = ["counts", "words", "characters"]
    study = config.parse(configuration(rows=rows, references=named, comparisons=asked))
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((1, 200)) < row.published.test for row in study.rows}
    synthetic_runs.write(folder, study, right)


FIVE_FOLDS = {"folds": 5, "validation": 0.1, "seed": 123}
PUBLISHED = {"train": 0.8, "validation": 0.8, "test": 0.8}


def questions(asked):
    return [
        {"id": f"q{number}", "question": f"What does {variant} change?", "baseline": baseline}
        | {"variant": variant}
        | ({"claim": claim} if claim else {})
        for number, (baseline, variant, claim) in enumerate(asked)
    ]


KINDS = (
    *(one_seed, several_seeds, stand_ins, so_far, grids, classes),
    *(folds, folds_and_seeds, sizes, references),
)


def written(kind, folder):
    """The words of a study, by file name: without figures, style and script."""
    kind(folder)
    read = synthetic_runs.load(folder, so_far=kind in (so_far, folds_and_seeds))
    drawn = dict.fromkeys(figures.draw(read), SVG)
    html = page.page(read, drawn, [SVG] * len(read.comparisons))
    return {
        "table.md": table.markdown(read),
        "table.tex": table.tex(read),
        "interpretation.md": interpretation.markdown(read),
        "summary.txt": terminal.summary(read),
        "page.html": re.sub(r"(?s)<(style|script)>.*?</\1>", "", html.partition("<body>")[2]),
    }


def main():
    """Writes every file again."""
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            for name, text in written(kind, Path(folder)).items():
                path = FOLDER / kind.__name__ / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)


if __name__ == "__main__":
    main()
