"""Balances and cuts a table of texts, which has a column Label: the index of each text's class."""

from collections.abc import Mapping

import pandas as pd

from ablations.errors import UserError


def balanced(texts: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The same number of texts of each class, shuffled; larger classes are sampled."""
    parts = [part for _, part in texts.groupby("Label")]
    size = min(map(len, parts))
    # the last class keeps its order where all of it is used, as in the published study
    keep = len(parts) - 1 if len(parts[-1]) == size else None
    chosen = [
        part if label == keep else part.sample(size, random_state=seed)
        for label, part in enumerate(parts)
    ]
    return pd.concat(chosen).sample(frac=1, random_state=seed).reset_index(drop=True)


def split(
    texts: pd.DataFrame, shares: Mapping[str, float], rest: str, seed: int, stratify: bool = False
) -> dict[str, pd.DataFrame]:
    """Shuffles and cuts: `shares` are fractions by split, in order; `rest` names the last split.

    With `stratify`, each class is cut by these fractions. Raises UserError if a split would be
    empty.
    """
    shuffled = texts.sample(frac=1, random_state=seed).reset_index(drop=True)
    group = shuffled["Label"] if stratify else pd.Series(0, index=shuffled.index)
    rank = group.groupby(group).cumcount()
    size = group.groupby(group).transform("size")
    parts, begin = {}, 0 * size
    for name, share in shares.items():
        end = begin + (size * share).astype(int)
        parts[name] = shuffled[(begin <= rank) & (rank < end)]
        begin = end
    parts[rest] = shuffled[begin <= rank]
    for name, part in parts.items():
        if part.empty:
            cuts = " and ".join(f"{name} {share:g}" for name, share in shares.items())
            cuts += " of each class" if stratify else ""
            raise UserError(
                f"the {name} split is empty: {len(shuffled)} texts are too few for {cuts}"
            )
    return parts
