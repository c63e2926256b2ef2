"""The shape of a model that is no GPT-2, and the tensors that it needs, as its own classes say.

For describe.py and fetch.py, which check a folder before anything is computed with it.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from ablations.errors import UserError
from ablations.model import parts, transformer, trial
from ablations.study.config_json import SYNONYMS, is_whole
from ablations.study.dimensions import Dimensions

NEEDED = ("num_attention_heads", "hidden_size", "vocab_size")


def of_folder(folder: Path, name: str, n_positions: int = 1024) -> Dimensions:
    """By config.json, and by a trial with made-up weights; messages call the folder by `name`.

    `n_positions`: of a model that has no limit. Raises UserError where transformers does not know
    the model, it has no list of blocks, or its texts do not stay apart.
    """
    model = _model(folder, name)
    text, blocks = model.config.get_text_config(), transformer.blocks(model)
    if lacking := [key for key in NEEDED if getattr(text, key, None) is None]:
        raise UserError(
            f"{model.config.model_type}: its config has no {', no '.join(lacking)}; it cannot be a"
            " row"
        )
    block_weights = max(sum(each.numel() for each in block.parameters()) for block in blocks)
    whole = parts.made_up(model)
    encoder = trial.reads_later(whole, masked=False)
    if encoder:
        trial.check(whole, causal=False)
    return Dimensions(
        type=whole.kind,
        encoder=encoder,
        n_layer=len(blocks),
        n_head=text.num_attention_heads,
        n_embd=text.hidden_size,
        n_positions=_positions(model, text) or n_positions,
        vocab_size=text.vocab_size,
        block_weights=block_weights,
    )


def tensors(
    folder: Path, name: str, keys: Iterable[str]
) -> tuple[dict[str, tuple[int, ...]], re.Pattern[str]]:
    """The tensors that a model needs, by a checkpoint's keys, and what keys of blocks look like.

    One that the checkpoint lacks has its name in the model. The pattern's group is the block's
    number. Raises UserError, with the folder's `name`, where transformers would rename them.
    """
    model = _model(folder, name)
    held = set(keys)
    stored = transformer.stored_names(model, held)
    shapes = {stored.get(own, own): tuple(each.shape) for own, each in model.named_parameters()}
    blocks, kind = transformer.blocks(model), model.config.model_type
    of_list = next(own for own, module in model.named_modules() if module is blocks)
    if shapes.keys() - held and held - shapes.keys() and transformer.renamed(kind):
        raise UserError(
            f"{name}: transformers gives a {kind}'s tensors other names as it reads them, which is"
            " not done here; expected the names that the model's class has"
        )
    return shapes, re.compile(rf"(?:.*\.)?{re.escape(of_list)}\.(\d+)\.")


def _model(folder: Path, name: str) -> Any:
    try:
        return transformer.skeleton(transformer.config(folder))
    except UserError as error:
        raise UserError(str(error).replace(str(folder), name)) from None


def _positions(model: Any, text: Any) -> int | None:
    """How many tokens it can read; a table that counts from after its padding has fewer."""
    words = model.get_input_embeddings()
    every = [getattr(text, key, None) for key in SYNONYMS["n_positions"]]
    stated: int | None = next((each for each in every if is_whole(each)), None)
    for module in model.modules():
        is_table = isinstance(module, nn.Embedding) and module.num_embeddings == stated
        if stated and is_table and module.padding_idx is not None and module is not words:
            return stated - module.padding_idx - 1
    return stated
