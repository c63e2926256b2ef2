"""A checkpoint's config.json: the shape that it states, and what of it is refused.

Read without transformers, so that the door is quick. A GPT-2's says more than its shape, and all of
it is checked here, since the model's code fixes the rest (tanh-GELU, pre-norm blocks). What another
model's says is its own classes' business; model/shape.py asks them.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from ablations.errors import Message, UserError
from ablations.files import read_keys
from ablations.study.dimensions import NAMES, Dimensions, width_errors

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
# What other models' call the same; the first that is there counts.
SYNONYMS = {
    "n_layer": ("n_layer", "num_hidden_layers", "n_layers", "num_layers"),
    "n_head": ("n_head", "num_attention_heads", "n_heads", "num_heads", "attention_heads"),
    "n_embd": ("n_embd", "hidden_size", "dim", "d_model"),
    "n_positions": ("n_positions", "max_position_embeddings", "n_ctx", "seq_length", "max_seq_len"),
    "vocab_size": ("vocab_size",),
}
WHOLE = "a whole number above 0"


def from_config_json(
    path: Path, name: str, expected: Dimensions | None = None, n_positions: int | None = None
) -> Dimensions:
    """The dimensions that a checkpoint's config.json states.

    `expected` are those of a GPT-2. `n_positions`: of another model, where the file states none.
    Raises UserError, which calls the file `name`, if they are not those of a model or not the
    expected. Whether another model is an encoder is not stated, nor its block's size.
    """
    found = _keys(path, name)
    kind = "gpt2" if expected else _type(found, name)
    if kind != "gpt2":
        check_other(path, name)
        shape = {key: _first(found, SYNONYMS[key]) for key in NAMES}
        shape["n_positions"] = shape["n_positions"] or n_positions
        errors = list(_shape_errors(shape))
    else:
        errors = list(_dimension_errors(found, expected)) or list(_architecture_errors(found))
        shape = {key: found.get(key) for key in NAMES}
    if errors:
        raise UserError(f"{name}: {'; '.join(errors)}")
    return Dimensions(**shape, type=kind)


def is_gpt2(path: Path, name: str) -> bool:
    """Whether a config.json is a GPT-2's, or says nothing of its type."""
    return _type(_keys(path, name), name) == "gpt2"


def check_other(path: Path, name: str, kind: str | None = None) -> None:
    """Raises UserError where a config.json is not one of this type, or names code of its own."""
    found = _keys(path, name)
    stated = found.get("model_type")
    errors = list(_own_code(found, kind or _type(found, name)))
    if isinstance(found.get("text_config"), dict):
        errors.append("it holds a text model in text_config, which is not read; expected its own")
    if kind not in (None, stated):
        errors = [f"model_type is {json.dumps(stated)}, expected {json.dumps(kind)}"]
    if errors:
        raise UserError(f"{name}: {'; '.join(errors)}")


def differences(found: Dimensions, stated: Dimensions) -> Iterator[Message]:
    """In what another model than a GPT-2 is not as its entry states; it may use fewer positions."""
    for key, value in structs.asdict(found).items():
        wanted = getattr(stated, key)
        if key == "n_positions":
            if wanted > value:
                yield (
                    f"n_positions is {value}, fewer than the {wanted} that are stated; allowed: at"
                    f" most {value} in the model's entry"
                )
        elif key == "encoder" and wanted != value:
            yield (
                f"its tokens {'read' if value else 'do not read'} later ones, and the model's entry"
                f" says encoder: {json.dumps(wanted)}; expected encoder: {json.dumps(value)}"
            )
        elif wanted != value and not (key == "block_weights" and wanted is None):
            yield f"{key} is {json.dumps(value)}, expected {json.dumps(wanted)}"


def _keys(path: Path, name: str) -> dict[str, Any]:
    return read_keys(path, name, f"keys {', '.join(NAMES)}")


def _type(found: Mapping[str, Any], name: str) -> str:
    stated = found.get("model_type")
    if stated is None and not found.keys().isdisjoint(SYNONYMS["n_embd"][1:]):
        raise UserError(f"{name}: model_type is missing, and n_embd; expected the model's type")
    if not isinstance(stated, str | None):
        raise UserError(f"{name}: model_type is {json.dumps(stated):.80}, expected a text")
    return stated or "gpt2"


def _first(found: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((found[name] for name in names if found.get(name) is not None), None)


def is_whole(value: object) -> bool:
    """Whether a value can be one of a shape."""
    return type(value) is int and value >= 1


def _shape_errors(shape: Mapping[str, Any]) -> Iterator[Message]:
    for key, value in shape.items():
        if value is None:
            yield f"{key} is missing; expected one of the keys {', '.join(SYNONYMS[key])}"
        elif not is_whole(value):
            yield f"{key}: {value!r:.80} is not allowed; allowed: {WHOLE}"


def _dimension_errors(found: dict[str, Any], expected: Dimensions | None) -> Iterator[Message]:
    for key in NAMES:
        value = found.get(key)
        if not is_whole(value):
            yield f"{key}: {value!r:.80} is not allowed; allowed: {WHOLE}"
        elif expected and value != getattr(expected, key):
            yield f"{key} is {value}, expected {getattr(expected, key)}"


def _architecture_errors(found: dict[str, Any]) -> Iterator[Message]:
    for key, allowed in ARCHITECTURE.items():
        if key in found and found[key] not in allowed:
            yield f"{key} is {json.dumps(found[key])}, expected {json.dumps(allowed[0])}"
    yield from _own_code(found, "GPT-2")
    dimensions = Dimensions(**{key: found[key] for key in NAMES})
    if found.get("n_inner") not in (None, 4 * dimensions.n_embd):
        yield f"n_inner is {json.dumps(found['n_inner'])}, expected null or {4 * dimensions.n_embd}"
    yield from width_errors(dimensions)


def _own_code(found: Mapping[str, Any], kind: str) -> Iterator[Message]:
    own = found.get("auto_map")
    if isinstance(own, dict) and any(str(key).startswith("AutoModel") for key in own):
        yield (
            f"auto_map names code that comes with the model, which is never run; expected a {kind}"
            " that transformers knows without it"
        )
