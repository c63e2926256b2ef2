"""Prints the lines of config.yaml that name a model: of the hub, or in your own folder.

    python -m ablations.model.describe openai-community/gpt2
    python -m ablations.model.describe someone/gpt2 --revision v1.0
    python -m ablations.model.describe some/folder

The shape comes from the model's config.json, which must be a GPT-2's. A branch or tag is replaced
by its present commit. No weights are downloaded.
"""

import argparse
import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from msgspec import structs

from ablations import cli, download, hub
from ablations.errors import UserError
from ablations.model.fetch import pickle_hint
from ablations.study import folder as layout
from ablations.study.dimensions import from_config_json
from ablations.study.folder import CONFIG, INDEX, WEIGHTS

GPT2_TOKENS = 50257


def entry_of_hub(repo: str, revision: str) -> dict[str, Any]:
    """A repository's entry; raises UserError if it is missing or not a GPT-2 in safetensors."""
    commit, _ = hub.look_up(repo, revision, CONFIG)
    with tempfile.TemporaryDirectory() as scratch:
        config = hub.fetch(repo, commit, CONFIG, None, Path(scratch))
        dimensions = from_config_json(config.path, f"{repo}/{CONFIG}")
    found: dict[str, Any] = {"repo": repo, "revision": commit}
    try:
        _, sum = hub.look_up(repo, commit, WEIGHTS, partial(pickle_hint, repo, commit))
        if sum and re.fullmatch("[0-9a-f]{64}", sum):
            found["sha256"] = sum
    except download.NotThereError as error:
        try:
            hub.look_up(repo, commit, INDEX)  # several files, each with the hub's checksum
        except download.NotThereError:
            raise error from None
    shape = structs.asdict(dimensions)
    if shape["vocab_size"] == GPT2_TOKENS:
        del shape["vocab_size"]
    return found | shape


def entry_of_folder(path: Path) -> dict[str, Any]:
    """A folder's entry: its path alone. Raises UserError if the folder does not hold a GPT-2."""
    if wrong := layout.missing(path):
        raise UserError(f"{path} {wrong}")
    from_config_json(path / CONFIG, str(path / CONFIG))
    return {"path": str(path)}


def main(arguments: argparse.Namespace) -> None:
    """Prints the lines."""
    path = Path(arguments.source)
    if path.is_dir():
        if arguments.revision:
            raise UserError(f"{path} is a folder, and has no revision")
        entry = entry_of_folder(path)
    else:
        entry = entry_of_hub(arguments.source, arguments.revision or "main")
    lines = {"models": {path.absolute().name: entry}}
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
