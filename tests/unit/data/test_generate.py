"""The demo's messages: reproducible, in the collection's format, and neither trivial nor noise."""

import hashlib
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ablations.data.cuts import balanced, shuffled, split
from ablations.data.generate import CHOICES, generate
from ablations.data.texts import read
from ablations.files import as_json
from ablations.sources import manifest
from ablations.study import config
from ablations.study.dataset import Grammar
from ablations.study.models import Pretrain
from commands import ROOT, program

DEMO = config.parse(yaml.safe_load((ROOT / "demo" / "config.yaml").read_text()))
CLASSES = ("ham", "spam")
PINNED = "f0dc1dab76be53cb72b3f14b6ee6b625c6c454c10ef9a179cd4e03ac8adcde48"


def splits(messages: int, seed: int) -> dict[str, pd.DataFrame]:
    pairs = generate(messages, seed)
    frame = pd.DataFrame(pairs, columns=["Label", "Text"])
    frame["Label"] = frame["Label"].map(CLASSES.index)
    chosen = shuffled(balanced(frame, 123), 123)
    cut = split(chosen["Label"].to_numpy(), {"train": 0.7, "validation": 0.1}, "test", False)
    return {str(name): part for name, part in chosen.groupby(np.array(cut))}


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+|[0-9]+|[^\w\s]", text.lower()))


def word_counts(part: pd.DataFrame) -> tuple[Counter[str], Counter[str]]:
    """The number of messages of each class that contain a word."""
    ham, spam = Counter(), Counter()
    for label, text in zip(part["Label"], part["Text"], strict=True):
        (spam if label else ham).update(words(text))
    return ham, spam


def naive_bayes_accuracy(parts: dict[str, pd.DataFrame]) -> float:
    """Test accuracy of Bernoulli evidence for words that occur, add-one smoothed."""
    ham, spam = word_counts(parts["train"])
    spams = parts["train"]["Label"].sum()
    hams = len(parts["train"]) - spams
    evidence = {
        word: np.log((spam[word] + 1) / (spams + 2)) - np.log((ham[word] + 1) / (hams + 2))
        for word in ham | spam
    }
    predicted = [
        sum(evidence.get(word, 0.0) for word in words(text)) > 0 for text in parts["test"]["Text"]
    ]
    return float(np.mean(np.array(predicted) == parts["test"]["Label"]))


def test_program_writes_a_collection_that_reads_back_message_for_message(tmp_path):
    path = tmp_path / "data" / "collection.json"
    dataset = structs.replace(DEMO.dataset, generated=Grammar(messages=300, seed=5))
    done = program("data.generate", "--dataset", as_json(dataset), "--output", path)
    assert done.returncode == 0, done.stderr
    found = read(manifest.read(path), DEMO.dataset.reading)
    assert list(zip(found["Label"], found["Text"], strict=True)) == generate(300, 5)


def test_messages_are_the_same_on_every_python():
    """Pinned where the grammar is: a new line in it changes this, another Python must not."""
    text = repr(generate(500, 7)).encode()
    assert hashlib.sha256(text).hexdigest() == PINNED


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_messages_are_short_and_of_both_classes(seed):
    pairs = generate(300, seed)
    assert len(pairs) == 300
    assert all(20 <= len(text.encode()) <= 110 for _, text in pairs)
    assert not any(re.search(r'[\t\r\n"{}#]', text) for _, text in pairs)
    spam = sum(label == "spam" for label, _ in pairs) / len(pairs)
    assert 0.25 < spam < 0.55
    assert 0.75 < len(set(pairs)) / len(pairs) < 1


def test_every_line_of_the_grammar_can_be_reached():
    used = {
        slot
        for lines in CHOICES.values()
        for line in lines
        for slot in re.findall(r"\{(\w+)\}", line)
    }
    assert used | {"ham", "spam"} == set(CHOICES)


def test_a_bag_of_words_separates_the_classes_well_but_not_wholly():
    accuracies = [
        naive_bayes_accuracy(splits(DEMO.dataset.generated.messages, seed)) for seed in range(8)
    ]
    assert 0.87 < np.mean(accuracies) < 0.96
    assert max(accuracies) < 1
    assert min(accuracies) > 0.8


def test_no_single_word_separates_the_classes():
    train = pd.concat(splits(3000, 1).values())
    ham, spam = word_counts(train)
    hams, spams = (train["Label"] == 0).sum(), (train["Label"] == 1).sum()
    best = max((abs(spam[w] / spams - ham[w] / hams) / 2 + 0.5, w) for w in ham | spam)
    assert best[0] < 0.75, best


def test_demo_study_is_the_published_one_on_stand_ins():
    published = config.parse(yaml.safe_load((ROOT / "config.yaml").read_text()))
    assert [row.id for row in DEMO.rows] == [row.id for row in published.rows]
    assert [entry.id for entry in DEMO.questions] == [entry.id for entry in published.questions]
    for row, original in zip(DEMO.rows, published.rows, strict=True):
        assert row.published is None
        for key in ("weights", "trainable_token", "trainable_layers", "context_length"):
            assert getattr(row.settings, key) == getattr(original.settings, key)
    assert all(question.claim is None for question in DEMO.questions)
    assert "not GPT-2" in DEMO.title
    longest = splits(DEMO.dataset.generated.messages, DEMO.dataset.generated.seed)["train"][
        "Text"
    ].map(lambda text: len(text.encode()))
    for model in DEMO.models.values():
        assert isinstance(model.pretrain, Pretrain)
        assert model.dimensions.n_positions >= 2 * longest.max()


@pytest.mark.parametrize("messages", [40, 1000])
def test_one_seed_is_one_corpus_and_more_messages_begin_with_it(messages):
    assert generate(messages, 3) == generate(messages, 3) == generate(1500, 3)[:messages]
    assert generate(messages, 3) != generate(messages, 4)
