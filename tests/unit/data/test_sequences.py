"""What a model reads of each text, against the recipe's padded inputs written out plainly."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.data.sequences import Sequences, of_texts, sequences
from ablations.errors import UserError
from ablations.study.dataset import SPLITS
from ablations.study.settings import Input
from texts import as_tokens

PADDING = 9
POSITIONS = 10

Splits = dict[str, list[list[int]]]


def the_same_in_every_split(*texts: list[int]) -> Splits:
    return {name: list(texts) for name in SPLITS}


def every(splits: Splits) -> list[list[int]]:
    """The texts of the collection."""
    return [text for name in SPLITS for text in splits[name]]


def read(splits: Splits, **options: Any) -> Sequences:
    defaults = {"trainable_token": "last", "context_length": "longest_training_example"}
    return sequences(
        as_tokens(splits, padding=PADDING),
        Input(**(defaults | {"n_positions": POSITIONS} | options)),
    )


def listed(found: Sequences) -> list[list[int]]:
    """The distinct sequences, each as a list."""
    return [part.tolist() for part in np.split(found.ids, found.offsets[1:-1])]


def by_text(found: Sequences) -> list[list[int]]:
    """Each text's sequence."""
    distinct = listed(found)
    return [distinct[number] for number in found.of_text]


@dataclass(frozen=True)
class Plain:
    """The recipe's words: an input, which position of it is classified, and what is cut off it."""

    input: list[int]
    position: int

    @classmethod
    def of(cls, text: list[int], length: int | None, token: str, masked: bool) -> "Plain":
        """With this context length; None for no padding."""
        padded = text if length is None else (text + [PADDING] * length)[:length]
        if masked and length is not None:
            padded = text[:length] or [PADDING]
        position = {
            "last": len(padded) - 1,
            "first": 0,
            "flexible": (min(len(text), len(padded)) or len(padded)) - 1,
        }[token]
        return cls(padded, position)

    def read(self, causal: bool, averaged: bool) -> list[int]:
        """All of it, where any output that counts depends on all of it."""
        return self.input[: self.position + 1] if causal and not averaged else self.input


# few different ids, so that texts repeat and begin alike; the padding's too
ids = st.integers(0, 2) | st.just(PADDING)
CONTEXTS = ["longest_training_example", "model_context_length", 1, 3, POSITIONS, "variable"]


@st.composite
def questions(draw: st.DrawFn) -> tuple[Splits, dict[str, Any]]:
    """Messages, and settings that the configuration may have."""
    context = draw(st.sampled_from(CONTEXTS))
    averaged = draw(st.booleans())
    token = draw(st.sampled_from(["last", "first"] + ["flexible"] * (not averaged)))
    # without padding: none empty, none cut; with the longest's length: none of training is cut
    shortest = 1 if context == "variable" else 0
    longest = POSITIONS if isinstance(context, str) else POSITIONS + 5
    text = st.lists(ids, min_size=shortest, max_size=longest)
    splits = draw(
        st.fixed_dictionaries({name: st.lists(text, min_size=1, max_size=8) for name in SPLITS})
    )
    return splits, {
        "trainable_token": token,
        "context_length": context,
        "causal_mask": draw(st.booleans()),
        "average_embeddings": averaged,
        "mask_padding": draw(st.booleans()),
    }


def length_of(splits: Splits, context: str | int) -> int | None:
    lengths = {
        "longest_training_example": max(1, *(len(text) for text in splits["train"])),
        "model_context_length": POSITIONS,
        "variable": None,
    }
    return lengths[context] if isinstance(context, str) else context


@settings(max_examples=150)
@given(questions())
def test_a_text_is_read_as_the_recipe_says_and_equal_sequences_stand_once(question):
    splits, options = question
    length = length_of(splits, options["context_length"])
    causal, averaged = options["causal_mask"], options["average_embeddings"]
    one = read(splits, **options)
    how = (length, options["trainable_token"], options["mask_padding"])
    plain = [Plain.of(text, *how) for text in every(splits)]
    expected = [each.read(causal, averaged) for each in plain]
    assert by_text(one) == expected
    if averaged:
        assert one.positions is None
    else:
        assert one.positions.tolist() == [each.position for each in plain]
        if causal:  # what a causal model's one output needs ends with it
            assert one.positions.tolist() == (one.lengths[one.of_text] - 1).tolist()
    distinct = list(map(list, dict.fromkeys(map(tuple, expected))))  # in order
    assert listed(one) == distinct and len(one) == len(distinct)
    assert one.lengths.tolist() == list(map(len, distinct))
    assert one.offsets[0] == 0 and one.offsets[-1] == len(one.ids)
    assert (one.ids.dtype, one.offsets.dtype) == (np.int32, np.int64)
    assert one.of_text.dtype == np.int64
    assert by_text(one.distinct()) == distinct and one.distinct().positions is None
    some = np.arange(0, len(plain), 2)
    read_by_some = {tuple(expected[text]) for text in some}
    assert one.share(some) == sum(map(len, read_by_some)) / sum(map(len, distinct))


@settings(max_examples=60)
@given(questions(), st.data())
def test_the_checksum_depends_on_the_distinct_sequences_alone(question, data):
    """Not on the settings that made them, who reads them or at which position."""
    splits, options = question
    _, other = data.draw(questions())
    if other["context_length"] in ("variable", "longest_training_example"):  # may refuse these
        other["context_length"] = options["context_length"]
    found, another = read(splits, **options), read(splits, **other)
    assert (found.sha256 == another.sha256) == (listed(found) == listed(another))
    assert found.distinct().sha256 == found.sha256


def test_texts_that_stand_twice_or_begin_alike_are_computed_once():
    splits = {"train": [[1, 2, 3], [1, 0]], "validation": [[1, 2, 3]], "test": [[2]]}
    last = read(splits)
    assert listed(last) == [[1, 2, 3], [1, 0, 9], [2, 9, 9]]
    assert last.of_text.tolist() == [0, 1, 0, 2]
    first = read(splits, trainable_token="first")
    assert listed(first) == [[1], [2]] and first.of_text.tolist() == [0, 0, 0, 1]
    # the same input under another position is the same sequence where all of it is read
    whole = read(splits, trainable_token="flexible", causal_mask=False)
    assert listed(whole) == listed(last) and whole.positions.tolist() == [2, 1, 2, 0]
    assert whole.sha256 == last.sha256


@pytest.mark.parametrize(
    ("length", "closing", "expected"),
    [(4, 1, [1, 2, 3, 9]), (4, 0, [1, 2, 3, 4]), (2, 2, [8, 9]), (1, 2, [9]), (9, 1, None)],
)
def test_what_closes_a_text_stays_when_it_is_cut(length, closing, expected):
    text = [1, 2, 3, 4, 8, 9]
    input = Input("last", length, n_positions=POSITIONS, mask_padding=True)
    found = of_texts([np.array(text, np.int32)], input, length, PADDING, closing)
    assert found.ids.tolist() == (expected or text)
    assert found.positions.tolist() == [len(found.ids) - 1]


def test_texts_of_no_token_at_all_are_read_as_one_of_padding():
    found = read(the_same_in_every_split([], []))
    assert listed(found) == [[9]] and found.of_text.tolist() == [0] * 6


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("text", "tokens"), [([], 0), ([1] * (POSITIONS + 1), POSITIONS + 1)])
def test_variable_refuses_an_empty_or_too_long_text_by_its_line_and_split(split, text, tokens):
    splits = the_same_in_every_split([1], [2, 3])
    splits[split].append(text)
    line = 2 * (1 + SPLITS.index(split))
    expected = rf"variable: text {line} of texts.csv \({split}\) has {tokens} tokens; allowed"
    with pytest.raises(UserError, match=expected):
        read(splits, context_length="variable")
    if tokens:  # with padding it is cut
        assert read(splits, context_length=POSITIONS)
