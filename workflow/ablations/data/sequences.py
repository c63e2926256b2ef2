"""What a model reads of each text, and which of its outputs the head sees.

A sequence is a text's ids up to the last position that the output depends on. A causal model's
output at a position does not depend on the positions after it. So where the first token is
classified, the sequence is that one token, and where the last token before the padding is
classified, the sequence has no padding. Without a causal mask, or where all positions are averaged,
it is the whole padded input. Where padding is masked, it is a text's own tokens at most.

Code that reads sequences (trunk, cache, tail, evaluations) does not need the settings that they
were made from.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ablations.data.collection import Numbers
from ablations.data.tokens import Ids, Tokens
from ablations.study.settings import Input


@dataclass(frozen=True)
class Sequences:
    """The sequences of texts; equal ones are held once.

    `ids` int32 [tokens]: the distinct sequences one after another. `offsets` int64 [distinct + 1]:
    where each begins, and where the last ends. `of_text` int64 [texts]: the number of each
    text's sequence. `positions` int64 [texts]: the position that is read in it; None where all
    positions are averaged.
    """

    ids: Ids
    offsets: Numbers
    of_text: Numbers
    positions: Numbers | None

    def __len__(self) -> int:
        """The number of distinct sequences."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Numbers:
        """Tokens of each distinct sequence."""
        return np.diff(self.offsets)

    def distinct(self) -> "Sequences":
        """The same sequences, with one text for each."""
        return replace(self, of_text=np.arange(len(self)), positions=None)

    def share(self, texts: Numbers) -> float:
        """The share of all tokens that these texts have; an equal sequence counts once."""
        read = np.unique(self.of_text[texts])
        return float(self.lengths[read].sum() / self.lengths.sum())

    @cached_property
    def sha256(self) -> str:
        """A checksum of the distinct sequences, the part that a trunk's output depends on."""
        digest = hashlib.sha256(self.offsets.tobytes())
        digest.update(self.ids.tobytes())
        return digest.hexdigest()


def sequences(tokens: Tokens, input: Input) -> Sequences:
    """The sequences of the collection; raises UserError where the model has too few positions."""
    length = tokens.context_tokens(input.context_length, input.n_positions)
    about = tokens.about
    return of_texts(tokens.ids, input, length, about.padding_id, about.closing)


def of_texts(
    texts: Iterable[Ids], input: Input, length: int, padding: int, closing: int
) -> Sequences:
    """The sequences of these texts, cut or padded to `length` tokens with the id `padding`.

    The last `closing` ids of a text, which its tokenizer added, stay when it is cut. Without
    padding (`variable`) each text needs a token; where padding is masked, an empty one is one token
    of padding.
    """
    cut = (_cut(ids, length, closing) for ids in texts)
    return _distinct([_sequence(ids, input, length, padding) for ids in cut], input)


def _cut(text: Ids, length: int, closing: int) -> Ids:
    """At most `length` ids of a text, the closing ones among them."""
    if len(text) <= length or not closing:
        return text[:length]
    kept = min(closing, length)
    return np.concatenate([text[: length - kept], text[len(text) - kept :]])


def _sequence(ids: Ids, input: Input, length: int, padding: int) -> tuple[Ids, int]:
    """A text's sequence, and the position in it that is read."""
    own, padded = len(ids), ids
    if input.context_length != "variable":
        most = max(1, own) if input.mask_padding else length
        padded = np.concatenate([ids, np.full(most - own, padding, np.int32)])
    position = len(padded) - 1
    if input.trainable_token == "first":
        position = 0
    elif input.trainable_token == "flexible" and own:  # an empty text: the last of the padding
        position = own - 1
    whole = input.average_embeddings or not input.causal_mask
    return padded if whole else padded[: position + 1], position


def _distinct(found: Sequence[tuple[Ids, int]], input: Input) -> Sequences:
    """Equal sequences once, in the order of their first text."""
    numbers: dict[bytes, int] = {}
    distinct: list[Ids] = []
    of_text: list[int] = []
    for ids, _ in found:
        number = numbers.setdefault(ids.tobytes(), len(distinct))
        if number == len(distinct):
            distinct.append(ids)
        of_text.append(number)
    ends = np.cumsum([0, *map(len, distinct)], dtype=np.int64)
    positions = np.array([position for _, position in found], np.int64)
    return Sequences(
        ids=np.concatenate(distinct, dtype=np.int32),
        offsets=ends,
        of_text=np.array(of_text, np.int64),
        positions=None if input.average_embeddings else positions,
    )
