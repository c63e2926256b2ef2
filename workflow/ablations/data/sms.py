"""The SMS Spam Collection as its authors wrote it: the one place that knows ham from spam.

The file has a message per line: `ham` or `spam`, a tab, the text.
"""

from pathlib import Path

import pandas as pd

from ablations.errors import UserError

CLASSES = ("ham", "spam")  # a label is its class's index


def read(path: Path) -> pd.DataFrame:
    """The collection's messages in its own order: columns Label (index of its class) and Text.

    Read with pandas' default quoting, as the published study did: a quote at the start of a text
    joins lines until the next quote. Raises UserError where the file is anything else.
    """
    expected = "expected UTF-8 text with a message per line: ham or spam, a tab, the text"
    try:
        # na_filter: a message may well say "null"
        frame = pd.read_csv(path, sep="\t", header=None, dtype=str, na_filter=False)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {expected}") from None
    except ValueError as error:  # pandas' own errors and those of decoding are ValueErrors
        raise UserError(f"{path}: {str(error).strip()}; {expected}") from None
    if frame.shape[1] != 2:
        raise UserError(
            f"{path} is not tab-separated into two columns, found {frame.shape[1]}; {expected}"
        )
    frame.columns = pd.Index(["Label", "Text"])
    unknown = frame.index[~frame["Label"].isin(CLASSES)]
    if len(unknown):
        label = frame["Label"][unknown[0]]
        raise UserError(
            f"{path}: message {unknown[0] + 1} has the unknown label {label[:40]!r}; {expected}"
        )
    return frame.assign(Label=frame["Label"].map(CLASSES.index).astype("int64"))
