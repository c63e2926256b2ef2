"""A model as the configuration states it: its shape, and where its checkpoint comes from."""

from typing import Annotated

from msgspec import Meta, Struct

from ablations.study import paths
from ablations.study.dimensions import Dimensions, Positive
from ablations.study.fields import Entry, Repo, Revision, Seed, Sha256, Text, spelt

ModelType = Annotated[
    str, spelt("[a-z0-9][a-z0-9_.-]*", "the model_type of its config.json, such as gpt_neox")
]


class Shape(Entry, frozen=True, kw_only=True):
    """The dimensions that a model's entry states."""

    n_layer: Positive
    n_head: Positive
    n_embd: Positive


class Hub(Shape, frozen=True, kw_only=True, omit_defaults=True):
    """A repository of the Hugging Face hub at a fixed revision."""

    repo: Repo
    revision: Revision
    sha256: Sha256 | None = None
    type: ModelType = "gpt2"
    encoder: bool = False
    n_positions: Positive | None = None  # of a GPT-2, if not 1024
    vocab_size: Positive | None = None  # of a GPT-2, if not the tokenizer's
    block_weights: Positive | None = None  # of another model, for estimates
    bytes: Positive | None = None  # of its weights, for estimates


class Folder(Entry, frozen=True, kw_only=True):
    """A user's folder, relative to the working directory: of a tokenizer, or of a model."""

    known_by = "path"

    path: Text

    @property
    def source(self) -> str:
        """Where it is, for a reader."""
        return self.path


class ModelFolder(Folder, frozen=True, kw_only=True, omit_defaults=True):
    """A model's; of another model than a GPT-2 it says what config.json does not."""

    encoder: bool = False
    n_positions: Positive | None = None  # if fewer than config.json says
    block_weights: Positive | None = None  # for estimates


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
    """A named model: its shape, and where its checkpoint comes from, which is one of three."""

    name: str
    dimensions: Dimensions
    hub: Hub | None = None
    folder: ModelFolder | None = None
    pretrain: Pretrain | None = None
    tokenizer: str = "gpt2"  # what its texts are encoded with: the name of the file of tokens

    @property
    def is_published(self) -> bool:
        """Whether it is one of the four models of the published study."""
        return self.hub is not None and self.hub.repo in PUBLISHED

    @property
    def slug(self) -> str:
        """The name as a file name: `gpt2-small (124M)` → `gpt2-small-124M`."""
        return paths.slug(self.name)
