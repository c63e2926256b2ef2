"""Which messages are chosen and where they go: the recipe in pandas' own words, for any seed."""

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ablations.data.split import balanced, split

CLASSES = ("ham", "spam")


def collection(ham, spam):
    """Ham and spam mixed, as in the file."""
    labels = [0] * ham + [1] * spam
    frame = pd.DataFrame({"Label": labels, "Text": [f"message {i}" for i in range(ham + spam)]})
    return frame.sample(frac=1, random_state=0).reset_index(drop=True)


def recipe(frame, train, validation, seed):
    """As the published study did it, whose collection has more ham than spam."""
    ham, spam = frame[frame["Label"] == 0], frame[frame["Label"] == 1]
    chosen = pd.concat([ham.sample(len(spam), random_state=seed), spam])
    shuffled = chosen.sample(frac=1, random_state=seed).reset_index(drop=True)
    shuffled = shuffled.sample(frac=1, random_state=seed)["Text"].tolist()
    first = int(len(shuffled) * train)
    second = first + int(len(shuffled) * validation)
    return shuffled[:first], shuffled[first:second], shuffled[second:]


@given(st.integers(11, 40), st.integers(8, 11), st.integers(0, 2**32 - 1))
@example(40, 10, 123)
@settings(max_examples=30, deadline=None)
def test_the_texts_are_split_by_the_recipe(ham, spam, seed):
    frame = collection(ham, spam)
    parts = split(balanced(frame, CLASSES, seed), {"train": 0.7, "validation": 0.1}, "test", seed)
    found = tuple(part["Text"].tolist() for part in parts.values())
    assert found == recipe(frame, 0.7, 0.1, seed)


@pytest.mark.parametrize(("ham", "spam"), [(40, 10), (10, 40)])
def test_another_seed_samples_others_of_the_larger_class(ham, spam):
    frame = collection(ham, spam)
    chosen = {frozenset(balanced(frame, CLASSES, seed)["Text"]) for seed in range(5)}
    assert len(chosen) == 5
