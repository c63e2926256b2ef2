"""Tiny random models of several families, saved as on the hub: with a head, and a tokenizer."""

from pathlib import Path
from typing import Any

WIDTH, BLOCKS, HEADS, POSITIONS = 16, 3, 2, 256

SMALL: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "intermediate_size": 24,
    "max_position_embeddings": POSITIONS,
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
        **{"max_position_embeddings": POSITIONS, "initializer_range": 0.2},
    },
    "roberta": SMALL | {"max_position_embeddings": POSITIONS + 2},
    "modernbert": SMALL | {"global_attn_every_n_layers": 2, "local_attention": 16},
}
ENCODERS = ("bert", "distilbert", "roberta", "modernbert")


def save(folder: Path, kind: str, vocab_size: int = 64, **options: Any) -> Any:
    """A model with its head, in a folder; `options` go to save_pretrained. Returns its base."""
    import torch
    import transformers

    ids = {"pad_token_id": 1 if kind == "roberta" else 0}
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


def save_tokenizer(folder: Path, kind: str, texts: list[str]) -> int:
    """A small tokenizer, of the kind that such models have; returns its number of tokens."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<unk>", "<s>", "</s>"]
    if kind in ("bert", "distilbert"):
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=True)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special)
    else:
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=300, special_tokens=special, initial_alphabet=alphabet
        )
    made.train_from_iterator(texts, trainer)
    names = {"pad_token": special[0], "unk_token": special[1]}
    if kind in ENCODERS:
        names |= {"cls_token": special[2], "sep_token": special[3]}
        template = f"{special[2]} $A {special[3]}"
    else:
        names |= {"bos_token": special[2], "eos_token": special[3]}
        template = "$A" if kind == "gpt_neox" else f"{special[2]} $A"
    made.post_processor = TemplateProcessing(
        single=template, special_tokens=[(token, special.index(token)) for token in special]
    )
    PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
    return made.get_vocab_size()
