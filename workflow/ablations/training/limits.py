"""What a row cannot ask of these texts, known before anything is computed; free of torch."""

from ablations.data.tokens import About
from ablations.errors import UserError
from ablations.study.settings import Training

GIGABYTE = 10**9


def refuse_batches(training: Training, texts: int) -> None:
    """Raises UserError where so many training texts do not fill a batch."""
    if texts < training.batch_size:
        raise UserError(
            f"batch_size: {training.batch_size} is more than the {texts} training texts; an epoch"
            " drops its last incomplete batch and would be empty"
        )


def refuse_ignored_class(training: Training, about: About) -> None:
    """Raises UserError where the label that the loss leaves out is a class."""
    ignored = training.ignore_index
    if ignored is not None and ignored in range(len(about.classes)):
        raise UserError(
            f"ignore_index: {ignored} is the class {about.classes[ignored]!r}; allowed: a number"
            f" that is no class, such as {about.padding_id}"
        )


def hidden_states_bytes(tokens: int, width: int) -> int:
    """What a trunk's output for so many tokens takes, in float32."""
    return 4 * tokens * width


def refuse_hidden_states(size: int, gigabytes: float) -> None:
    """Raises UserError where the cache cannot hold a row's hidden states all at once."""
    if gigabytes and size > gigabytes * GIGABYTE:
        raise UserError(
            f"the hidden states of this row take {size / GIGABYTE:.1f} GB, more than cache_gb:"
            f" {gigabytes:g} allows; raise it, or set cache_gb: 0 to keep them for the one run that"
            " reads them"
        )
