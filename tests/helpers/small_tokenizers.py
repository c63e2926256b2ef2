"""Small tokenizers that the library trains, of the kinds that models have."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

CORPUS = 20 * [
    "the cat sat on the mat",
    "theme and thesis",
    "aaaa aaa aa a",
    "Grüße, 你好!  \n\n x",
]
BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def byte_level() -> Tokenizer:
    """As Llama 3's: begins each text with <s>; texts are normalized, and a word was added."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder, made.normalizer = decoders.ByteLevel(), normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.add_tokens(["covid"])
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return made


def word_piece() -> Tokenizer:
    """As BERT's, but that words are not cut at brackets: so [SEP] is a word of its vocabulary."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=BERT, show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return made


def unigram() -> Tokenizer:
    """As T5's: ends each text with </s>, which is a piece of its vocabulary."""
    made = Tokenizer(models.Unigram())
    made.pre_tokenizer, made.normalizer = pre_tokenizers.Metaspace(), normalizers.NFKC()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return made


def unsplit() -> Tokenizer:
    """As Llama 2's: texts are not split into words, so merges may spell </s>."""
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Replace(" ", "▁")
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    made.train_from_iterator([*CORPUS, *100 * ["</s>"]], trainer)
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return made


# Its maker, its settings, what it puts before and after a text, its padding.
KINDS: dict[str, tuple[Callable[[], Tokenizer], dict[str, Any], list[int], list[int], int]] = {
    "byte level": (byte_level, {"bos_token": "<s>", "eos_token": "</s>"}, [0], [], 1),
    "unsplit": (
        unsplit,
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        [1],
        [],
        2,
    ),
    "WordPiece": (
        word_piece,
        {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
        [2],
        [3],
        0,
    ),
    "Unigram": (
        unigram,
        {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        [],
        [1],
        0,
    ),
}


def write(folder: Path, kind: str) -> None:
    """Writes one of them into a folder, as transformers does."""
    make, stated, *_ = KINDS[kind]
    folder.mkdir(exist_ok=True)
    make().save(str(folder / "tokenizer.json"))
    stated = stated | {"tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated))
