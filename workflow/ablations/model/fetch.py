"""Fetches one GPT-2 checkpoint and checks that it is the one that the study names.

It comes from the Hugging Face hub (after the mirror) or from a user's folder. The result is a
folder with config.json, model.safetensors (a link into the hub's cache, the mirror or the user's
folder; or an index and a link to each file that it names) and manifest.json, which is written last.
The manifest holds checksum and dimensions, and nothing about where the files came from.
Only safetensors are read, never pickles. Training reads the result with checkpoint.py.
"""

import argparse
import hashlib
import logging
import os
import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ablations import cli, files
from ablations.data import vocabulary
from ablations.data.vocabulary import Vocabulary
from ablations.errors import UserError
from ablations.model import checkpoint
from ablations.sources import download, hub
from ablations.sources.download import Found
from ablations.study import folder as layout
from ablations.study.dimensions import Dimensions, from_config_json
from ablations.study.folder import CONFIG, INDEX, WEIGHTS, weight_files
from ablations.study.models import Model

log = logging.getLogger("ablations.model.fetch")

SHOWN = 8  # wrong tensors in a message; with a wrong size all are wrong


def fetch_from_hub(
    repo: str,
    revision: str,
    sha256: str | None,
    expected: Dimensions,
    output: Path,
    words: Vocabulary | None = None,
) -> None:
    """Writes the manifest of a hub checkpoint, after its files.

    `sha256` is that of model.safetensors; without it the hub's own checksum is used. `words`: what
    the texts are encoded with. Raises UserError if no source has the files, or they are wrong.
    """
    with download.scratch(output) as folder:
        get = partial(hub.fetch, repo, revision)
        config = get(CONFIG, None, folder)
        # checked before the weights are downloaded
        dimensions = from_config_json(config.path, f"{repo}/{CONFIG}", expected)
        if words and not config.path.is_relative_to(folder):
            if hub.in_cache(config.path):  # else it is in the mirror, which needs no network
                _fetch_tokenizer(repo, revision, folder)
            check_tokenizer(config.path.parent, repo, words)
        index, bulk = None, []
        try:
            pickle = partial(hub.pickle_hint, repo, revision)
            bulk = [get(WEIGHTS, sha256, folder, why_missing=pickle)]
        except download.NotThereError:
            with suppress(download.NotThereError):
                index = get(INDEX, None, folder).path
            if index is None:
                raise
            if sha256 is not None:
                raise UserError(
                    f"{repo} has no {WEIGHTS} at revision {revision}, but several files;"
                    " remove sha256 from the model's entry: the hub's checksum of each is used"
                ) from None
            names = layout.indexed_files(index, f"{repo}/{INDEX}")
            bulk = [get(name, None, folder) for name in names]
        name = f"{repo}/{WEIGHTS if index is None else INDEX}"
        check_tensors([found.path for found in bulk], name, dimensions)
        for found in bulk:
            with found.path.open("rb") as file:  # on the disk before the manifest
                os.fsync(file.fileno())
        _place(config.path, index, bulk, dimensions, output, folder)


def _fetch_tokenizer(repo: str, revision: str, folder: Path) -> None:
    """Fetches a repository's tokenizer files into the hub's cache, as far as there is a network."""
    try:
        list(hub.fetch_present(repo, revision, vocabulary.FILES, folder))
    except UserError as error:
        log.warning("the tokenizer of %s could not be looked up: %s", repo, error)


def take_folder(
    path: Path, expected: Dimensions, output: Path, words: Vocabulary | None = None
) -> None:
    """Writes the manifest of a checkpoint in a user's folder, and links to its weights.

    A relative `path` gives a relative link, so that folder and results can move together. `words`:
    what the texts are encoded with.
    """
    if wrong := layout.missing(path):
        raise UserError(f"{path} {wrong}")
    bulk = weight_files(path)
    if output.parent.exists() and path.samefile(output.parent):
        raise UserError(
            f"{path} is the folder that {output} belongs to; name another as the source"
        )
    dimensions = from_config_json(path / CONFIG, str(path / CONFIG), expected)
    if words:
        check_tokenizer(path, str(path), words)
    index = path / INDEX if bulk != [path / WEIGHTS] else None
    check_tensors(bulk, str(index or bulk[0]), dimensions)
    found = [Found(file, files.sha256(file)) for file in bulk]
    _place(path / CONFIG, index, found, dimensions, output, None)


# --- the checks


def check_tokenizer(folder: Path, name: str, words: Vocabulary) -> None:
    """Raises UserError where a model's folder has a tokenizer of another vocabulary."""
    own = vocabulary.of_folder(folder, name)
    if own and own.sha256 != words.sha256:
        raise UserError(
            f"{name} has its own tokenizer, whose tokens are not those of this study's tokenizer,"
            " so the model would misread the texts; allowed: a study with this model's tokenizer,"
            f" by the lines that python -m ablations.model.describe {name} prints"
        )
    if own is None:
        log.info("%s has no tokenizer; this study's tokenizer is assumed to be its own", name)


def check_tensors(paths: list[Path], name: str, dimensions: Dimensions) -> None:
    """Raises UserError if these files are not the whole weights of a GPT-2 of these dimensions.

    Reads all of them, one tensor at a time. A number that is not finite is refused too.
    """
    shapes = checkpoint.tensor_shapes(dimensions)
    try:
        with checkpoint.opened(paths) as file:
            wrong = [text for item in shapes.items() if (text := checkpoint.problem(file, *item))]
            surplus = {key.removeprefix("transformer.") for key in file.keys()} - set(shapes)  # noqa: SIM118
            wrong += [
                f"tensor {key} is one too many for {dimensions.n_layer} layers"
                for key in sorted(surplus)
                if re.match(r"h\.\d+\.", key) and int(key.split(".")[1]) >= dimensions.n_layer
            ]
            for key in [] if wrong else shapes:
                tensor = file.get_tensor(checkpoint.stored_name(file, key))
                # if one number is NaN, both extremes are; isfinite() would copy the whole tensor
                if not all(extreme.isfinite() for extreme in tensor.aminmax()):
                    wrong.append(
                        f"tensor {key} holds numbers that are not finite (NaN or infinity)"
                    )
    except SafetensorError as error:
        raise UserError(_not_safetensors(paths, name, error)) from None
    if wrong:
        more = [f"and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise UserError("; ".join([f"{name}: {wrong[0]}", *wrong[1:SHOWN], *more]))
    ignored = sorted(key for key in surplus if not _is_known_surplus(key))
    if ignored:
        log.info("%s: ignored, not part of a GPT-2: %s", name, ", ".join(ignored[:SHOWN]))


def _is_known_surplus(key: str) -> bool:
    """Mask buffers and a copy of the language-model head, which many checkpoints hold."""
    return key == "lm_head.weight" or key.endswith((".attn.bias", ".attn.masked_bias"))


def _not_safetensors(paths: list[Path], name: str, error: SafetensorError) -> str:
    for path in paths:
        if len(paths) > 1:
            name = str(Path(name).parent / path.name)
        try:
            with safe_open(path, framework="pt"):
                continue
        except SafetensorError:
            pass
        with path.open("rb") as file:
            start = file.read(64)
        # its first bytes are not checked earlier, since a safetensors file may start with 0x80 too
        if start.startswith(b"PK\x03\x04") or re.match(rb"\x80[\x02-\x05]", start):
            return (
                f"{name} is a pickle, which is never loaded, as it can run any code; expected"
                " safetensors"
            )
        if start.startswith(b"version https://git-lfs"):
            return f"{name} is a Git LFS pointer and not the file itself; run git lfs pull there"
        break
    return f"{name} is truncated or not a safetensors file ({path.stat().st_size} bytes): {error}"


# --- the result


def _place(
    config: Path,
    index: Path | None,
    bulk: list[Found],
    dimensions: Dimensions,
    output: Path,
    scratch: Path | None,
) -> None:
    """Puts config.json, the weights and then the manifest into the output's folder.

    Weights in `scratch` are moved there; other files are linked to.
    """
    output.unlink(missing_ok=True)  # it is not true while the other files change
    for old in output.parent.glob("*.safetensors*"):
        old.unlink()
    for source in filter(None, [config, index]):
        with files.whole(output.parent / source.name) as temporary:
            shutil.copyfile(source, temporary)
    for found in bulk:
        link = output.parent / found.path.name
        if scratch and found.path.is_relative_to(scratch):
            found.path.replace(link)
        else:
            _link(found.path, link)
    sums = [found.sha256 for found in bulk]
    together = hashlib.sha256("\n".join(sums).encode()).hexdigest()
    checkpoint.write_manifest(output.parent, sums[0] if index is None else together, dimensions)


def _link(target: Path, link: Path) -> None:
    """A symbolic link, relative if the target's path is, so that both can move together."""
    text = os.path.relpath(Path.cwd() / target, link.parent.resolve())
    if target.is_absolute() or not (link.parent / text).exists():
        text = str(target.absolute())
    temporary = link.with_name(f".{link.name}.link")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(text)
    temporary.replace(link)


def main(arguments: argparse.Namespace) -> None:
    """Fetches a model's checkpoint from where its settings say."""
    model, words = files.read_json(arguments.model, Model), None
    if arguments.vocabulary is not None:
        both = arguments.vocabulary
        words = vocabulary.read(*both) if both else vocabulary.of_bytes()
    with download.disk_errors(arguments.output):
        if model.hub:
            fetch_from_hub(
                *(model.hub.repo, model.hub.revision, model.hub.sha256),
                *(model.dimensions, arguments.output, words),
            )
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
    parser.add_argument(
        "--vocabulary", type=Path, nargs="*", help="ids and merges of the study; none for bytes"
    )
    parser.add_argument("--output", type=Path, required=True, help=f"…/{checkpoint.MANIFEST}")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
