"""Where a row cuts its model into trunk and tail, and what a trunk is; without torch.

A model is a list of layers, numbered from the end as Python does it:

    −1       the head
    −2       the final norm
    −3       the last block
    −4       the block before it
    …
    −3 − L   the embeddings, of a model with L blocks
"""

from msgspec import Struct

from ablations.study.dimensions import Dimensions
from ablations.study.paths import slug
from ablations.study.settings import Input, Settings

HEAD, NORM, LAST_BLOCK = -1, -2, -3


def embeddings(n_layer: int) -> int:
    """The number of the first layer, the embeddings."""
    return LAST_BLOCK - n_layer


def blocks(start: int, stop: int, n_layer: int) -> int:
    """How many of the layers start … stop-1 are blocks."""
    return max(0, min(stop, NORM) - max(start, embeddings(n_layer) + 1))


def first_trained(row: Settings) -> int:
    """The first layer in which a row trains something; it also does in all layers after it."""
    match row.trainable_layers:
        case "last_layer":
            return HEAD
        case "last_block":
            return LAST_BLOCK
        case "last_two_blocks":
            return LAST_BLOCK - 1
        case int(number):
            return NORM - number
        case "lora" if row.lora_blocks:
            return NORM - row.lora_blocks
        case _:
            return embeddings(row.dimensions.n_layer)


def trunk_end(row: Settings) -> int:
    """The layer before which the trunk ends: the layers that are frozen, and read everywhere.

    The last block has one output per text, so a row that freezes it too (last_layer) shares the
    trunk of last_block.
    """
    return min(first_trained(row), LAST_BLOCK)


class Trunk(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen layers that runs share, and what they read: results/trunks/<name>.settings.json.

    With checkpoint, texts and code it decides the hidden states. `seed`: of random weights; None:
    the weights are pretrained. `end`: the layer before which the trunk ends.
    """

    model: str
    dimensions: Dimensions
    seed: int | None
    input: Input
    end: int
    precision: str

    @property
    def weights(self) -> str:
        """Where its weights come from."""
        return "pretrained" if self.seed is None else "random"

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        n_layer = self.dimensions.n_layer
        return blocks(embeddings(n_layer), self.end, n_layer)

    @property
    def name(self) -> str:
        """Its file's name: it describes the trunk, and differs where the settings differ."""
        parts = [slug(self.model), self.weights]
        parts += [] if self.seed is None else [f"seed-{self.seed}"]
        parts += [self.input.trainable_token, str(self.input.context_length)]
        parts += [] if self.input.causal_mask else ["no-mask"]
        parts += ["average"] if self.input.average_embeddings else []
        parts += ["no-padding"] if self.input.mask_padding else []
        parts += [f"{self.blocks}-blocks", self.precision]
        return ".".join(parts)


def trunk(row: Settings, seed: int) -> Trunk | None:
    """The trunk of a run; None where it freezes nothing."""
    end = trunk_end(row)
    if end == embeddings(row.dimensions.n_layer):
        return None
    return Trunk(
        model=row.model,
        dimensions=row.dimensions,
        seed=seed if row.weights == "random" else None,
        input=row.input,
        end=end,
        precision=row.training.precision,
    )
