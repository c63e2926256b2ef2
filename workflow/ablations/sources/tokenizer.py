"""Fetches a tokenizer's files: GPT-2's, those of a folder or those of a repository of the hub.

python -m ablations.sources.tokenizer --output …/manifest.json [--folder DIR | --hub JSON]

The manifest has the checksum of each file beside it, and is written last.
"""

import argparse
from pathlib import Path

from ablations import cli, files
from ablations.errors import UserError
from ablations.sources import download, hub
from ablations.sources.hub import Repository
from ablations.study import tokenizer_files
from ablations.study.folder import CONFIG
from ablations.study.models import HubTokenizer
from ablations.study.tokenizer_files import GPT2_SHA256, MERGES, TOKENIZER_FILES

GPT2_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/vocab.bpe"
NAMES = (*TOKENIZER_FILES, CONFIG)


def of_gpt2(output: Path) -> None:
    """Writes merges.txt into a folder; raises UserError if no source has it."""
    with download.scratch(output / MERGES) as folder:
        found = download.from_urls("gpt2-bpe/vocab.bpe", [GPT2_URL], GPT2_SHA256, folder)
        files.copy(found.path, output / MERGES)


def of_hub(source: HubTokenizer, output: Path) -> None:
    """Writes the files of a repository's tokenizer into a folder; raises UserError if none."""
    with download.scratch(output / MERGES) as folder:
        repo = Repository(source.repo, source.revision)
        hub.fetch_present(repo, NAMES, folder)
        of_folder(folder, source.repo, output)


def of_folder(folder: Path, name: str, output: Path) -> None:
    """Copies the files of a folder's tokenizer into another folder.

    Messages call the folder by `name`. Raises UserError if it has none.
    """
    found = tokenizer_files.of(folder)
    if not found:
        raise UserError(f"{name} {tokenizer_files.no_tokenizer()}")
    for file in found:
        files.copy(file, output / file.name)


def main(arguments: argparse.Namespace) -> None:
    """Fetches the tokenizer that the options name."""
    output = arguments.output.parent
    with download.disk_errors(output):
        for name in NAMES:  # of another tokenizer
            (output / name).unlink(missing_ok=True)
        if arguments.folder:
            of_folder(Path(arguments.folder), arguments.folder, output)
        elif arguments.hub:
            of_hub(files.from_json(arguments.hub, HubTokenizer, "--hub"), output)
        else:
            of_gpt2(output)
        found = [output / name for name in NAMES if files.is_file(output / name)]
        files.write_json(arguments.output, {path.name: files.sha256(path) for path in found})


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--folder", help="that has it")
    source.add_argument("--hub", help="repo, revision and vocab_size, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="…/manifest.json")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
