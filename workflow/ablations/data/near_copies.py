"""Which texts are nearly the same, by the words that they share.

Two texts are near-copies where the Jaccard similarity of the sets of their words is at least
0.8: of all the words that either has, four in five are in both. A word is a run of letters in lower
case. Texts without a word have no such similarity: only a verbatim copy of one is its duplicate.

Texts are compared in full only where they share enough of their rarest words (prefix filtering:
Chaudhuri, Ganti and Kaushik 2006; with more than one word: Wang, Li and Feng 2012).
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.int64]

# The least similarity, 0.8, as a ratio of whole numbers: no rounding decides.
SHARED, OF = 4, 5
LETTERS = re.compile(r"[^\W\d_]+")
PAIRS = 100_000  # compared at a time
NOWHERE = np.iinfo(np.int64).max  # the index of a text that is not among others


def first_copy(texts: Sequence[str], others: Sequence[str]) -> Indices:
    """The index of the first of the others that is equal to each text, or NOWHERE, [texts]."""
    index = {other: at for at, other in reversed(list(enumerate(others)))}
    return np.array([index.get(text, NOWHERE) for text in texts], np.int64)


def first_near(texts: Sequence[str], others: Sequence[str]) -> Indices:
    """The same of the first that each text is near, or a copy of."""
    first = first_copy(texts, others)
    for i, j in _near_pairs(texts, others):
        np.minimum.at(first, i, j)
    return first


def groups(texts: Sequence[str]) -> Indices:
    """A number for each text, equal for copies and near-copies, and for what these are near to."""
    numbers: dict[str, int] = {}
    first = [numbers.setdefault(text, index) for index, text in enumerate(texts)]
    pairs = [np.array([range(len(texts)), first]), *map(np.array, _near_pairs(texts, texts))]
    i, j = np.concatenate(pairs, axis=1)
    near = sparse.coo_array((np.ones(len(i), bool), (i, j)), (len(texts), len(texts)))
    return np.asarray(connected_components(near, directed=False)[1], np.int64)


def _near_pairs(texts: Sequence[str], others: Sequence[str]) -> Iterator[tuple[Indices, Indices]]:
    """The indices of texts and of others that are near each other by their words, in blocks."""
    words = _words([*texts, *others])
    sizes = np.diff(words.indptr)
    # Of the rarest words. Any number gives the same; a larger one compares fewer texts in full.
    in_common = 1 + sizes // 20
    rarest = _first(words, sizes - -(-SHARED * sizes // OF) + in_common)
    one, other = rarest[: len(texts)], rarest[len(texts) :].T.tocsr()
    pairs = np.cumsum(one @ np.diff(other.indptr))
    for block in np.split(np.arange(len(texts)), np.flatnonzero(np.diff(pairs // PAIRS)) + 1):
        common = (one[block] @ other).tocoo()
        i, j = block[common.row], len(texts) + common.col
        small, large = np.sort([sizes[i], sizes[j]], axis=0)
        enough = common.data >= np.minimum(in_common[i], in_common[j])
        possible = enough & (OF * small >= SHARED * large)
        i, j, total = i[possible], j[possible], (small + large)[possible]
        in_both = words[i].multiply(words[j]).sum(1)
        near = OF * in_both >= SHARED * (total - in_both)
        yield i[near], j[near] - len(texts)


def _words(texts: Sequence[str]) -> Any:
    """A sparse matrix [texts, words] with a 1 where a text has a word, rare words first."""
    number: defaultdict[str, int] = defaultdict(count().__next__)
    sets = [
        np.array(list({number[word] for word in LETTERS.findall(text.lower())}), np.int32)
        for text in texts
    ]
    found, starts = np.concatenate([[], *sets]).astype(np.int32), np.cumsum([0, *map(len, sets)])
    rank = np.argsort(np.argsort(np.bincount(found)))
    ones = np.ones(len(found), np.int32)
    words = sparse.csr_array((ones, rank[found], starts), (len(texts), len(number)))
    words.sort_indices()
    return words


def _first(words: Any, kept: NDArray[np.int_]) -> Any:
    """The same with so many first words of each text alone."""
    sizes = np.diff(words.indptr)
    position = np.arange(words.nnz) - np.repeat(words.indptr[:-1], sizes)
    rest = words.copy()
    rest.data = (position < np.repeat(kept, sizes)).astype(np.int32)
    rest.eliminate_zeros()
    return rest
