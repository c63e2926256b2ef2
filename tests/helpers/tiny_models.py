"""Tiny random models of many families, as transformers saves them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ablations.model import checkpoint
from ablations.study.dimensions import Dimensions

transformers.logging.set_verbosity_error()

WIDTH, BLOCKS, IDS = 16, 3, 60


@dataclass(frozen=True)
class Family:
    """A family: its config, and the names of its blocks and of what comes after the last."""

    options: dict[str, Any]
    after: str = ""  # none: blocks end with a norm
    encoder: bool = False
    head: bool = True  # saved with a head, so names have a prefix


SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": IDS,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
GROUPED = SMALL | {"num_key_value_heads": 1, "head_dim": 8}
SLIDING = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention"] * 2}
SLIDING["layer_types"] = SLIDING["layer_types"][:BLOCKS]
LOCAL = {"global_attn_every_n_layers": 2, "local_attention": 6, "cls_token_id": 1}
ROBERTA = SMALL | {"pad_token_id": 1, "max_position_embeddings": 40}
SQUARE = {"hidden_size": WIDTH, "n_layer": BLOCKS, "n_head": 2, "vocab_size": IDS}

FAMILIES = {
    "gpt_neox": Family(SMALL, "final_layer_norm"),
    "opt": Family(
        {
            **{"hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": 2},
            **{"ffn_dim": 24, "vocab_size": IDS, "max_position_embeddings": 32, "pad_token_id": 1},
            "word_embed_proj_dim": WIDTH,
        },
        "decoder.final_layer_norm",
    ),
    "llama": Family(GROUPED, "norm"),
    "qwen2": Family(GROUPED, "norm"),
    "qwen3": Family(GROUPED, "norm", head=False),
    "gemma3_text": Family(GROUPED | SLIDING, "norm"),
    "smollm3": Family(GROUPED, "norm"),
    "olmo2": Family(GROUPED, "norm"),
    "falcon": Family({**SQUARE, "num_hidden_layers": BLOCKS, "num_attention_heads": 2}, "ln_f"),
    "bloom": Family(SQUARE, "ln_f"),
    "bert": Family(SMALL, encoder=True),
    "roberta": Family(ROBERTA, encoder=True),
    "distilbert": Family(
        {
            **{"dim": WIDTH, "n_layers": BLOCKS, "n_heads": 2, "hidden_dim": 24},
            **{"vocab_size": IDS, "max_position_embeddings": 32},
        },
        encoder=True,
    ),
    "modernbert": Family(SMALL | LOCAL, "final_norm", encoder=True),
    "deberta-v2": Family(
        SMALL | {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
        encoder=True,
        head=False,
    ),
}


# --- a tiny model of each family, in a folder


def config_of(name: str) -> Any:
    return transformers.AutoConfig.for_model(name, **FAMILIES[name].options)


def save(
    folder: Path,
    name: str,
    config: Any,
    head: bool = True,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> Path:
    """Saves a random model, with the head of its family or without."""
    encoder = FAMILIES[name].encoder
    auto = transformers.AutoModelForMaskedLM if encoder else transformers.AutoModelForCausalLM
    torch.manual_seed(1)
    model = (auto if head else transformers.AutoModel).from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too: no weight zero or one
            parameter.add_(torch.randn_like(parameter) / 10)
    model.to(dtype).save_pretrained(folder, **options)
    checkpoint.write_manifest(folder, "of a test", dimensions_of(name))
    return folder


def dimensions_of(name: str) -> Dimensions:
    return Dimensions(
        **{"n_layer": BLOCKS, "n_head": 2, "n_embd": WIDTH, "n_positions": 32, "vocab_size": IDS},
        **{"type": name, "encoder": FAMILIES[name].encoder},
    )
