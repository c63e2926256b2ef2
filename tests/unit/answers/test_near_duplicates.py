"""Near-duplicates against comparing every pair of texts."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablations.answers import near_duplicates as module
from ablations.answers.near_duplicates import near_duplicates

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
    expected = [any(is_near(text, other) for other in others) for text in texts]
    assert near_duplicates(texts, others).tolist() == expected


@pytest.mark.parametrize("size", [19, 20, 21, 40, 100])
def test_long_texts_at_the_very_limit(size):
    vocabulary = ["".join(chr(97 + int(digit)) for digit in str(i)) + "z" for i in range(400)]
    text = vocabulary[:size]
    shared = -(-4 * size // 5)
    near, far = " ".join(text[:shared]), " ".join(text[: shared - 1])
    common = [" ".join(text)] + [" ".join(vocabulary[i : i + 9]) for i in range(0, 390, 3)]
    assert near_duplicates([near, far], common).tolist() == [True, False]


def test_a_block_at_a_time_gives_the_same(monkeypatch):
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(list("abcdefghijkl"), 6)) for _ in range(300)]
    at_once = near_duplicates(texts[:100], texts[100:])
    monkeypatch.setattr(module, "PAIRS", 7)
    assert (near_duplicates(texts[:100], texts[100:]) == at_once).all()
    assert 0 < at_once.sum() < 100


def test_case_digits_and_marks_are_no_difference_and_copies_always_count():
    others = ["Call 0800 now!", "12345", ""]
    texts = ["CALL now: 0900", "12345", "54321", "", "call"]
    assert near_duplicates(texts, others).tolist() == [True, True, False, True, False]
    assert near_duplicates([], others).tolist() == []
    assert near_duplicates(["call"], []).tolist() == [False]
