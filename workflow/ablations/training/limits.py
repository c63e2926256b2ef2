"""Limits of a row that depend on the texts, checked before anything is computed; without torch."""

import numpy as np

from ablations.data.collection import TRAIN
from ablations.data.tokens import Tokens
from ablations.errors import UserError
from ablations.study.settings import Settings

GIGABYTE = 10**9


def refuse_training(row: Settings, read: Tokens) -> None:
    """Raises UserError where the training texts of a fold cannot be trained on with these settings.

    A batch must not be larger than the training set, and that not larger than what there is; it
    must hold each class. The label that the loss leaves out must not be a class. Each token needs
    an embedding.
    """
    read.refuse_fewer(row.dimensions.vocab_size)
    classes, ignored = read.about.classes, row.training.ignore_index
    if ignored is not None and ignored in range(len(classes)):
        raise UserError(
            f"ignore_index: {ignored} is the class {classes[ignored]!r}; allowed: a number"
            f" that is no class, such as {read.about.padding_id}"
        )
    texts = min(int((cut == TRAIN).sum()) for cut in read.cuts.values())
    of_folds = "" if len(read.cuts) == 1 else " of the smallest fold"
    if row.train_size and row.train_size > texts:
        raise UserError(
            f"train_size: {row.train_size} is out of range; allowed: at most {texts}, the number of"
            f" training texts{of_folds}"
        )
    if row.train_size and row.train_size < (least := _with_each_class(read)):
        raise UserError(
            f"train_size: {row.train_size} is out of range: the first {row.train_size} training"
            f" texts lack a class; allowed: at least {least}, which hold every class"
        )
    if texts < row.training.batch_size:
        raise UserError(
            f"batch_size: {row.training.batch_size} is out of range; allowed: at most {texts}, the"
            f" number of training texts{of_folds}, since an epoch leaves out a batch that is not"
            " full"
        )


def _with_each_class(read: Tokens) -> int:
    """How many of the first training texts hold one of each class, in every fold."""
    of_folds = (read.labels[cut == TRAIN] for cut in read.cuts.values())
    return max(int(np.unique(labels, return_index=True)[1].max()) + 1 for labels in of_folds)


def hidden_states_bytes(tokens: int, width: int) -> int:
    """The size of a trunk's output for this number of tokens, in float32."""
    return 4 * tokens * width


def refuse_hidden_states(size: int, gigabytes: float) -> None:
    """Raises UserError where the cache cannot hold all hidden states of a row at once."""
    if gigabytes and size > gigabytes * GIGABYTE:
        raise UserError(
            f"the hidden states of this row take {size / GIGABYTE:.1f} GB, more than cache_gb:"
            f" {gigabytes:g} allows; raise it, or set cache_gb: 0 to keep them for the one run that"
            " reads them"
        )
