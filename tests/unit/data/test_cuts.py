"""Which texts are chosen and where they go: the recipe in pandas' own words, for any seed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ablations.data.collection import lines
from ablations.data.cuts import balanced, folds, shuffled, split
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
@settings(max_examples=30)
def test_the_texts_are_split_by_the_recipe(ham, spam, seed):
    mixed = table([0] * ham + [1] * spam).sample(frac=1, random_state=0).reset_index(drop=True)
    chosen = shuffled(balanced(mixed, seed), seed)
    cut = split(chosen["Label"].to_numpy(), {"train": 0.7, "validation": 0.1}, "test", False)
    parts = [chosen["Text"][np.array(cut) == name].tolist() for name in SPLITS]
    assert parts == recipe(mixed, 0.7, 0.1, seed)


@pytest.mark.parametrize(("ham", "spam"), [(40, 10), (10, 40)])
def test_another_seed_samples_others_of_the_larger_class(ham, spam):
    texts = table([0] * ham + [1] * spam)
    assert len({frozenset(balanced(texts, seed)["Text"]) for seed in range(5)}) == 5


@given(labels, seeds)
@settings(max_examples=100)
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


@given(labels, shares, st.booleans())
@settings(max_examples=150)
def test_splits_are_cut_at_whole_texts(labels, shares, stratify):
    cuts, labels = dict(zip(SPLITS, shares, strict=False)), np.array(labels)
    groups = [(labels == label).sum() for label in set(labels)] if stratify else [len(labels)]
    sizes = [sum(int(size * share) for size in groups) for share in shares]
    sizes.append(len(labels) - sum(sizes))
    if 0 in sizes:
        with pytest.raises(UserError, match=f"the {SPLITS[sizes.index(0)]} split is empty"):
            split(labels, cuts, "test", stratify)
        return
    found = np.array(split(labels, cuts, "test", stratify))
    assert [(found == name).sum() for name in SPLITS] == sizes
    for label in set(labels) if stratify else ():
        own = found[labels == label]
        numbers = [int(len(own) * share) for share in shares]
        numbers.append(len(own) - sum(numbers))
        assert own.tolist() == np.repeat(SPLITS, numbers).tolist()
    assert stratify or found.tolist() == np.repeat(SPLITS, sizes).tolist()


# --- folds


def parts_of(ring: pd.DataFrame, number: int) -> list[pd.DataFrame]:
    return [ring[ring[f"fold-{fold + 1}"] == "test"] for fold in range(number)]


@given(st.integers(12, 90), st.integers(2, 6), st.sampled_from([0.1, 0.2, 0.3]))
@settings(max_examples=60)
def test_folds_are_array_split_of_the_ring(size, number, share):
    ring = folds(table([0] * size), number, share, False, False)
    texts = np.array([f"text {i}" for i in range(size)])
    bounds = np.cumsum([0, *map(len, np.array_split(texts, number))])
    assert ring["Text"].tolist() == texts.tolist()
    for fold in range(number):
        begin, end = bounds[fold : fold + 2]
        after = np.roll(texts, -end)[: size - (end - begin)]
        expected = {
            "test": texts[begin:end],
            "validation": after[: int(share * size)],
            "train": after[int(share * size) :],
        }
        cut = np.array([SPLITS.index(name) for name in ring[f"fold-{fold + 1}"]], np.int8)
        for name, own in lines(cut).items():
            assert ring["Text"][own].tolist() == expected[name].tolist()


@given(st.lists(st.integers(0, 3), min_size=30, max_size=120), st.integers(2, 5))
@settings(max_examples=60)
def test_stratified_folds_have_each_class_in_equal_parts(labels, number):
    texts = table([*labels, *([0, 1, 2, 3] * number)])
    ring = folds(texts, number, 0.2, True, False)
    assert sorted(ring["Text"]) == sorted(texts["Text"])
    parts = parts_of(ring, number)
    assert sum(map(len, parts)) == len(ring)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for label in range(4):
        size = int((ring["Label"] == label).sum())
        each = [int((part["Label"] == label).sum()) for part in parts]
        assert max(each) - min(each) <= 1
        for fold in range(number):
            own = ring[(ring["Label"] == label) & (ring[f"fold-{fold + 1}"] == "validation")]
            assert len(own) == int(0.2 * size)


@given(st.lists(st.integers(0, 12), min_size=40, max_size=90), st.booleans(), seeds)
@settings(max_examples=60)
def test_near_copies_are_never_on_two_sides(kinds, stratify, seed):
    """Texts of one kind are near-copies of each other: they share most of their words."""
    texts = table([kind % 2 for kind in kinds])
    words = [
        " ".join(f"{'abcdefghijklm'[kind]}{'qrstuvwxyz'[n]}" for n in range(9)) for kind in kinds
    ]
    texts["Text"] = [f"{text} {'xyz'[i % 3] * 3}" for i, text in enumerate(words)]
    texts = texts.sample(frac=1, random_state=seed).reset_index(drop=True)
    try:
        ring = folds(texts, 3, 0.2, stratify, True)
    except UserError as error:  # too few kinds
        assert "near-copies" in str(error) or "smallest class" in str(error)
        return
    assert sum(map(len, parts_of(ring, 3))) == len(ring)
    kind = [text[0] for text in ring["Text"]]
    for fold in (1, 2, 3):
        sides = set(zip(kind, ring[f"fold-{fold}"], strict=True))
        assert len(sides) == len(set(kind))


def test_groups_fill_the_smallest_part_and_validation_stays_whole():
    copies = ["one two three four five six"] * 4 + ["seven eight nine ten eleven twelve"] * 2
    texts = table([0] * 12)
    texts["Text"] = [*copies, *(f"alone {'abcdef'[i] * 3}" for i in range(6))]
    ring = folds(texts, 3, 0.25, False, True)
    sizes = [len(part) for part in parts_of(ring, 3)]
    assert sizes == [4, 4, 4]
    first = ring[ring["fold-3"] == "validation"]["Text"].tolist()
    assert len(first) == 3 and copies[0] not in first  # four copies do not fit, so they train


@pytest.mark.parametrize(
    ("labels", "number", "stratify", "together", "message"),
    [
        ([0] * 9 + [1] * 3, 4, True, False, "folds: 4 is more than the 3 texts of the smallest"),
        ([0] * 4, 5, False, False, "folds: 5 is more than the 4 texts; allowed"),
        ([0] * 6, 3, False, False, "fold 1 has no validation text: 6 texts are too few for"),
    ],
)
def test_folds_that_the_texts_do_not_allow(labels, number, stratify, together, message):
    with pytest.raises(UserError, match=message):
        folds(table(labels), number, 0.1, stratify, together)


def copies(*sizes: int) -> pd.DataFrame:
    """Groups of copies of these sizes."""
    texts = table([0] * sum(sizes))
    texts["Text"] = [
        letter * 3 for letter, size in zip("abc", sizes, strict=False) for _ in range(size)
    ]
    return texts


def test_more_folds_than_groups_of_near_copies():
    with pytest.raises(UserError, match="folds: 2 is more than the 1 group of near-copies, which"):
        folds(copies(20), 2, 0.1, False, True)


@pytest.mark.parametrize(
    ("validation", "lacks", "room"), [(0.1, "fold 3 has no validation", 5), (0.6, "train", 32)]
)
def test_near_copies_that_leave_a_split_empty_are_named(validation, lacks, room):
    """Enough texts, but no group of them is as small as what validation takes, or all go there."""
    message = (
        "text: keep_together: true leaves near-copies whole, and 3 groups of 4 to 30 texts do not"
        rf" fit folds 3 and validation {validation} \({room} of 54 texts\)"
    )
    with pytest.raises(UserError, match=f"{lacks} {message}"):
        folds(copies(30, 20, 4), 3, validation, False, True)
