"""A model as the configuration states it: its shape, and where its checkpoint comes from."""

import re
from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct

from ablations.study.dimensions import Dimensions, Positive


def told(allowed: str, **rules: Any) -> Meta:
    """What a message says is allowed, where the type and its rules say too little."""
    return Meta(extra_json_schema={"allowed": allowed}, **rules)


def spelt(pattern: str, allowed: str, **rules: Any) -> Meta:
    """How a whole text is spelt: \\Z, because $ accepts a line break at the end."""
    return told(allowed, pattern=rf"^{pattern}\Z", **rules)


Sha256 = Annotated[str, spelt("[0-9a-f]{64}", "64 hexadecimal digits, in small letters")]
Repo = Annotated[
    str,
    spelt(
        "[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?",
        "the name of a hub repository, such as openai-community/gpt2",
    ),
]
Revision = Annotated[
    str,
    spelt(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "the commit of the repository, in quotes if it has digits alone",
    ),
]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Text = Annotated[str, Meta(min_length=1)]


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping in config.yaml; an unknown key is a mistake.

    Where several kinds of entries are allowed, it is the first whose `known_by` is there, or the
    last.
    """

    known_by: ClassVar[str | None] = None


class Shape(Entry, frozen=True, kw_only=True):
    """The dimensions that a model's entry states."""

    n_layer: Positive
    n_head: Positive
    n_embd: Positive


class Hub(Shape, frozen=True, kw_only=True):
    """A repository of the Hugging Face hub at a fixed revision."""

    repo: Repo
    revision: Revision
    sha256: Sha256 | None = None
    n_positions: Positive = 1024
    vocab_size: Positive | None = None  # None: the tokenizer's


class Folder(Entry, frozen=True, kw_only=True):
    """A user's folder, relative to the working directory: of a model, or of a tokenizer."""

    known_by = "path"

    path: Text

    @property
    def source(self) -> str:
        """Where it is, for a reader."""
        return self.path


class HubTokenizer(Entry, frozen=True, kw_only=True):
    """The tokenizer of a model's repository of the Hugging Face hub, at a fixed revision."""

    repo: Repo
    revision: Revision
    vocab_size: Positive

    @property
    def source(self) -> str:
        """Where it is, for a reader."""
        return self.repo


class Recipe(Entry, frozen=True, kw_only=True):
    """How a stand-in is pretrained."""

    steps: Positive
    batch_size: Positive
    learning_rate: Annotated[float, Meta(gt=0)]
    seed: Seed


class Pretrain(Shape, frozen=True, kw_only=True):
    """A model that the workflow pretrains as a language model on the training texts."""

    known_by = "pretrain"

    pretrain: Recipe
    n_positions: Positive


# The repositories of the four published models, by their names now and before.
PUBLISHED = {
    f"{owner}{name}"
    for owner in ("openai-community/", "")
    for name in ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
}


class Model(Struct, frozen=True, omit_defaults=True):
    """A named GPT-2: its shape, and where its checkpoint comes from, which is one of three."""

    name: str
    dimensions: Dimensions
    hub: Hub | None = None
    folder: Folder | None = None
    pretrain: Pretrain | None = None

    @property
    def is_gpt2(self) -> bool:
        """Whether it is one of the four published models."""
        return self.hub is not None and self.hub.repo in PUBLISHED

    @property
    def slug(self) -> str:
        """The name as a file name: `gpt2-small (124M)` → `gpt2-small-124M`."""
        return slug(self.name)


def slug(name: str) -> str:
    """A name as a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")
