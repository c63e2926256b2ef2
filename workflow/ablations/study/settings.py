"""What a row may set: every option once, with its type, its default, what is allowed and why.

`Settings` is the content of a row file: everything that decides a run's result, apart from texts,
code and seed. config.py makes it and the jobs read it. The schema of config.yaml (schema.py), the
messages about wrong values and the table's columns come from the declarations here. A default is
left out of the files, so a new option does not change old row files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, structs

from ablations import files
from ablations.study.dimensions import Dimensions

Weights = Literal["pretrained", "random"]
TrainableToken = Literal["last", "first", "flexible"]
TrainableLayers = Literal["last_layer", "last_block", "last_two_blocks", "all", "lora"]
ContextLength = (
    Literal["longest_training_example", "model_context_length", "variable"]
    | Annotated[int, Meta(ge=1)]
)
Precision = Literal["auto", "float32", "tf32", "bfloat16"]


OF_LORA = ("lora_rank", "lora_alpha")


def _says(description: str, allowed: str | None = None, **bounds: Any) -> Meta:
    """A declaration's description; `allowed` is for messages, where the type says too little."""
    extra = {"allowed": allowed} if allowed else None
    return Meta(description=description, extra_json_schema=extra, **bounds)


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a row is trained: `training:` sets it for all rows, a row sets it for itself."""

    epochs: Annotated[int, _says("Passes over the training set.", ge=1, le=1_000_000)]
    batch_size: Annotated[int, _says("Texts in a batch.", ge=1, le=1_000_000)]
    learning_rate: Annotated[float, _says("Of AdamW, constant.", gt=0)]
    weight_decay: Annotated[float, _says("Of AdamW, on everything that is trained.", ge=0)]
    eval_every: Annotated[int, _says("Batches between two evaluations of the loss.", ge=1)]
    eval_batches: Annotated[int, _says("Batches that such an evaluation reads.", ge=1)]
    precision: Annotated[
        Precision, _says("Of matrix products; auto: tf32 on CUDA, float32 elsewhere.")
    ]
    accumulation_steps: Annotated[
        int, _says("Batches whose gradients make one update of the weights.", ge=1)
    ] = 1
    ignore_index: (
        Annotated[int, _says("A label that the loss leaves out; no class may have it.")] | None
    ) = None
    micro_batch: (
        Annotated[int, _says("Texts of a batch to compute at a time, to save memory.", ge=1)] | None
    ) = None


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings that rows are compared by: the table's columns, in their order."""

    model: Annotated[str, _says("One of the names under models.")]
    weights: Annotated[Weights, _says("Where the model's weights come from.")]
    trainable_token: Annotated[TrainableToken, _says("The position whose output is classified.")]
    trainable_layers: Annotated[TrainableLayers, _says("What is trained.")]
    context_length: Annotated[
        ContextLength,
        _says(
            "Tokens of a text after padding.",
            "longest_training_example, model_context_length or a number of tokens; or variable, for"
            " no padding",
        ),
    ]
    lora_rank: Annotated[int, _says("Rank of LoRA's update of a layer.", ge=1)] = 8
    lora_alpha: Annotated[float, _says("Factor of LoRA's update.", gt=0)] = 8.0
    causal_mask: Annotated[
        bool, _says("Whether a position reads only itself and the positions before it.")
    ] = True
    average_embeddings: Annotated[
        bool, _says("Whether the logits are the mean over all positions.")
    ] = False


class Input(Struct, frozen=True, omit_defaults=True):
    """What decides which tokens of a text the model reads, and which of its outputs."""

    trainable_token: TrainableToken
    context_length: ContextLength
    n_positions: int
    causal_mask: bool = True
    average_embeddings: bool = False


class Settings(Choices, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of a row file."""

    row: str
    dimensions: Dimensions
    training: Training

    @property
    def input(self) -> Input:
        """What the model reads in each text."""
        return Input(
            self.trainable_token,
            self.context_length,
            self.dimensions.n_positions,
            self.causal_mask,
            self.average_embeddings,
        )

    def compared(self) -> dict[str, Any]:
        """Every setting in which rows can differ, defaults too: choices, then training.

        micro_batch is not among them: it changes how a batch is computed, not the result.
        """
        found = {name: getattr(self, name) for name in names(Choices)}
        found |= {name: getattr(self.training, name) for name in names(Training)}
        del found["micro_batch"]
        return found


def names(of: type[Struct]) -> tuple[str, ...]:
    """The names of a declaration's options, in its order."""
    return tuple(field.name for field in structs.fields(of))


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a row's settings that are read: LoRA's with LoRA, the token without an average."""
    idle = set() if settings["trainable_layers"] == "lora" else set(OF_LORA)
    if settings["average_embeddings"]:
        idle.add("trainable_token")
    return {name: settings[name] for name in settings if name not in idle}


def result(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides a row's result: two rows in which it is equal give the same numbers.

    `deciding`, with which rows are described, has more: a published row shows that `ignore_index`
    changes nothing, and beside a padded row `flexible` and `last` are not the same.
    """
    found = deciding(settings) | {"ignore_index": None}  # no class has it
    if found["context_length"] == "variable" and found.get("trainable_token") == "flexible":
        found["trainable_token"] = "last"  # without padding the same position
    return found


def defaults() -> dict[str, Any]:
    """The value of each option that neither the row nor the baseline nor `training:` sets."""
    fields = (*structs.fields(Choices), *structs.fields(Training))
    return {field.name: field.default for field in fields if not field.required}


def read(path: Path) -> Settings:
    """A row file's content; raises UserError where it is something else."""
    return files.read_json(path, Settings)
