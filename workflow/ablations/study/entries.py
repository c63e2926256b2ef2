"""The shape of config.yaml: the type of each of its entries.

What must hold between two keys is in checks.py.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, defstruct

from ablations.study import paths
from ablations.study.dataset import Generated, Texts
from ablations.study.fields import Entry, Seed, Text, spelt
from ablations.study.models import Folder, Hub, HubTokenizer, ModelFolder, Pretrain
from ablations.study.references import ReferenceName
from ablations.study.settings import FIELDS, OPTIONS, Training

LONGEST = 100  # of a name, which becomes a file's name
Id = Annotated[
    str,
    spelt(
        "[a-z0-9][a-z0-9-]*",
        "small letters, digits and dashes, a letter or digit first",
        max_length=LONGEST,
    ),
]
ModelName = Annotated[
    str,
    spelt(
        r"[^\x00-\x1f\x7f]+",
        "a text on one line, in quotes where YAML would read a number or a truth value",
        max_length=LONGEST,
    ),
]
Dir = Annotated[str, spelt(r"[^\x00-\x1f\x7f]+", "a folder, relative to the working directory")]
Fraction = Annotated[float, Meta(ge=0, le=1)]
Claim = Literal["better", "worse", "similar"]
Choose = Literal["validation"]
ModelEntry = ModelFolder | Pretrain | Hub
Tokenizer = Literal["gpt2", "bytes"] | Folder | HubTokenizer


class Published(Entry, frozen=True, kw_only=True):
    """What was published for a row; accuracies are fractions."""

    train: Fraction
    validation: Fraction
    test: Fraction
    training_time_min: Annotated[float, Meta(gt=0)] | None = None
    device: Text | None = None


class Question(Entry, frozen=True, kw_only=True):
    """A question that two rows answer, or a row and a reference.

    `claim` is what was published about the variant.
    """

    id: Id
    question: Text
    baseline: str
    variant: str
    claim: Claim | None = None


# --- a row, every option of which may be left out

_DECLARED = {field.name: field.type for field in FIELDS}


def _left_out(name: str, types: dict[str, Any]) -> Any:
    """A type of entry whose keys may all be left out."""
    keys = [(key, kind | UnsetType, UNSET) for key, kind in types.items()]
    return defstruct(name, keys, bases=(Entry,), frozen=True, kw_only=True)


def _several(kind: Any) -> Any:
    """The type of a list of values of an option."""
    of: Any = tuple.__class_getitem__((kind, ...))
    return Annotated[of, Meta(min_length=1, extra_json_schema={"uniqueItems": True})]


Options = _left_out("Options", _DECLARED)
Lists = _left_out(
    "Lists", {key: _several(kind) for key, kind in _DECLARED.items() if OPTIONS[key].compared}
)


class GridEntry(Lists):  # type: ignore[misc, valid-type]
    """Lists of values of settings; the row becomes one row per combination."""


class RowEntry(Options, kw_only=True):  # type: ignore[call-arg, misc, valid-type]
    """One row of the table; what it leaves out is the baseline's."""

    id: Id
    grid: GridEntry | None = None
    choose: Annotated[
        Choose | None,
        Meta(description="With a grid: only its row with the best accuracy there is in the table."),
    ] = None
    published: Published | None = None
    save_model: Annotated[
        bool, Meta(description="Whether the trained model is kept. It does not change the results.")
    ] = False


class Shared(Entry, frozen=True, kw_only=True):
    """The keys of config.yaml that a study takes as they are."""

    seeds: Annotated[tuple[Seed, ...], Meta(min_length=1, extra_json_schema={"uniqueItems": True})]
    tokenizer: Annotated[
        Tokenizer, Meta(description="Of GPT-2s; a model of another type has its own.")
    ] = "gpt2"
    mirror: Text | Literal[None] = None  # null, which is no value elsewhere
    cache_dir: Dir = paths.CACHE
    cache_gb: Annotated[float, Meta(ge=0)] = 10
    dataset: Generated | Texts
    references: Annotated[
        tuple[ReferenceName, ...],
        Meta(
            description="Classifiers that count, which stand below the rows.",
            extra_json_schema={"uniqueItems": True},
        ),
    ] = ()
    margin: Annotated[float, Meta(gt=0, le=100)] = 2  # of equivalence, in percentage points


class Config(Shared, frozen=True, kw_only=True):
    """The keys of config.yaml; in one that extends another, some may be left out (extends.py)."""

    extends: Annotated[
        Text | None,
        Meta(
            description="A configuration, relative to this file, whose keys these replace: mappings"
            " key by key, lists whole."
        ),
    ] = None
    title: Annotated[Text | None, Meta(description="Shown above the table.")] = None
    training: Training
    models: Annotated[dict[ModelName, ModelEntry], Meta(min_length=1)]
    rows: Annotated[tuple[RowEntry, ...], Meta(min_length=1)]
    comparisons: tuple[Question, ...] = ()


def options(row: Any) -> dict[str, Any]:
    """The options that a row, or its grid, sets, in the order of their declaration."""
    found = {name: getattr(row, name, UNSET) for name in OPTIONS}
    return {name: value for name, value in found.items() if value is not UNSET}
