"""What the answers need to know about the configuration: the content of results/study.json.

Row files hold what decides a run. This holds the rest: titles, the order of the rows, published
numbers, questions, where the texts come from, and what is only a stand-in.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from ablations.study.dataset import Generated, Texts
from ablations.study.dimensions import Dimensions
from ablations.study.entries import Published, Question, Tokenizer
from ablations.study.grid import Grid
from ablations.study.models import Model
from ablations.study.references import ReferenceName


class Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line of the table: which row, and what was published for it."""

    id: str
    published: Published | None = None


class Outline(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of study.json."""

    title: str
    data: str
    notes: tuple[str, ...]  # what is not the published study's in any row
    models: tuple[str, ...]  # which models are not GPT-2 as published
    seeds: tuple[int, ...]
    folds: int | None  # how many; None where the texts are cut once
    may_have_folds: bool  # whether the workflow cuts the test texts, none being given as files
    keep_together: bool  # whether near-copies are on one side of each cut
    margin: float  # of equivalence, in percentage points
    rows: tuple[Line, ...]
    references: tuple[ReferenceName, ...]
    grids: tuple[Grid, ...]
    questions: tuple[Question, ...]  # as they were asked: about rows, and about grids


def stand_in_data(texts: Texts | Generated) -> Iterator[str]:
    """A sentence where the texts are none that anybody wrote."""
    if isinstance(texts, Generated):
        yield "Stand-in data: the texts are generated, not the SMS Spam Collection."


def about_texts(texts: Texts | Generated, any_published: bool) -> Iterator[str]:
    """A sentence where they are not the published study's; `any_published`: numbers or claims."""
    yield from stand_in_data(texts)
    if isinstance(texts, Texts) and not texts.published and any_published:
        yield (
            f"Your own texts: {texts.description}, not the SMS Spam Collection, so no published"
            " number is about them."
        )


def about_tokenizer(tokenizer: Tokenizer, texts: Texts | Generated) -> Iterator[str]:
    """A sentence where the user's tokenizer is not the published study's."""
    if not isinstance(tokenizer, str):
        yield f"Your own tokenizer: that of {tokenizer.source}, not GPT-2's."
    elif tokenizer == "bytes" and not isinstance(texts, Generated):
        yield "Byte tokenizer: a token for each byte, not GPT-2's tokenizer."


def about_models(used: Iterable[Model], folds: bool) -> Iterator[str]:
    """A sentence for each kind of model that is not GPT-2 as published.

    `folds`: whether every text is a training text of some fold.
    """
    models = {model.name: model for model in used}
    pretrained = [name for name, model in models.items() if model.pretrain]
    if pretrained:
        were = "was" if len(pretrained) == 1 else "were"
        yield (
            f"Stand-in models: {', '.join(pretrained)} {were} pretrained by this workflow on"
            f" {'all texts, tested ones too' if folds else 'the training texts'}, not GPT-2."
        )
    sources = {name: model.hub.repo if model.hub else "a folder" for name, model in models.items()}
    own = [name for name, model in models.items() if not model.pretrain and not model.is_published]
    gpt2s = [f"{name} from {sources[name]}" for name in own if models[name].dimensions.is_gpt2]
    others = [
        f"{name} from {sources[name]} ({_kind(models[name].dimensions)})"
        for name in own
        if not models[name].dimensions.is_gpt2
    ]
    if gpt2s:
        yield f"Your own models: {', '.join(gpt2s)}; not GPT-2 as published."
    if others:
        yield f"Other models than GPT-2: {', '.join(others)}."


def _kind(shape: Dimensions) -> str:
    return f"{shape.type}, which reads in both directions" if shape.encoder else shape.type
