"""Fetches one checkpoint and checks that it is the one that the study names.

It comes from the Hugging Face hub (after the mirror) or from a user's folder. The result is a
folder with config.json, model.safetensors (a link into the hub's cache, the mirror or the user's
folder; or an index and a link to each file that it names) and manifest.json, which is written last.
The manifest holds checksum and dimensions, and nothing about where the files came from.
Only safetensors are read, never pickles. Training reads the result with checkpoint.py.
"""

import argparse
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ablations import cli, files
from ablations.cli import log
from ablations.data import tokenizer
from ablations.data.tokenizer import Tokenizer
from ablations.errors import UserError
from ablations.model import checkpoint, gpt2, shape
from ablations.sources import download, hub
from ablations.sources.checkpoint import fetch_weights, place
from ablations.sources.download import Found
from ablations.sources.hub import Repository
from ablations.study import folder as layout
from ablations.study import tokenizer_files
from ablations.study.config_json import check_other, differences, from_config_json
from ablations.study.dimensions import Dimensions
from ablations.study.folder import CONFIG, INDEX, WEIGHTS, weight_files
from ablations.study.models import Model

SHOWN = 8  # wrong tensors in a message; with a wrong size all are wrong


def fetch_from_hub(
    repo: Repository,
    sha256: str | None,
    expected: Dimensions,
    output: Path,
    words: Tokenizer | None = None,
) -> None:
    """Writes the manifest of a hub checkpoint, after its files.

    `sha256` is that of model.safetensors; without it the hub's own checksum is used. `words`: what
    the texts are encoded with. Raises UserError if no source has the files, or they are wrong.
    """
    with download.scratch(output) as folder:
        config = hub.fetch(repo, CONFIG, folder)
        # checked before the weights are downloaded
        check_config(folder, repo.name, expected)
        if words and expected.is_gpt2:
            try:
                hub.fetch_present(repo, tokenizer_files.TOKENIZER_FILES, folder, beside=config)
            except UserError as error:  # no network, and the rest is in the hub's cache
                log.warning("the tokenizer of %s could not be looked up: %s", repo.name, error)
            check_tokenizer(folder, repo.name, words)
        weights = fetch_weights(repo, sha256, folder)
        check_tensors(folder, repo.name, expected)
        place(folder, weights, output, scratch=True)
    _write_manifest(output, weights, expected)


def take_folder(
    path: Path, expected: Dimensions, output: Path, words: Tokenizer | None = None
) -> None:
    """Writes the manifest of a checkpoint in a user's folder, and links to its weights.

    A relative `path` gives a relative link, so that folder and results can move together. `words`:
    what the texts are encoded with.
    """
    if wrong := layout.missing(path):
        raise UserError(f"{path} {wrong}")
    if output.parent.exists() and path.samefile(output.parent):
        raise UserError(
            f"{path} is the folder that {output} belongs to; name another as the source"
        )
    check_config(path, str(path), expected)
    if words and expected.is_gpt2:
        check_tokenizer(path, str(path), words)
    check_tensors(path, str(path), expected)
    weights = [Found(file, files.sha256(file)) for file in weight_files(path)]
    place(path, weights, output)
    _write_manifest(output, weights, expected)


def _write_manifest(output: Path, weights: list[Found], dimensions: Dimensions) -> None:
    sha256 = files.joint_sha256([found.sha256 for found in weights])
    checkpoint.write_manifest(output.parent, sha256, dimensions)


# --- the checks


def check_config(folder: Path, name: str, expected: Dimensions) -> None:
    """Raises UserError if a folder's config.json does not state the expected dimensions.

    Messages call the folder by `name`. Another model's are those that its own classes have.
    """
    path, full_name = folder / CONFIG, f"{name}/{CONFIG}"
    if expected.is_gpt2:
        from_config_json(path, full_name, expected)
        return
    check_other(path, full_name, expected.type)
    found = shape.of_folder(folder, name, expected.n_positions)
    if wrong := list(differences(found, expected)):
        raise UserError(f"{full_name}: {'; '.join(wrong)}")


def check_tokenizer(folder: Path, name: str, words: Tokenizer) -> None:
    """Raises UserError where a model's folder has a tokenizer that encodes texts otherwise."""
    own = tokenizer.of_folder(folder, name) if tokenizer_files.of(folder) else None
    if own and not tokenizer.alike(own, words):
        raise UserError(
            f"{name} has its own tokenizer, whose tokens are not those of this study's tokenizer,"
            " so the model would misread the texts; allowed: a study with this model's tokenizer,"
            f" by the lines that python -m ablations.model.describe {name} prints"
        )
    if own is None:
        log.info("%s has no tokenizer; this study's tokenizer is assumed to be its own", name)


def check_tensors(folder: Path, name: str, dimensions: Dimensions) -> None:
    """Raises UserError if a folder does not hold the whole weights of a model of these dimensions.

    Messages call the folder by `name`. Reads all weights, one tensor at a time. A number that is
    not finite is refused too.
    """
    paths = weight_files(folder)
    for path in paths:
        try:
            with safe_open(path, framework="pt"):
                pass
        except SafetensorError as error:
            raise UserError(f"{name}/{path.name} {_what_it_is(path, error)}") from None
    where = f"{name}/{WEIGHTS if paths == [folder / WEIGHTS] else INDEX}"
    with checkpoint.opened(paths, checkpoint.plain if dimensions.is_gpt2 else str) as stored:
        if dimensions.is_gpt2:
            shapes, of_block = gpt2.tensor_shapes(dimensions), re.compile(r"h\.(\d+)\.")
        else:
            shapes, of_block = shape.tensors(folder, name, stored)
        surplus = sorted(stored.keys() - shapes.keys())
        wrong = [text for item in shapes.items() if (text := checkpoint.problem(stored, *item))]
        wrong += [
            f"tensor {key} is one too many for {dimensions.n_layer} layers"
            for key in surplus
            if (found := of_block.match(key)) and int(found[1]) >= dimensions.n_layer
        ]
        wrong = wrong or [
            f"tensor {key} holds numbers that are not finite (NaN or infinity)"
            for key in shapes
            # if one number is NaN, both extremes are; isfinite() would copy the whole tensor
            for tensor in [checkpoint.tensor(stored, key)]
            if not all(extreme.isfinite() for extreme in tensor.aminmax())
        ]
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise UserError("; ".join([f"{where}: {wrong[0]}", *wrong[1:SHOWN], *more]))
    if surplus:
        kind = "GPT-2" if dimensions.is_gpt2 else dimensions.type
        log.info("%s: ignored, not part of a %s: %s", where, kind, ", ".join(surplus[:SHOWN]))


def _what_it_is(path: Path, error: SafetensorError) -> str:
    """What a file is that is not safetensors."""
    with path.open("rb") as file:
        start = file.read(64)
    # its first bytes are not checked earlier, since a safetensors file may start with 0x80 too
    if start.startswith(b"PK\x03\x04") or re.match(rb"\x80[\x02-\x05]", start):
        return "is a pickle, which is never loaded, as it can run any code; expected safetensors"
    if start.startswith(files.POINTER):
        return "is a Git LFS pointer and not the file itself; run git lfs pull there"
    return f"is truncated or not a safetensors file ({path.stat().st_size} bytes): {error}"


def main(arguments: argparse.Namespace) -> None:
    """Fetches a model's checkpoint from where its settings say."""
    model = files.read_json(arguments.model, Model)
    words = None
    if model.dimensions.is_gpt2:  # others have their own tokenizer
        given = arguments.tokenizer and arguments.tokenizer.parent
        words = tokenizer.named(model.tokenizer, given)
    with download.disk_errors(arguments.output):
        if model.hub:
            repo = Repository(model.hub.repo, model.hub.revision)
            fetch_from_hub(repo, model.hub.sha256, model.dimensions, arguments.output, words)
        elif model.folder:
            take_folder(Path(model.folder.path), model.dimensions, arguments.output, words)
        else:
            raise UserError(
                f"{arguments.model}: {model.name} names neither a repository nor a folder"
            )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, help="its settings, as JSON")
    parser.add_argument("--tokenizer", type=Path, nargs="?", help="its manifest; none for bytes")
    parser.add_argument("--output", type=Path, required=True, help=f"…/{checkpoint.MANIFEST}")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
