"""Which texts are nearly the same as one of a set of others, by the words that they share.

Two texts are near-duplicates where the Jaccard similarity of the sets of their words is at least
0.8: of all the words that either has, four in five are in both. A word is a run of letters in lower
case. Texts without a word have no such similarity: only a verbatim copy of one is its duplicate.

A text is compared only with those that share enough of its rarest words, a block of texts at a time
(prefix filtering: Chaudhuri, Ganti and Kaushik 2006; with more than one word: Wang, Li and Feng
2012). So 20,000 texts are looked up among 100,000 in a few seconds, in a minute if they are long.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# The least similarity, 0.8, as a ratio of whole numbers: no rounding decides.
SHARED, OF = 4, 5
LETTERS = re.compile(r"[^\W\d_]+")
PAIRS = 100_000  # compared at a time

Words = NDArray[np.int32]  # a text's words as numbers, each once


def near_duplicates(texts: Sequence[str], others: Collection[str]) -> NDArray[np.bool_]:
    """Whether each text is a near-duplicate or a verbatim copy of one of the others, [texts]."""
    number: defaultdict[str, int] = defaultdict(count().__next__)

    def words(text: str) -> Words:
        return np.array(sorted({number[word] for word in LETTERS.findall(text.lower())}), np.int32)

    verbatim = set(others)
    known = {found.tobytes(): found for found in map(words, dict.fromkeys(others)) if len(found)}
    asked = list(map(words, texts))
    near = np.array(
        [
            text in verbatim or found.tobytes() in known
            for text, found in zip(texts, asked, strict=True)
        ],
        bool,
    )
    rest = [index for index in np.flatnonzero(~near).tolist() if len(asked[index])]
    if rest and known:
        near[rest] = _near([asked[index] for index in rest], list(known.values()), len(number))
    return near


def _near(asked: Sequence[Words], known: Sequence[Words], vocabulary: int) -> NDArray[np.bool_]:
    """Whether each set of words is near one of the known ones; none is empty."""
    rank = np.empty(vocabulary, int)  # rare words first: they are shared by the fewest texts
    rank[np.argsort(np.bincount(np.concatenate(known), minlength=vocabulary))] = range(vocabulary)
    one, other = ([np.sort(rank[words]) for words in sets] for sets in (asked, known))
    texts, others = _incidence(one, vocabulary), _incidence(other, vocabulary)
    rarest = _incidence(list(map(_rarest, one)), vocabulary)
    having = _incidence(list(map(_rarest, other)), vocabulary).T.tocsr()  # [words, known]
    sizes, other_sizes = np.diff(texts.indptr), np.diff(others.indptr)
    near = np.zeros(len(asked), bool)
    pairs = np.cumsum(rarest @ np.diff(having.indptr))
    for block in np.split(np.arange(len(asked)), np.flatnonzero(np.diff(pairs // PAIRS)) + 1):
        common = (rarest[block] @ having).tocoo()
        i, j = block[common.row], common.col
        small, large = np.sort([sizes[i], other_sizes[j]], axis=0)
        possible = (common.data >= _in_common(small)) & (OF * small >= SHARED * large)
        i, j, total = i[possible], j[possible], (small + large)[possible]
        in_both = np.asarray(texts[i].multiply(others[j]).sum(axis=1)).ravel()
        near[i[OF * in_both >= SHARED * (total - in_both)]] = True
    return near


def _in_common(size: Any) -> Any:
    """How many of its rarest words a set must have in common with a near one; any number would do.

    More of them leave fewer pairs to compare, and take more common words into account.
    """
    return 1 + size // 20


def _rarest(ranks: NDArray[np.int_]) -> NDArray[np.int_]:
    """As many of a set's rarest words as are needed to have enough in common with a near set."""
    shared = -(-SHARED * len(ranks) // OF)  # the words that it shares at least with a near set
    return ranks[: len(ranks) - shared + _in_common(len(ranks))]


def _incidence(sets: Sequence[NDArray[np.int_]], words: int) -> Any:
    """A sparse matrix [sets, words] with a 1 where a set has a word."""
    found = np.concatenate(sets)
    starts = np.cumsum([0, *map(len, sets)])
    return sparse.csr_matrix((np.ones(len(found), np.int32), found, starts), (len(sets), words))
