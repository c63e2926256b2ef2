"""Tiny random models of several families, saved as on the hub: with a head, and a tokenizer."""

from pathlib import Path
from typing import Any

WIDTH, BLOCKS, HEADS = 16, 3, 2

SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "initializer_range": 0.2,
}
GROUPED = SMALL | {"num_key_value_heads": 1, "head_dim": 8}
OPTIONS: dict[str, dict[str, Any]] = {
    "gpt_neox": SMALL,
    "opt": {**SMALL, "ffn_dim": 24, "word_embed_proj_dim": WIDTH, "init_std": 0.2},
    "llama": GROUPED,
    "qwen3": GROUPED,
    "bert": SMALL,
    "distilbert": {
        **{"dim": WIDTH, "n_layers": BLOCKS, "n_heads": HEADS, "hidden_dim": 24},
        **{"max_position_embeddings": 64, "initializer_range": 0.2},
    },
    "roberta": SMALL | {"max_position_embeddings": 66},
    "modernbert": SMALL | {"global_attn_every_n_layers": 2, "local_attention": 16},
}
ENCODERS = ("bert", "distilbert", "roberta", "modernbert")


def save(folder: Path, kind: str, vocab_size: int = 64, **options: Any) -> Any:
    """A model with its head, in a folder; `options` go to save_pretrained. Returns its base."""
    import torch
    import transformers

    ids = {"pad_token_id": 1} if kind in ("roberta", "opt") else {"pad_token_id": 0}
    ids |= {"bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = transformers.AutoConfig.for_model(
        kind, **OPTIONS[kind] | {"vocab_size": vocab_size} | ids
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        masked = kind in ENCODERS
        of = transformers.AutoModelForMaskedLM if masked else transformers.AutoModelForCausalLM
        model = of.from_config(config).eval()
    dtype = options.pop("dtype", None)
    (model.to(dtype) if dtype else model).save_pretrained(folder, **options)
    return model.base_model
