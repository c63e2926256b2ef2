"""Fetches a study's tokenizer: GPT-2's, that of a folder or that of a repository of the hub.

python -m ablations.data.tokenizer --output …/manifest.json [--folder DIR | --hub JSON]

The manifest has the checksum of each file beside it, and is written last.
"""

import argparse
import shutil
from pathlib import Path

from ablations import cli, files
from ablations.data import vocabulary
from ablations.errors import UserError
from ablations.sources import download, hub
from ablations.sources.hub import Repository
from ablations.study import folder as layout
from ablations.study.folder import IDS, MERGES
from ablations.study.models import HubTokenizer

# GPT-2's byte-pair encoding as its authors published it; tiktoken pins the same checksums.
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
VOCABULARY_SHA256 = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}


def of_gpt2(output: Path) -> None:
    """Writes vocab.bpe and encoder.json into a folder; raises UserError if no source has them."""
    with download.scratch(output / "vocab.bpe") as folder:
        for name, sha256 in VOCABULARY_SHA256.items():
            urls = [f"{VOCABULARY_URL}/{name}"]
            found = download.from_urls(f"gpt2-bpe/{name}", urls, sha256, folder)
            with files.whole(output / name) as temporary:
                shutil.copyfile(found.path, temporary)


def of_hub(source: HubTokenizer, output: Path) -> None:
    """Writes vocab.json and merges.txt of a repository's tokenizer into a folder.

    Raises UserError as `of_folder` does, and if it has another number of tokens than stated.
    """
    with download.scratch(output / IDS) as folder:
        repo = Repository(source.repo, source.revision)
        hub.fetch_present(repo, vocabulary.FILES, folder)
        found = layout.vocab_size(folder) if layout.tokenizer_files(folder) else None
        if found not in (None, source.vocab_size):
            raise UserError(
                f"tokenizer: vocab_size: {source.vocab_size} is not the {found} tokens that"
                f" {source.repo} has"
            )
        of_folder(folder, source.repo, output)


def of_folder(folder: Path, name: str, output: Path) -> None:
    """Writes vocab.json and merges.txt of a folder's tokenizer into another folder.

    Messages call the folder by `name`. Raises UserError if it has none of GPT-2's kind.
    """
    words = vocabulary.of_folder(folder, name)
    if words is None:
        raise UserError(
            f"{name} holds no tokenizer; expected {layout.TOKENIZER}, or {IDS} and {MERGES}"
        )
    vocabulary.check_pairs(words, name)
    vocabulary.write(words, output)
    cli.log.info("%d tokens, %d merges", len(words.ids), len(words.merges))


def main(arguments: argparse.Namespace) -> None:
    """Fetches the tokenizer that the options name."""
    output = arguments.output.parent
    with download.disk_errors(output):
        if arguments.folder:
            of_folder(Path(arguments.folder), arguments.folder, output)
        elif arguments.hub:
            of_hub(files.from_json(arguments.hub, HubTokenizer, "--hub"), output)
        else:
            of_gpt2(output)
        names = [IDS, MERGES] if arguments.folder or arguments.hub else VOCABULARY_SHA256
        sums = {name: files.sha256(output / name) for name in names}
        files.write_json(arguments.output, sums)


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
