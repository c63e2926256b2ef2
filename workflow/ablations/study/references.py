"""The references: classifiers that count, each declared once, with its words.

One is trained on the same texts as the rows, in seconds: a row that is not better is not worth its
time. The package `references` trains them.
"""

from typing import Literal, NamedTuple

ReferenceName = Literal["counts", "words", "characters"]


class Reference(NamedTuple):
    """What a reference counts in a text, and how it is called."""

    analyzer: Literal["word", "char_wb"]  # char_wb: characters within words
    fewest: int  # words or characters that are counted as one
    most: int
    weighted: bool  # by TF-IDF, of the logarithm of a count
    inverse_penalty: float  # of the logistic regression: scikit-learn's C
    called: str  # in a sentence
    cell: str  # in the table, where a row says what it changes


REFERENCES: dict[ReferenceName, Reference] = {
    "counts": Reference(
        analyzer="word",
        fewest=1,
        most=1,
        weighted=False,
        inverse_penalty=1.0,
        called="counted words",
        cell="counts words",
    ),
    "words": Reference(
        analyzer="word",
        fewest=1,
        most=2,
        weighted=True,
        inverse_penalty=10.0,
        called="counted words and pairs of words",
        cell="counts 1 and 2 words, TF-IDF",
    ),
    "characters": Reference(
        analyzer="char_wb",
        fewest=2,
        most=5,
        weighted=True,
        inverse_penalty=10.0,
        called="counted characters",
        cell="counts 2 to 5 characters, TF-IDF",
    ),
}
