"""The shape of a model, stated by the configuration and by a checkpoint's config.json.

What may differ between GPT-2s is here. The rest (tanh-GELU, pre-norm blocks) is fixed in the code
of the model, so a config.json that says something else is refused.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, structs

from ablations.errors import Message, UserError
from ablations.files import read_keys

Positive = Annotated[int, Meta(ge=1)]


class Dimensions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The shape of a model.

    `type`: config.json's model_type. `encoder`: whether it reads texts in both directions.
    `block_weights`: the numbers of one block, for estimates; None: a GPT-2's, 12 n_embd².
    """

    n_layer: Positive
    n_head: Positive
    n_embd: Positive
    n_positions: Positive
    vocab_size: Positive
    type: str = "gpt2"
    encoder: bool = False
    block_weights: Positive | None = None


# Those that every model states, as a GPT-2's config.json names them.
NAMES = tuple(field.name for field in structs.fields(Dimensions) if field.required)

# What config.json may say about the parts of GPT-2 that the model here fixes; absent is fine too.
ARCHITECTURE: dict[str, tuple[object, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),  # two names of one function
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
}


def from_config_json(path: Path, name: str, expected: Dimensions | None = None) -> Dimensions:
    """The dimensions that a checkpoint's config.json states.

    Raises UserError, which calls the file `name`, if they are not a GPT-2's or not the expected.
    """
    found = read_keys(path, name, f"keys {', '.join(NAMES)}")
    errors = list(_dimension_errors(found, expected)) or list(_architecture_errors(found))
    if errors:
        raise UserError(f"{name}: {'; '.join(errors)}")
    return Dimensions(**{key: found[key] for key in NAMES})


def width_errors(dimensions: Dimensions) -> Iterator[Message]:
    """What is wrong with a width that is not a multiple of the number of heads."""
    if dimensions.n_embd % dimensions.n_head:
        yield (
            f"n_embd: {dimensions.n_embd} is out of range; allowed: a multiple of n_head, which is"
            f" {dimensions.n_head}"
        )


def _dimension_errors(found: dict[str, Any], expected: Dimensions | None) -> Iterator[Message]:
    for key in NAMES:
        value = found.get(key)
        if type(value) is not int or value < 1:
            yield f"{key}: {value!r:.80} is not allowed; allowed: a whole number above 0"
        elif expected and value != getattr(expected, key):
            yield f"{key} is {value}, expected {getattr(expected, key)}"


def _architecture_errors(found: dict[str, Any]) -> Iterator[Message]:
    for key, allowed in ARCHITECTURE.items():
        if key in found and found[key] not in allowed:
            yield f"{key} is {json.dumps(found[key])}, expected {json.dumps(allowed[0])}"
    own = found.get("auto_map")
    if isinstance(own, dict) and any(str(key).startswith("AutoModel") for key in own):
        yield (
            "auto_map names code that comes with the model, which is never run; expected a GPT-2"
            " that transformers knows without it"
        )
    dimensions = Dimensions(**{key: found[key] for key in NAMES})
    if found.get("n_inner") not in (None, 4 * dimensions.n_embd):
        yield f"n_inner is {json.dumps(found['n_inner'])}, expected null or {4 * dimensions.n_embd}"
    yield from width_errors(dimensions)
