"""Folds of real texts and cheap classifiers, for bench/simulation.py: how often intervals hold.

Each study draws a collection from the SMS Spam Collection, cuts it into folds, and trains
classifiers that count words. What is true of such studies is the mean over many of them. Texts are
drawn with replacement, so that they are independent: one that is drawn twice may be trained on and
tested, as near-copies are elsewhere.
"""

import itertools
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse, stats
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from ablations import cli
from ablations.answers import noise, statistics
from ablations.answers.noise import Contrast, Floats, Right, Typical

AT_ONCE = 50  # studies that are kept together
ROWS = ("naive Bayes", "words present", "few texts", "logistic", "logistic, C = 0.1")
METHODS = ("one fold", "texts alone", "folds alone", "moderated")


@dataclass(frozen=True)
class Collections:
    """What is drawn: so many collections of so many texts, each cut into so many folds."""

    texts: int
    folds: int
    studies: int

    @property
    def named(self) -> str:
        """For readers."""
        return f"{self.texts:,}"

    @property
    def fold(self) -> Any:
        """Which fold tests each text."""
        return np.arange(self.texts) * self.folds // self.texts


@dataclass(frozen=True)
class Balanced(Collections):
    """As many texts of each class as of the other, as a study has by default."""

    @property
    def named(self) -> str:
        """For readers."""
        return f"{super().named}, balanced"


@dataclass(frozen=True)
class Held:
    """How often a method's intervals hold what is true, and how wide they are; [sums]."""

    covered: Floats
    half_width: Floats


GRID = (
    Collections(300, 5, 1000),
    Collections(300, 10, 1000),
    Collections(1500, 5, 1000),
    Balanced(300, 5, 1000),
)


class Words:
    """The words of every text, counted once."""

    def __init__(self, archive: Path) -> None:
        """Reads the SMS Spam Collection, as published studies read it."""
        with zipfile.ZipFile(archive) as files, files.open("SMSSpamCollection") as file:
            table = pd.read_csv(file, sep="\t", header=None, names=["Label", "Text"])
        self.spam = (table.Label == "spam").to_numpy()
        self.counts = sparse.csr_matrix(CountVectorizer().fit_transform(table.Text), dtype=float)

    def study(self, drawn: Collections, generator: np.random.Generator) -> Right:
        """Which texts of a collection each row gets right, [rows, 1, texts]."""
        index = generator.integers(len(self.spam), size=drawn.texts)
        if isinstance(drawn, Balanced):
            half, classes = drawn.texts // 2, (~self.spam, self.spam)
            of_class = [generator.choice(np.flatnonzero(each), half) for each in classes]
            index = generator.permutation(np.concatenate(of_class))
        counts, spam = self.counts[index], self.spam[index]
        counts = counts[:, np.flatnonzero(counts.getnnz(0))]
        present = counts.copy()
        present.data[:] = 1
        train = np.arange(drawn.folds)[:, None] != drawn.fold  # [folds, texts]
        few = train & (generator.random(train.shape) < 0.2)
        predicted = [
            _bayes(counts, spam, train, drawn.fold),
            _bayes(present, spam, train, drawn.fold),
            _bayes(counts, spam, few, drawn.fold),
            _logistic(counts, spam, drawn.fold, 1.0),
            _logistic(counts, spam, drawn.fold, 0.1),
        ]
        return np.stack([each == spam for each in predicted])[:, None]


def _bayes(counts: Any, spam: Any, train: Any, fold: Any) -> Any:
    """What multinomial naive Bayes says of each text, trained on other folds."""
    of_class = [(train & (spam == label)) @ counts + 1.0 for label in (False, True)]
    ham, bad = (np.log(each / each.sum(1, keepdims=True)) for each in of_class)
    before = np.log((train & spam).sum(1) + 1) - np.log((train & ~spam).sum(1) + 1)
    seen = train @ counts > 0
    scores = counts @ np.where(seen, bad - ham, 0).T + before  # [texts, folds]
    return scores[np.arange(len(fold)), fold] > 0


def _logistic(counts: Any, spam: Any, fold: Any, strength: float) -> Any:
    said = np.zeros(len(fold), bool)
    for each in range(fold.max() + 1):
        rest = fold != each
        if len(set(spam[rest])) < 2:  # nothing to learn
            continue
        model = LogisticRegression(C=strength, solver="liblinear")
        said[~rest] = model.fit(counts[rest], spam[rest]).predict(counts[~rest])
    return said


def draw(
    archive: Path, seed: int, done: Mapping[str, Any], keep: Callable[[str, Any], None]
) -> dict[Collections, Right]:
    """The right answers of all studies, [studies, rows, 1, texts]; some at a time are kept."""
    words, found = Words(archive), {}
    for drawn in GRID:
        batches = []
        starts = range(0, drawn.studies, AT_ONCE)
        for start in cli.progress(starts, f"{drawn.texts} texts, {drawn.folds} folds"):
            name = f"{drawn} {start}"
            shape = (min(AT_ONCE, drawn.studies - start), len(ROWS), 1, drawn.texts)
            if name not in done:
                generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
                right = np.stack([words.study(drawn, generator) for _ in range(shape[0])])
                keep(name, np.packbits(right).tobytes().hex())
            bits = np.unpackbits(np.frombuffer(bytes.fromhex(done[name]), np.uint8))
            batches.append(bits[: np.prod(shape)].reshape(shape).astype(bool))
        found[drawn] = np.concatenate(batches)
    return found


def hold(drawn: Collections, right: Right) -> dict[tuple[str, str], Held]:
    """How well each method's intervals of accuracies and of differences hold."""
    pairs = list(itertools.combinations(range(len(ROWS)), 2))
    differences = np.zeros((len(pairs), len(ROWS)))
    for weight, (one, other) in zip(differences, pairs, strict=True):
        weight[one], weight[other] = -1, 1
    of_rows = right.mean((0, 2, 3))
    true = {"accuracies": of_rows, "differences": differences @ of_rows}
    found: dict[tuple[str, str], list[Any]] = {}
    for start in range(0, len(right), AT_ONCE):
        for name, ends in _intervals(drawn, right[start : start + AT_ONCE], pairs, differences):
            found.setdefault(name, []).append(ends)
    held = {}
    for (what, method), batches in found.items():
        low, high = np.concatenate(batches, 1)  # [studies, sums]
        inside = (low <= true[what]) & (true[what] <= high)
        held[what, method] = Held(inside.mean(0), (high - low).mean(0) / 2)
    return held


def _intervals(
    drawn: Collections, right: Right, pairs: Any, differences: Floats
) -> Iterator[tuple[tuple[str, str], Any]]:
    """By what and method: both ends, [2, studies, sums]."""
    prior = noise.prior(right, drawn.fold)
    first = right[..., drawn.fold == 0]
    assert prior is not None
    of_study = Typical(prior.pairs.variance[..., None], prior.pairs.freedom[..., None])

    def of_pairs(some: Right, folds: Any, typical: Typical | None) -> Any:
        return statistics.interval(
            statistics.paired(noise.contrast(some, differences, folds), typical)
        )

    yield ("differences", "one fold"), of_pairs(first, None, None)
    yield ("differences", "texts alone"), of_pairs(right, None, None)
    spread = noise.contrast(right, differences, drawn.fold)
    yield ("differences", "folds alone"), _students(spread)
    yield ("differences", "moderated"), of_pairs(right, drawn.fold, of_study)
    yield ("accuracies", "one fold"), statistics.wilson(first.mean((-2, -1)), first.shape[-1])
    yield ("accuracies", "texts alone"), statistics.wilson(right.mean((-2, -1)), drawn.texts)
    yield (
        ("accuracies", "folds alone"),
        _students(noise.contrast(right, np.eye(len(ROWS)), drawn.fold)),
    )
    ends = [
        statistics.mean_accuracy_interval(right[:, row], prior, drawn.fold)
        for row in range(len(ROWS))
    ]
    yield ("accuracies", "moderated"), np.stack(ends, -1)


def _students(found: Contrast) -> Any:
    """Student's interval of the folds' means."""
    half = stats.t.ppf(0.975, found.freedom) * np.sqrt(found.mean_square / found.runs)
    return found.mean - half, found.mean + half
