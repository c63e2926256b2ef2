"""Any model that transformers knows, without its values: its config, its blocks, its tensors.

Only this module imports transformers' models, and only once it is used: a job of a GPT-2 must not
pay for that. Nothing here names a family: a model needs one list of `num_hidden_layers` blocks.
"""

import importlib
import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ablations import files
from ablations.errors import UserError
from ablations.model import checkpoint
from ablations.study.dimensions import Dimensions
from ablations.study.folder import CONFIG


def config(folder: Path) -> Any:
    """What a folder's config.json says, as transformers' own type; code in the folder never runs.

    Raises UserError where transformers does not know it.
    """
    transformers = _transformers()
    try:
        found = transformers.AutoConfig.from_pretrained(
            folder, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        raise UserError(
            f"{folder / CONFIG}: transformers {transformers.__version__} cannot read it:"
            f" {first_line(error)}"
        ) from None
    # how it runs here, whatever the file says
    found.use_cache = found.output_hidden_states = found.output_attentions = False
    found.return_dict = True
    return found


def skeleton(config: Any) -> Any:
    """The base model in float32, without values: parameters on meta, buffers as they are."""
    with _parameters_on_meta():
        return constructed(config)


def blocks(model: Any) -> nn.ModuleList:
    """The model's list of blocks; raises UserError where it has no such list, or several."""
    # without a number no list is as long, and the message says which number that is
    count = getattr(model.config.get_text_config(), "num_hidden_layers", "num_hidden_layers")
    lists = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    }
    # a list within another one's blocks, such as experts, is none of the model's
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    if len(outer) != 1:
        found = f"several: {', '.join(outer)}" if outer else "none"
        raise UserError(
            f"{model.config.model_type}: a model is cut in its list of {count} blocks, and this one"
            f" has {found}; it cannot be a row"
        )
    return lists[outer[0]]


def stored_names(model: Any, keys: Iterable[str]) -> dict[str, str]:
    """The model's own names of tensors → a checkpoint's keys; keys of heads are left out.

    Whole models have a prefix (`bert.`, `model.`); old files call a norm's weight gamma. Raises
    UserError where two keys are one tensor.
    """
    own, prefix = model.state_dict().keys(), f"{model.base_model_prefix}."
    found: dict[str, str] = {}
    for key in keys:
        plain = checkpoint.WRAPPERS.sub("", key)
        for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
            plain = plain.removesuffix(old) + new if plain.endswith(old) else plain
        for name in {plain.removeprefix(prefix), plain}:
            if name in own:
                if name in found:
                    raise UserError(
                        f"{model.config.model_type}: its weights hold {found[name]} and {key},"
                        " which are one tensor of the model; expected one of them"
                    )
                found[name] = key
    return found


def renamed(kind: str) -> bool:
    """Whether transformers gives this type's tensors other names than its checkpoints have."""
    mapping: Any = importlib.import_module("transformers.conversion_mapping")
    return mapping.get_checkpoint_conversion_mapping(kind) is not None


def _transformers() -> Any:
    library: Any = importlib.import_module("transformers")
    library.logging.set_verbosity_error()  # its advice is about other ways of using it
    return library


def constructed(config: Any) -> Any:
    """The base model, for evaluation."""
    transformers, options = _transformers(), {}
    model_class = transformers.AutoModel._model_mapping[type(config)]
    if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        options["add_pooling_layer"] = False  # the head here reads the blocks' own output
    try:
        found = transformers.AutoModel.from_config(config, dtype=torch.float32, **options)
    except Exception as error:
        raise UserError(
            f"{Path(config.name_or_path) / CONFIG}: transformers cannot make this"
            f" {config.model_type}: {first_line(error)}"
        ) from None
    return found.eval()


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """A context in which modules get parameters without values."""
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, value: nn.Parameter | None) -> None:
        register(module, name, value)
        if value is not None:
            empty = nn.Parameter(value.to("meta"), value.requires_grad)
            empty._is_hf_initialized = True  # type: ignore[attr-defined]  # saves drawing nothing
            module._parameters[name] = empty

    nn.Module.register_parameter = on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def first_line(error: Exception) -> str:
    """What an error of transformers says first: a line that ends with a colon has a second."""
    first, second = [*map(str.strip, str(error).splitlines()), "", ""][:2]
    return f"{type(error).__name__}: {f'{first} {second}' if first.endswith(':') else first:.300}"


def engine(dimensions: Dimensions, folder: Path | None) -> str | None:
    """What else decides what a model computes: transformers' version, and config.json.

    None for a GPT-2, which has an engine of its own.
    """
    if dimensions.is_gpt2:
        return None
    assert folder is not None
    config = files.sha256(folder / CONFIG)
    return f"transformers {version('transformers')}, {CONFIG} {config}"
