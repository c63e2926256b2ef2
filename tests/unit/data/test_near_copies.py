"""Near-duplicates against comparing every pair of texts."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.data import near_copies as module
from ablations.data.near_copies import NOWHERE, first_near, groups
from texts import file, read_splits, run_split, sms_collection

WORDS = ["a", "b", "c", "d", "e", "f", "g", "é", "日本", "12", "_", "", "!"]
TEXTS = st.lists(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
    | st.lists(st.integers(0, 60).map(lambda number: "w" + "x" * number), max_size=70).map(" ".join)
    | st.text(max_size=20),
    max_size=12,
)


def words(text):
    return set(re.findall(r"[^\W\d_]+", text.lower()))


def is_near(text, other):
    one, two = words(text), words(other)
    return text == other or (bool(one | two) and 5 * len(one & two) >= 4 * len(one | two))


@given(TEXTS, TEXTS, st.data())
def test_as_found_by_comparing_every_pair(texts, others, data):
    # parts of known texts, so that some are near
    for other in others:
        kept = data.draw(st.integers(0, 12))
        texts.append(" ".join(sorted(words(other))[kept:]))
    expected = [
        next((at for at, other in enumerate(others) if is_near(text, other)), NOWHERE)
        for text in texts
    ]
    assert first_near(texts, others).tolist() == expected


@pytest.mark.parametrize("size", [19, 20, 21, 40, 100])
def test_long_texts_at_the_very_limit(size):
    vocabulary = ["".join(chr(97 + int(digit)) for digit in str(i)) + "z" for i in range(400)]
    text = vocabulary[:size]
    shared = -(-4 * size // 5)
    near, far = " ".join(text[:shared]), " ".join(text[: shared - 1])
    common = [" ".join(text)] + [" ".join(vocabulary[i : i + 9]) for i in range(0, 390, 3)]
    assert first_near([near, far], common).tolist() == [0, NOWHERE]


def test_a_block_at_a_time_gives_the_same(monkeypatch):
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list("abcdefghijkl"), 6)) for _ in range(300)]
    at_once = first_near(texts[:100], texts[100:])
    monkeypatch.setattr(module, "PAIRS", 7)
    assert (first_near(texts[:100], texts[100:]) == at_once).all()
    assert 0 < (at_once < NOWHERE).sum() < 100


def test_case_digits_and_marks_are_no_difference_and_copies_always_count():
    others = ["Call 0800 now!", "12345", ""]
    texts = ["CALL now: 0900", "12345", "54321", "", "call"]
    assert first_near(texts, others).tolist() == [0, 1, NOWHERE, 2, NOWHERE]
    assert first_near([], others).tolist() == []
    assert first_near(["call"], []).tolist() == [NOWHERE]


def test_of_the_published_split(tmp_path):
    run_split(tmp_path / "data", file(sms_collection(tmp_path), format="tsv"))
    found = read_splits(tmp_path / "data/texts.csv")
    (_, train), (labels, test) = found["train"], found["test"]
    near = first_near(test, train) < NOWHERE
    assert near.sum() == 78 and near[np.array(labels) == 1].sum() == 71
    assert sum(text in set(train) for text in test) == 36


def test_groups_hold_copies_near_copies_and_what_these_are_near_to():
    nine = "a b c d e f g h i"
    texts = ["Call 0800", nine, "!!", nine[:-2], "other", "call now", f"{nine} j", "!!", "CALL"]
    found = groups(texts)
    same = [sorted(np.flatnonzero(found == group).tolist()) for group in sorted(set(found))]
    assert sorted(same) == [[0, 8], [1, 3, 6], [2, 7], [4], [5]]
    # the last and the fourth share 8 of 10 words, the fourth and another 8 of 9
    assert first_near([texts[3]], [texts[6]]).tolist() == [0]
    assert groups([]).tolist() == []
