"""Writes a trained row's model as a folder that transformers loads, with a model card.

    python -m ablations.kept.write --row results/rows/baseline.json --seed 123 --trained … …

The folder holds what transformers' GPT2ForSequenceClassification and AutoTokenizer read (of another
model its own class, and the head beside it), README.md, ablations.json (how the row reads texts,
for ablations.predict) and, last, manifest.json.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ablations import cli, files
from ablations.data import byte_pairs, tokenizer, tokens
from ablations.errors import UserError
from ablations.kept import model
from ablations.kept.card import card
from ablations.kept.model import Kept
from ablations.model import build, checkpoint, gpt2
from ablations.model.gpt2 import FinalNorm
from ablations.model.layers import Head, Layers
from ablations.model.lora import merge_lora
from ablations.study import cut, settings, tokenizer_files
from ablations.study.dataset import Reading
from ablations.study.dimensions import Dimensions
from ablations.study.folder import CONFIG, HEAD, WEIGHTS
from ablations.study.models import Model
from ablations.study.settings import Settings
from ablations.study.tokenizer_files import END_OF_TEXT, MERGES, SETTINGS, TOKENIZER_FILES
from ablations.training import predictions
from ablations.training.metrics import Metrics

CARD = "README.md"


def main(arguments: argparse.Namespace) -> None:
    """Writes the folder of `--output`, which is its manifest."""
    row, about = settings.read(arguments.row), tokens.read(arguments.tokens).about
    metrics = files.read_json(arguments.metrics, Metrics)
    tested = predictions.read(arguments.predictions, len(metrics.classes))
    unpadded = row.context_length == "variable"
    kept = Kept(
        settings=row,
        seed=arguments.seed,
        fold=arguments.fold,
        classes=metrics.classes,
        context_tokens=row.dimensions.n_positions if unpadded else metrics.context_tokens,
        padding_id=about.padding_id,
        tokenizer=about.tokenizer,
        reading=files.from_json(arguments.dataset, Reading, "--dataset"),
    )
    source = arguments.checkpoint and arguments.checkpoint.parent
    tail = _trained(row, source, arguments.seed, arguments.trained, len(kept.classes))
    layers = _whole(row, source, arguments.seed, tail)
    head: Any = layers[cut.HEAD]
    text = card(
        kept,
        metrics,
        files.read_json(arguments.model, Model),
        data=arguments.data,
        notes=arguments.note,
        tested=len(tested["test"].labels),
        bias=bool(head.linear.bias.any()),
    )

    folder = arguments.output.parent
    for name in (checkpoint.MANIFEST, CONFIG):  # without these nothing loads it as a model
        (folder / name).unlink(missing_ok=True)
    _write_tokenizer(kept, arguments.tokenizer and arguments.tokenizer.parent, folder)
    files.write_json(folder / model.ABOUT, kept)
    files.write_text(folder / CARD, text)
    if row.dimensions.is_gpt2:
        tensors, config = model.tensors(layers, row.dimensions), _config(kept)
        gpt2.write(folder, tensors, row.dimensions, config, metadata={"format": "pt"})
    else:
        _write_other(folder, layers, row.dimensions)


def _trained(row: Settings, source: Path | None, seed: int, file: Path, classes: int) -> Layers:
    """What was trained, and the frozen layers after it, as plain matrices."""
    tail = build.tail(row, source, seed, classes)
    found, wanted = load_file(file), tail.trained()
    if other := sorted(found.keys() ^ wanted.keys()):
        where = "holds" if other[0] in found else "lacks"
        raise UserError(f"{file} {where} {other[0]}; it is not what row {row.row} trains")
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(found[name])
    merge_lora(tail)
    return tail


def _whole(row: Settings, source: Path | None, seed: int, tail: Layers) -> Layers:
    """All layers after training; a GPT-2's norm holds the head's bias where that is possible."""
    if row.dimensions.is_gpt2:
        layers = Layers([*build.frozen(row, source, seed), *tail])
        norm, head = layers[cut.NORM], layers[cut.HEAD]
        assert isinstance(norm, FinalNorm) and isinstance(head, Head)
        model.fold_bias(norm, head)
        return layers
    layers = build.whole(row, source, seed)
    own = dict(layers.named_parameters())
    with torch.no_grad():
        for name, each in tail[: cut.HEAD].named_parameters():  # none where the head alone trains
            # a part has no values of others' blocks, and one row of an embedding it does not read
            if not each.is_meta and each.shape == own[name].shape:
                own[name].copy_(each)
    layers.append(tail[cut.HEAD])
    return layers


def _write_other(folder: Path, layers: Any, dimensions: Dimensions) -> None:
    """Writes the weights, the head, config.json, and last the manifest."""
    base, head = layers[0].model, layers[cut.HEAD].linear
    for name, module in ((WEIGHTS, base), (HEAD, head)):
        state = {key: tensor.contiguous() for key, tensor in module.state_dict().items()}
        with files.whole(folder / name) as temporary:
            save_file(state, temporary, {"format": "pt"})
    base.config.architectures = [type(base).__name__]
    files.write_text(folder / CONFIG, base.config.to_json_string())
    checkpoint.write_manifest(folder, files.sha256(folder / WEIGHTS), dimensions)


# --- what transformers reads


def _config(kept: Kept) -> dict[str, Any]:
    """What config.json of a GPT2ForSequenceClassification says beside the dimensions.

    Without pad_token_id the model reads the last position, of one text at a time; with it, the last
    position that holds another token.
    """
    classes = list(enumerate(kept.classes))
    return {
        "architectures": ["GPT2ForSequenceClassification"],
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


def _write_tokenizer(kept: Kept, source: Path | None, folder: Path) -> None:
    """Writes the tokenizer's files, of which `source` has the own ones.

    Its settings cut texts as the row does; a special token's spelling in a text is text.
    """
    for name in TOKENIZER_FILES:  # of another tokenizer
        (folder / name).unlink(missing_ok=True)
    if source and kept.tokenizer != "gpt2":
        own = _copied(source, folder)
    else:
        byte_pairs.write(byte_pairs.read(source / MERGES) if source else (), folder)
        own = {
            "tokenizer_class": "GPT2Tokenizer",
            **dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END_OF_TEXT),
            "add_prefix_space": False,
        }
    mask = [] if kept.reads_last else ["attention_mask"]  # the row reads its padding
    stated = {
        "model_max_length": kept.longest,
        "padding_side": "right",
        "truncation_side": "right",
        "model_input_names": ["input_ids", *mask],
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
    }
    files.write_json(folder / SETTINGS, own | stated)


def _copied(source: Path, folder: Path) -> dict[str, Any]:
    """Copies a tokenizer's own files; its settings, which say what config.json there says."""
    present = [path for path in tokenizer_files.of(source) if path.name != CONFIG]
    for path in present:
        files.copy(path, folder / path.name)
    own = tokenizer_files.settings(source)
    if not files.is_file(source / CONFIG) and files.is_file(source / tokenizer_files.TOKENIZER):
        own = {"tokenizer_class": "PreTrainedTokenizerFast"} | own
    return own | {"pad_token": tokenizer.of_folder(source, str(source)).padding}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--row", type=Path, required=True, help="the row file")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--fold", type=int, help="its number; none where the texts are cut once")
    parser.add_argument("--tokens", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="?", help="its manifest; none if random")
    parser.add_argument("--model", type=Path, required=True, help="its settings, as JSON")
    parser.add_argument(
        "--trained", type=Path, required=True, help="what training.run --keep wrote"
    )
    parser.add_argument("--metrics", type=Path, required=True)
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="its manifest; none for bytes")
    parser.add_argument("--dataset", required=True, help="how the texts were read, as JSON")
    parser.add_argument("--data", required=True, help="where the texts are from, for the card")
    parser.add_argument("--note", nargs="*", default=[], help="what is a stand-in, for the card")
    parser.add_argument("--output", type=Path, required=True, help=f"…/{checkpoint.MANIFEST}")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
