"""Prints the lines of config.yaml that name a model: of the hub, or in your own folder.

    python -m ablations.model.describe openai-community/gpt2
    python -m ablations.model.describe someone/gpt2 --revision v1.0
    python -m ablations.model.describe some/folder

The shape comes from the model's config.json. A branch or tag is replaced by its present commit. No
weights are downloaded. If a GPT-2 has a tokenizer that is not GPT-2's, the line that names it is
printed too; a model of another type is read with its own tokenizer.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from msgspec import to_builtins

from ablations import cli, files
from ablations.data import byte_pairs
from ablations.errors import UserError
from ablations.model.shape import of_folder as shape_of_folder
from ablations.sources import download, hub
from ablations.sources.hub import Repository
from ablations.study import folder as layout
from ablations.study import tokenizer_files
from ablations.study.config import VOCABULARY_SIZE
from ablations.study.config_json import check_other, from_config_json, is_gpt2
from ablations.study.dimensions import Dimensions
from ablations.study.folder import CONFIG, INDEX, WEIGHTS


def entry_of_hub(repo: Repository) -> dict[str, Any]:
    """A repository's entry; raises UserError if it is missing, or no model can be read from it."""
    try:
        commit = hub.look_up(repo, CONFIG).commit_hash
    except UserError as error:
        raise UserError(f"{repo.name} is no folder here, and as a repository: {error}") from None
    assert commit  # the hub always says it, or that is the error
    repo = repo._replace(revision=commit)
    with tempfile.TemporaryDirectory() as scratch:
        hub.fetch(repo, CONFIG, Path(scratch))
        dimensions = _dimensions(Path(scratch), repo.name)
    found: dict[str, Any] = {"repo": repo.name, "revision": commit}
    try:
        weights = hub.look_up(repo, WEIGHTS)
        size = weights.size
        if re.fullmatch("[0-9a-f]{64}", weights.etag or ""):
            found["sha256"] = weights.etag
    except download.NotThereError as error:
        size = _indexed_bytes(repo, str(error))  # several files, each with the hub's checksum
    shape = to_builtins(dimensions)
    if not dimensions.is_gpt2:
        first = {key: shape.pop(key) for key in ("type", "encoder") if key in shape}
        return found | first | shape | ({"bytes": size} if size else {})
    if shape["vocab_size"] == VOCABULARY_SIZE["gpt2"]:
        del shape["vocab_size"]
    return found | shape


def _indexed_bytes(repo: Repository, reasons: str) -> int | None:
    """The size that an index of several files states; raises UserError where there is none."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            index = hub.fetch(repo, INDEX, Path(scratch)).path
        except download.NotThereError:
            raise UserError(". ".join(filter(None, [reasons, hub.pickle_hint(repo)]))) from None
        stated = files.read_keys(index).get("metadata")
    size = stated.get("total_size") if isinstance(stated, dict) else None
    return size if isinstance(size, int) and size > 0 else None


def _dimensions(folder: Path, name: str) -> Dimensions:
    """Of a folder with a config.json, which messages call by `name`."""
    path, full_name = folder / CONFIG, f"{name}/{CONFIG}"
    if is_gpt2(path, full_name):
        return from_config_json(path, full_name)
    check_other(path, full_name)
    return shape_of_folder(folder, name)


def tokenizer_of_hub(repo: Repository) -> dict[str, Any] | None:
    """The entry of a repository's own tokenizer; None if it has none, or GPT-2's."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hub.fetch_present(repo, tokenizer_files.TOKENIZER_FILES, folder)
        if not _own_tokenizer(folder):
            return None
        size = tokenizer_files.vocab_size(folder)
        return {"repo": repo.name, "revision": repo.revision, "vocab_size": size}


def _own_tokenizer(folder: Path) -> bool:
    return bool(tokenizer_files.of(folder)) and not byte_pairs.of_gpt2(folder)


def entry_of_folder(path: Path) -> dict[str, Any]:
    """A folder's entry, its whole path. Raises UserError if no model can be read from it."""
    if wrong := layout.missing(path):
        raise UserError(f"{path} {wrong}")
    dimensions = _dimensions(path, str(path))
    entry: dict[str, Any] = {"path": str(path.absolute())}  # a study's are relative to its folder
    if dimensions.is_gpt2:
        return entry
    name, positions = str(path / CONFIG), dimensions.n_positions
    stated = from_config_json(path / CONFIG, name, n_positions=positions + 1)
    entry |= {"encoder": True} if dimensions.encoder else {}
    entry |= {"n_positions": positions} if stated.n_positions != positions else {}
    return entry | {"block_weights": dimensions.block_weights}


def main(arguments: argparse.Namespace) -> None:
    """Prints the lines."""
    path = Path(arguments.source)
    if path.is_dir():
        if arguments.revision:
            raise UserError(f"{path} is a folder, and has no revision")
        entry = entry_of_folder(path)
        gpt2 = is_gpt2(path / CONFIG, str(path / CONFIG))
        tokenizer = entry if gpt2 and _own_tokenizer(path) else None
    else:
        entry = entry_of_hub(Repository(arguments.source, arguments.revision or "main"))
        tokenizer = None
        if "type" not in entry:
            tokenizer = tokenizer_of_hub(Repository(entry["repo"], entry["revision"]))
    # a copy, or YAML writes a folder's second line as a reference to the first
    lines = {"tokenizer": dict(tokenizer)} if tokenizer else {}
    lines["models"] = {path.absolute().name: entry}
    print(yaml.safe_dump(lines, sort_keys=False), end="")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("source", help="a hub repository, such as user/name, or a folder")
    parser.add_argument("--revision", help="branch, tag or commit of the repository; main if none")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
