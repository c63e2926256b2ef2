"""Prints the lines of config.yaml that name a model: of the hub, or in your own folder.

    python -m ablations.model.describe openai-community/gpt2
    python -m ablations.model.describe someone/gpt2 --revision v1.0
    python -m ablations.model.describe some/folder

The shape comes from the model's config.json, which must be a GPT-2's. A branch or tag is replaced
by its present commit. No weights are downloaded. If the model has a tokenizer that is not GPT-2's,
the line that names it is printed too.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import yaml
from msgspec import to_builtins

from ablations import cli
from ablations.data import vocabulary
from ablations.errors import UserError
from ablations.sources import download, hub
from ablations.sources.hub import Repository
from ablations.study import folder as layout
from ablations.study.config import VOCABULARY_SIZE
from ablations.study.config_json import from_config_json
from ablations.study.folder import CONFIG, INDEX, WEIGHTS


def entry_of_hub(repo: Repository) -> dict[str, Any]:
    """A repository's entry; raises UserError if it is missing or not a GPT-2 in safetensors."""
    commit, _ = hub.look_up(repo, CONFIG)
    repo = repo._replace(revision=commit)
    with tempfile.TemporaryDirectory() as scratch:
        config = hub.fetch(repo, CONFIG, Path(scratch))
        dimensions = from_config_json(config.path, f"{repo.name}/{CONFIG}")
    if not dimensions.is_gpt2:
        raise UserError(f'{repo.name}/{CONFIG}: model_type is "{dimensions.type}", expected "gpt2"')
    found: dict[str, Any] = {"repo": repo.name, "revision": commit}
    try:
        _, sum = hub.look_up(repo, WEIGHTS)
        if sum and re.fullmatch("[0-9a-f]{64}", sum):
            found["sha256"] = sum
    except download.NotThereError as error:
        try:
            hub.look_up(repo, INDEX)  # several files, each with the hub's checksum
        except download.NotThereError:
            raise UserError(". ".join(filter(None, [str(error), hub.pickle_hint(repo)]))) from None
    shape = to_builtins(dimensions)
    if shape["vocab_size"] == VOCABULARY_SIZE["gpt2"]:
        del shape["vocab_size"]
    return found | shape


def tokenizer_of_hub(repo: Repository) -> dict[str, Any] | None:
    """The entry of a repository's own tokenizer; None if it has none, or GPT-2's.

    Raises UserError for a tokenizer that is not of GPT-2's kind.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        hub.fetch_present(repo, vocabulary.FILES, folder)
        if not _own_tokenizer(folder, repo.name):
            return None
        size = layout.vocab_size(folder)
        return {"repo": repo.name, "revision": repo.revision, "vocab_size": size}


def _own_tokenizer(folder: Path, name: str) -> bool:
    words = vocabulary.of_folder(folder, name)
    return words is not None and words.sha256 != vocabulary.GPT2_SHA256


def entry_of_folder(path: Path) -> dict[str, Any]:
    """A folder's entry, its whole path. Raises UserError if the folder does not hold a GPT-2."""
    if wrong := layout.missing(path):
        raise UserError(f"{path} {wrong}")
    from_config_json(path / CONFIG, str(path / CONFIG))
    return {"path": str(path.absolute())}  # a study's paths are relative to its own folder


def main(arguments: argparse.Namespace) -> None:
    """Prints the lines."""
    path = Path(arguments.source)
    if path.is_dir():
        if arguments.revision:
            raise UserError(f"{path} is a folder, and has no revision")
        entry = entry_of_folder(path)
        tokenizer = entry if _own_tokenizer(path, str(path)) else None
    else:
        entry = entry_of_hub(Repository(arguments.source, arguments.revision or "main"))
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
