"""What a row may set: every option once, with its type, its default, what is allowed and why.

`Settings` is the content of a row file: everything that decides a run's result, apart from texts,
code and seed. config.py makes it and the jobs read it. The shape of config.yaml (entries.py), the
messages about wrong values, ids, tables and figures (words.py) come from the declarations here. A
default is left out of the files, so a new option does not change old row files.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta, Struct, structs

from ablations import files
from ablations.study.dimensions import Dimensions

Weights = Literal["pretrained", "random"]
TrainableToken = Literal["last", "first", "flexible"]
NamedLayers = Literal["last_layer", "last_block", "last_two_blocks", "all", "lora"]
TrainableLayers = NamedLayers | Annotated[int, Meta(ge=1)]
ContextLength = (
    Literal["longest_training_example", "model_context_length", "variable"]
    | Annotated[int, Meta(ge=1)]
)
Precision = Literal["auto", "float32", "tf32", "bfloat16"]


TOGETHER = 8  # texts up to which an update's batches are computed together


class Words(Struct, frozen=True, kw_only=True):
    """What an option and its values are called: their own names, unless something else is said.

    `cells` are its values' words in the table; `changes` those for what a row changes, where they
    are others. `cell` and `change` are for values that have none. They may hold {name}, {value}, a
    setting of the row, such as {row.lora_rank}, and {tokens}, the length of its padded inputs.
    """

    short: str  # its name in ids
    heading: str  # of its column
    cell: str = "{value}"
    cells: dict[Any, str] = {}
    change: str = "{name} {value}"
    changes: dict[Any, str] = {}
    markers: dict[Any, str] = {}  # of points in figures
    marker: str = ""  # of a value that has none


class Option(Struct, frozen=True, kw_only=True):
    """What is declared of an option beside its type, its default and its bounds."""

    words: Words
    part_of: dict[str, Any] = {}  # told with this other option, read with this value of it alone
    idle_with: dict[str, Any] = {}  # not read with this value of another option
    compared: bool = True  # False: it changes how a run is computed, not its result


def says(description: str, *, allowed: str | None = None, **words: Any) -> Meta:
    """An option's words; `allowed` is for messages and editors, where the type says too little."""
    told = {"allowed": allowed} if allowed else None
    return Meta(description=description, extra_json_schema=told, extra={"words": words})


def part_of(**option: Any) -> Meta:
    """Declares that an option is read with this value of another one alone, and told with it."""
    return Meta(extra={"part_of": option})


def idle_with(**option: Any) -> Meta:
    """Declares that an option is not read with this value of another one."""
    return Meta(extra={"idle_with": option})


AT_LEAST_ONE = Meta(ge=1)
UP_TO_A_MILLION = Meta(ge=1, le=1_000_000)
POSITIVE = Meta(gt=0)


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a row is trained: `training:` sets it for all rows, a row sets it for itself."""

    epochs: Annotated[int, UP_TO_A_MILLION, says("Passes over the training set.")]
    batch_size: Annotated[int, UP_TO_A_MILLION, says("Texts in a batch.", short="batch")]
    learning_rate: Annotated[float, POSITIVE, says("Of AdamW, constant.", short="lr")]
    weight_decay: Annotated[
        float, Meta(ge=0), says("Of AdamW, on everything that is trained.", short="decay")
    ]
    eval_every: Annotated[int, AT_LEAST_ONE, says("Batches between two evaluations of the loss.")]
    eval_batches: Annotated[int, AT_LEAST_ONE, says("Batches that such an evaluation reads.")]
    precision: Annotated[
        Precision, says("Of matrix products; auto: tf32 on CUDA, float32 elsewhere.")
    ]
    accumulation_steps: Annotated[
        int,
        AT_LEAST_ONE,
        says(
            "Batches whose gradients make one update of the weights.",
            short="accumulation",
            cell="accumulation over {value} batches",
            cells={1: "no accumulation"},
            change="{value} batches accumulated",
        ),
    ] = 1
    ignore_index: Annotated[
        int | None,
        says(
            "A label that the loss leaves out; no class may have it.",
            cell="{value} (no effect: no class has it)",
            change="ignore_index {value} (no effect)",
        ),
    ] = None
    micro_batch: Annotated[
        Annotated[int, AT_LEAST_ONE] | None,
        says("Texts of a batch to compute at a time, to save memory."),
        Meta(extra={"compared": False}),
    ] = None

    @property
    def batches_at_once(self) -> int:
        """How many of an update's batches are computed together, if they are small."""
        return max(1, min(self.accumulation_steps, TOGETHER // self.batch_size))

    @property
    def texts_at_once(self) -> int:
        """How many texts a step computes together."""
        return self.micro_batch or self.batch_size * self.batches_at_once


class Choices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The settings that rows are compared by: the table's columns, in their order."""

    model: Annotated[str, says("One of the names under models.", heading="Model", change="{value}")]
    weights: Annotated[
        Weights,
        says("Where the model's weights come from.", heading="Weights", change="{value} weights"),
    ]
    trainable_token: Annotated[
        TrainableToken,
        says(
            "The position whose output is classified.",
            short="token",
            heading="Trainable token",
            cells={"flexible": "flexible (last token before the padding)"},
            change="{value} token",
            changes={"flexible": "last token before the padding"},
        ),
        idle_with(average_embeddings=True),
    ]
    trainable_layers: Annotated[
        TrainableLayers,
        says(
            "What is trained; a number: so many last blocks, the final norm and the head.",
            allowed=f"{', '.join(get_args(NamedLayers))}, or a number of last blocks",
            short="layers",
            heading="Trainable layers",
            cell="last {value} blocks",
            cells={
                **{name: name for name in get_args(NamedLayers)},
                "lora": "lora (rank {row.lora_rank}, alpha {row.lora_alpha:g}{row.where_lora_is})",
            },
            change="last {value} blocks",
            changes={
                "last_layer": "last layer",
                "last_block": "last block",
                "last_two_blocks": "last two blocks",
                "all": "all layers",
            },
            markers={
                "last_layer": "^",
                "last_block": "o",
                "last_two_blocks": "P",
                "all": "s",
                "lora": "v",
            },
            marker="p",
        ),
    ]
    context_length: Annotated[
        ContextLength,
        says(
            "Tokens of a text after padding.",
            allowed="longest_training_example, model_context_length or a number of tokens; or"
            " variable, for no padding",
            short="context",
            heading="Context length",
            cells={
                "longest_training_example": "longest train ex. ({tokens})",
                "model_context_length": "context length ({tokens})",
                "variable": "variable: no padding (batch size 1)",
            },
            change="context length {value}",
            changes={"variable": "no padding"},
        ),
    ]
    train_size: Annotated[
        Annotated[int, AT_LEAST_ONE] | None,
        says(
            "How many of the training texts are trained on, the first ones; all unless it is set.",
            short="texts",
            heading="Training texts",
            cells={None: "all"},
            change="{value} training texts",
            changes={None: "all training texts"},
        ),
    ] = None
    lora_rank: Annotated[
        int,
        AT_LEAST_ONE,
        says("Rank of LoRA's update of a layer.", short="rank"),
        part_of(trainable_layers="lora"),
    ] = 8
    lora_alpha: Annotated[
        float,
        POSITIVE,
        says("Factor of LoRA's update.", short="alpha"),
        part_of(trainable_layers="lora"),
    ] = 8.0
    lora_blocks: Annotated[
        Annotated[int, AT_LEAST_ONE] | None,
        says("Last blocks that have LoRA's updates; all unless it is set.", short="blocks"),
        part_of(trainable_layers="lora"),
    ] = None
    causal_mask: Annotated[
        bool,
        says(
            "Whether a position reads only itself and the positions before it.",
            short="mask",
            cells={True: "causal mask", False: "no causal mask"},
        ),
    ] = True
    average_embeddings: Annotated[
        bool,
        says(
            "Whether the logits are the mean over all positions.",
            short="average",
            cells={True: "average over all positions", False: "one position"},
        ),
    ] = False
    mask_padding: Annotated[
        bool,
        says(
            "Whether padding is neither read nor averaged, as an encoder always has it.",
            short="mask-padding",
            cells={True: "padding masked", False: "padding read"},
        ),
    ] = False


class Input(Struct, frozen=True, omit_defaults=True):
    """What decides which tokens of a text the model reads, and which of its outputs."""

    trainable_token: TrainableToken
    context_length: ContextLength
    n_positions: int
    causal_mask: bool = True
    average_embeddings: bool = False
    mask_padding: bool = False


class Settings(Choices, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of a row file."""

    row: str
    dimensions: Dimensions
    training: Training

    @property
    def input(self) -> Input:
        """What the model reads in each text; an encoder reads both ways, and no padding."""
        encoder = self.dimensions.encoder
        return Input(
            self.trainable_token,
            self.context_length,
            self.dimensions.n_positions,
            self.causal_mask and not encoder,
            self.average_embeddings,
            self.mask_padding or encoder,
        )

    @property
    def where_lora_is(self) -> str:
        """Which blocks have LoRA's updates, where not all do: for the table."""
        match self.compared()["lora_blocks"]:
            case None:
                return ""
            case 1:
                return ", last block"
            case blocks:
                return f", last {blocks} blocks"

    def compared(self) -> dict[str, Any]:
        """Every setting in which rows can differ, defaults too: choices, then training.

        Of two names of one value it is the same one.
        """
        found = structs.asdict(self) | structs.asdict(self.training)
        layers = found["trainable_layers"]
        found["trainable_layers"] = {1: "last_block", 2: "last_two_blocks"}.get(layers, layers)
        if self.lora_blocks == self.dimensions.n_layer:
            found["lora_blocks"] = None
        return {name: found[name] for name, option in OPTIONS.items() if option.compared}

    def told(self) -> dict[str, Any]:
        """`compared`, but an encoder reads both ways and no padding, whatever is set.

        Between two rows that is no difference of its own: it comes with the model.
        """
        read = self.input
        effective = {"causal_mask": read.causal_mask, "mask_padding": read.mask_padding}
        return self.compared() | effective

    def deciding(self) -> dict[str, Any]:
        """Those of `compared` that are read: LoRA's with LoRA, the token without an average."""
        found = self.compared()
        return {name: value for name, value in found.items() if not self._is_idle(name)}

    def result(self) -> dict[str, Any]:
        """What decides the row's result: two rows in which it is equal give the same numbers.

        `deciding`, with which rows are described, has more: a published row shows that
        `ignore_index` changes nothing, and beside a padded row `flexible` and `last` are not the
        same.
        """
        found = self.deciding() | {"ignore_index": None}  # no class has it
        read, token = self.input, found.get("trainable_token")
        found["causal_mask"], found["mask_padding"] = read.causal_mask, read.mask_padding
        if (read.mask_padding or read.context_length == "variable") and token == "flexible":
            found["trainable_token"] = "last"  # without padding the same position
        if read.context_length == "variable" or (token == "first" and read.causal_mask):
            found["mask_padding"] = False  # no padding is read anyway
        return found

    def _is_idle(self, name: str) -> bool:
        needed, idle = OPTIONS[name].part_of, OPTIONS[name].idle_with
        return any(getattr(self, other) != value for other, value in needed.items()) or any(
            getattr(self, other) == value for other, value in idle.items()
        )


def names(of: type[Struct]) -> tuple[str, ...]:
    """The names of a declaration's options, in its order."""
    return tuple(field.name for field in structs.fields(of))


def defaults() -> dict[str, Any]:
    """The value of each option that neither the row nor the baseline nor `training:` sets."""
    return {field.name: field.default for field in FIELDS if not field.required}


def _option(field: structs.FieldInfo) -> Option:
    metas = (meta for meta in get_args(field.type) if isinstance(meta, Meta))
    found = {key: value for meta in metas for key, value in (meta.extra or {}).items()}
    found["words"] = Words(**{"short": field.name, "heading": field.name} | found["words"])
    return Option(**found)


# Every option that a row may set, in the order of the table's columns.
FIELDS = (*structs.fields(Choices), *structs.fields(Training))
OPTIONS = {field.name: _option(field) for field in FIELDS}


def read(path: Path) -> Settings:
    """A row file's content; raises UserError where it is something else."""
    return files.read_json(path, Settings)
