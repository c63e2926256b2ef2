"""Which texts are chosen and where they go: the recipe in pandas' own words, for any seed."""

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ablations.data.cuts import balanced, split
from ablations.errors import UserError
from ablations.study.dataset import SPLITS

seeds = st.integers(0, 2**32 - 1)
labels = st.lists(st.integers(0, 3), min_size=1, max_size=120)
shares = st.tuples(st.floats(0.01, 0.6), st.floats(0.01, 0.39))


def table(labels: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"Label": labels, "Text": [f"text {i}" for i in range(len(labels))]})


def recipe(texts: pd.DataFrame, train: float, validation: float, seed: int) -> list[list[str]]:
    """As the published study did it, whose collection has more ham than spam."""
    ham, spam = texts[texts["Label"] == 0], texts[texts["Label"] == 1]
    chosen = pd.concat([ham.sample(len(spam), random_state=seed), spam])
    shuffled = chosen.sample(frac=1, random_state=seed).reset_index(drop=True)
    shuffled = shuffled.sample(frac=1, random_state=seed)["Text"].tolist()
    first = int(len(shuffled) * train)
    second = first + int(len(shuffled) * validation)
    return [shuffled[:first], shuffled[first:second], shuffled[second:]]


@given(st.integers(11, 40), st.integers(8, 11), seeds)
@example(40, 10, 123)
@settings(max_examples=30, deadline=None)
def test_the_texts_are_split_by_the_recipe(ham, spam, seed):
    mixed = table([0] * ham + [1] * spam).sample(frac=1, random_state=0).reset_index(drop=True)
    parts = split(balanced(mixed, seed), {"train": 0.7, "validation": 0.1}, "test", seed)
    assert [part["Text"].tolist() for part in parts.values()] == recipe(mixed, 0.7, 0.1, seed)


@pytest.mark.parametrize(("ham", "spam"), [(40, 10), (10, 40)])
def test_another_seed_samples_others_of_the_larger_class(ham, spam):
    texts = table([0] * ham + [1] * spam)
    assert len({frozenset(balanced(texts, seed)["Text"]) for seed in range(5)}) == 5


@given(labels, seeds)
@settings(max_examples=100, deadline=None)
def test_balance_takes_as_many_of_each_class_and_none_twice(labels, seed):
    texts = table(labels)
    chosen = balanced(texts, seed)
    fewest = min(map(labels.count, set(labels)))
    assert chosen["Label"].value_counts().to_dict() == dict.fromkeys(set(labels), fewest)
    found = list(chosen.itertuples(index=False, name=None))
    assert len(set(found)) == len(found)
    assert set(found) <= set(texts.itertuples(index=False, name=None))
    assert chosen.index.tolist() == list(range(len(chosen)))
    pd.testing.assert_frame_equal(balanced(texts, seed), chosen)


def test_a_third_class_that_is_larger_does_not_change_what_the_others_give():
    """Each class is sampled on its own, from the seed alone."""
    three = table([0] * 9 + [1] * 5 + [2] * 30)
    kept = balanced(three, 7).query("Label < 2")["Text"]
    assert set(kept) == set(balanced(three[:14], 7)["Text"])


@given(labels, shares, seeds, st.booleans())
@settings(max_examples=150, deadline=None)
def test_splits_are_a_partition_cut_at_whole_texts(labels, shares, seed, stratify):
    texts = table(labels)
    cuts = dict(zip(SPLITS, shares, strict=False))
    groups = [labels.count(label) for label in set(labels)] if stratify else [len(labels)]
    sizes = [sum(int(size * share) for size in groups) for share in shares]
    sizes.append(len(labels) - sum(sizes))
    if 0 in sizes:
        with pytest.raises(UserError, match=f"the {SPLITS[sizes.index(0)]} split is empty"):
            split(texts, cuts, "test", seed, stratify)
        return
    parts = split(texts, cuts, "test", seed, stratify)
    assert [len(parts[name]) for name in SPLITS] == sizes
    found = [row for part in parts.values() for row in part.itertuples(index=False, name=None)]
    assert sorted(found) == sorted(texts.itertuples(index=False, name=None))
    for name, share in cuts.items() if stratify else ():
        for label in set(labels):
            assert (parts[name]["Label"] == label).sum() == int(labels.count(label) * share)
    again = split(texts, cuts, "test", seed, stratify)
    for name in SPLITS:
        pd.testing.assert_frame_equal(again[name], parts[name])
