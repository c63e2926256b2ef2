"""Writes a trained row's model as a folder that transformers loads, with a model card.

    python -m ablations.kept.write --row results/rows/baseline.json --seed 123 --trained … …

The folder holds what transformers' GPT2ForSequenceClassification and AutoTokenizer read, README.md,
ablations.json (how the row reads texts, for ablations.predict) and, last, manifest.json.
"""

import argparse
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from safetensors.torch import load_file, save_file

from ablations import cli, files
from ablations.data import tokens, vocabulary
from ablations.errors import UserError
from ablations.kept.card import card
from ablations.model import checkpoint, classifier
from ablations.model.classifier import Kept
from ablations.model.gpt2 import FinalNorm, Head, Layers, add_lora
from ablations.study import settings
from ablations.study.folder import CONFIG, WEIGHTS
from ablations.study.models import Model
from ablations.study.settings import Settings
from ablations.training import predictions
from ablations.training.hidden_states import load_layers
from ablations.training.metrics import Metrics

CARD = "README.md"
TOKENIZER = "tokenizer_config.json"


def main(arguments: argparse.Namespace) -> None:
    """Writes the folder of `--output`, which is its manifest."""
    row, about = settings.read(arguments.row), tokens.read_about(arguments.tokens)
    metrics = files.read_json(arguments.metrics, Metrics)
    if arguments.vocabulary:
        words = vocabulary.read(*arguments.vocabulary)
    else:
        words = vocabulary.of_bytes()
    tested = predictions.read(arguments.predictions, len(metrics.classes))
    unpadded = row.context_length == "variable"
    kept = Kept(
        settings=row,
        seed=arguments.seed,
        classes=metrics.classes,
        context_tokens=row.dimensions.n_positions if unpadded else metrics.context_tokens,
        padding_id=about.padding_id,
        tokenizer=about.tokenizer,
    )
    layers = _layers(row, arguments.seed, arguments.checkpoint, arguments.trained, kept)
    found = classifier.tensors(layers, row.dimensions)
    text = card(
        kept,
        metrics,
        files.read_json(arguments.model, Model),
        data=arguments.data,
        notes=arguments.note,
        tested=len(tested["test"].labels),
        bias=classifier.BIAS in found,
    )

    folder = arguments.output.parent
    for name in (checkpoint.MANIFEST, CONFIG):  # without these nothing loads it as a model
        (folder / name).unlink(missing_ok=True)
    with files.whole(folder / WEIGHTS) as temporary:
        save_file(found, temporary, metadata={"format": "pt"})
    vocabulary.write(words, folder)
    files.write_json(folder / TOKENIZER, _tokenizer_config(kept))
    files.write_json(folder / classifier.ABOUT, kept)
    files.write_text(folder / CARD, text)
    files.write_json(folder / CONFIG, _config(kept))
    checkpoint.write_manifest(folder, files.sha256(folder / WEIGHTS), row.dimensions)


def _layers(row: Settings, seed: int, manifest: Path | None, trained: Path, kept: Kept) -> Layers:
    """All layers after training, as plain matrices, and the head without a bias if possible."""
    dimensions = row.dimensions
    layers = load_layers(row, seed, manifest and manifest.parent, 0, dimensions.n_layer + 2)
    head = Head(dimensions, len(kept.classes), seed)
    layers.append(head)
    if row.trainable_layers == "lora":
        add_lora(layers, row.lora_rank, row.lora_alpha)
    unknown = layers.load_state_dict(load_file(trained), strict=False).unexpected_keys
    if unknown:
        raise UserError(f"{trained} holds {unknown[0]}, which is no part of row {row.row}")
    classifier.merge_lora(layers)
    norm = layers[-2]
    assert isinstance(norm, FinalNorm)
    classifier.fold_bias(norm, head)
    return layers


# --- what transformers reads


def _config(kept: Kept) -> dict[str, Any]:
    """config.json of a GPT2ForSequenceClassification.

    Without pad_token_id the model reads the last position, of one text at a time; with it, the last
    position that holds another token.
    """
    classes = list(enumerate(kept.classes))
    return {
        "model_type": "gpt2",
        "architectures": ["GPT2ForSequenceClassification"],
        **to_builtins(kept.settings.dimensions),
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-05,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
        "bos_token_id": kept.padding_id,
        "eos_token_id": kept.padding_id,
        "pad_token_id": None if kept.reads_last else kept.padding_id,
        "id2label": {str(label): name for label, name in classes},
        "label2id": {name: label for label, name in classes},
        "problem_type": "single_label_classification",
    }


def _tokenizer_config(kept: Kept) -> dict[str, Any]:
    """tokenizer_config.json: it cuts texts as the row does; <|endoftext|> in a text is text."""
    end = vocabulary.END_OF_TEXT
    mask = [] if kept.reads_last else ["attention_mask"]  # the row reads its padding
    return {
        "tokenizer_class": "GPT2Tokenizer",
        "model_max_length": kept.longest,
        **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end),
        "padding_side": "right",
        "truncation_side": "right",
        "model_input_names": ["input_ids", *mask],
        "split_special_tokens": True,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
    }


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--row", type=Path, required=True, help="the row file")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--model", type=Path, required=True, help="its settings, as JSON")
    parser.add_argument(
        "--trained", type=Path, required=True, help="what training.run --keep wrote"
    )
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument(
        "--vocabulary", type=Path, nargs="*", help="ids and merges; none for byte tokens"
    )
    parser.add_argument("--data", required=True, help="where the texts are from, for the card")
    parser.add_argument("--note", nargs="*", default=[], help="what is a stand-in, for the card")
    parser.add_argument("--output", type=Path, required=True, help=f"…/{checkpoint.MANIFEST}")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
