"""What a reader of the results must know of the texts themselves, a sentence each."""

from collections.abc import Iterator, Sequence

import pandas as pd

from ablations import cli
from ablations.data.texts import short

LEAST_KEPT = 1 / 4  # of the texts; the published study keeps a little more


def balance(found: pd.DataFrame, used: pd.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    """A sentence where balancing leaves few of the texts that were found."""
    if len(used) < LEAST_KEPT * len(found):
        counts = found["Label"].value_counts().sort_values()
        yield (
            f"Balanced: {len(used):,} of {len(found):,} texts are used, as many of each class as"
            f" {classes[counts.index[0]]!r} has ({counts.iloc[0]:,})."
        )


def two_labels(used: pd.DataFrame, classes: Sequence[str]) -> Iterator[str]:
    """A sentence where the same text stands there with several labels; the first is an example."""
    labels = used.groupby("Text", sort=False)["Label"].nunique()
    several = labels[labels > 1]
    if several.empty:
        return
    text = several.index[0]
    example = used[used["Text"] == text].drop_duplicates("Label")
    where = zip(example["Label"], example["where"], strict=True)
    told = ", ".join(f"{classes[label]!r} in {place}" for label, place in where)
    stand = "stands" if len(several) == 1 else "stand"
    yield (
        f"{cli.count(len(several), 'text')} {stand} there with more than one label, such as"
        f" {short(text)} ({told})."
    )
