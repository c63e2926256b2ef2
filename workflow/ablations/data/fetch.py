"""Fetches the texts' files and the tokenizer's, verified, whole or not at all.

python -m ablations.data.fetch collection --dataset JSON --output results/data/collection.json
"""

import argparse
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from ablations import cli, download, files, hub
from ablations.data import collection as manifest
from ablations.data import vocabulary
from ablations.data.collection import File
from ablations.download import Found
from ablations.errors import UserError
from ablations.study import dataset
from ablations.study import folder as layout
from ablations.study.dataset import Download, Texts
from ablations.study.models import HubTokenizer

Item = TypeVar("Item")

# GPT-2's byte-pair encoding as its authors published it; tiktoken pins the same checksums.
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
VOCABULARY_SHA256 = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}


def collection(texts: Texts, output: Path) -> None:
    """Writes collection.json, after the files that it names.

    Files in the working directory stay where they are; others are put into the folder `source`
    next to `output`. Raises UserError if a file cannot be fetched, with the reason of every source.
    """
    found = []
    with download.scratch(output) as folder:
        archive = None
        if texts.files and texts.urls and texts.sha256:
            archive = _download(texts.archive, texts.urls, texts.sha256, folder)
        for split, given in texts.parts.items():
            for number, file in enumerate(given, start=1):
                format = texts.format_of(file)
                assert format  # config.py refuses a file of unknown format
                name = dataset.file_name(file)
                path = output.parent / "source" / f"{split}-{number}.{format}"
                if isinstance(file, Download):
                    sha256 = _copy(_download(name, file.urls, file.sha256, folder).path, path)
                elif archive:
                    sha256 = _extract(archive.path, file, texts, path)
                elif texts.repo and texts.revision:
                    hubs = hub.fetch(texts.repo, texts.revision, file, None, folder, "dataset")
                    sha256 = _copy(hubs.path, path)
                else:
                    path = Path(file)
                    sha256 = _sha256(path)
                found.append(File(name, path.as_posix(), sha256, format, split))
    manifest.write(output, found)


def gpt2_vocabulary(folder: Path) -> None:
    """Writes vocab.bpe and encoder.json into a folder; raises UserError if no source has them."""
    for name, sha256 in VOCABULARY_SHA256.items():
        with download.scratch(folder / name) as temporary_folder:
            mirror = download.mirrored(f"gpt2-bpe/{name}", sha256, temporary_folder)
            url = f"{VOCABULARY_URL}/{name}"
            original = (url, partial(download.fetch, url, name, sha256, temporary_folder))
            found = download.first_good(f"gpt2-bpe/{name}", [*mirror, original], sha256)
            with files.whole(folder / name) as temporary:
                shutil.copyfile(found.path, temporary)


def hub_tokenizer(source: HubTokenizer, output: Path) -> None:
    """Writes vocab.json and merges.txt of a repository's tokenizer into a folder.

    Raises UserError as `folder_tokenizer` does, and if it has another number of tokens than stated.
    """
    with download.scratch(output / layout.IDS) as folder:
        hub.copy_present(source.repo, source.revision, vocabulary.FILES, folder)
        found = layout.vocab_size(folder) if layout.tokenizer_files(folder) else None
        if found not in (None, source.vocab_size):
            raise UserError(
                f"tokenizer: vocab_size: {source.vocab_size} is not the {found} tokens that"
                f" {source.repo} has"
            )
        folder_tokenizer(folder, source.repo, output)


def folder_tokenizer(folder: Path, name: str, output: Path) -> None:
    """Writes vocab.json and merges.txt of a folder's tokenizer into another folder.

    Messages call the folder by `name`. Raises UserError if it has none of GPT-2's kind.
    """
    words = vocabulary.of_folder(folder, name)
    if words is None:
        raise UserError(
            f"{name} holds no tokenizer; expected {layout.TOKENIZER}, or {layout.IDS} and"
            f" {layout.MERGES}"
        )
    vocabulary.check_pairs(words, name)
    vocabulary.write(words, output)
    cli.log.info("%d tokens, %d merges", len(words.ids), len(words.merges))


def _download(name: str, urls: Sequence[str], sha256: str, folder: Path) -> Found:
    """A file from the mirror or one of its URLs, verified."""
    originals = [(url, partial(download.fetch, url, name, sha256, folder)) for url in urls]
    mirror = download.mirrored(name, sha256, folder)
    return download.first_good(name, [*mirror, *originals], sha256)


def _copy(source: Path, path: Path) -> str:
    with files.whole(path) as temporary:
        shutil.copyfile(source, temporary)
        return files.sha256(temporary)


def _sha256(path: Path) -> str:
    try:
        return files.sha256(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None


def _extract(archive: Path, member: str, texts: Texts, path: Path) -> str:
    """Writes a member of a zip archive; returns its checksum."""
    name = texts.archive
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            if member not in names:
                raise UserError(
                    f"{name} holds no member {member}; it holds: {', '.join(names) or 'nothing'}"
                )
            with files.whole(path) as temporary:
                with opened.open(member) as source, temporary.open("wb") as target:
                    shutil.copyfileobj(source, target)
                found = download.verified(temporary, texts.member_sha256, f"{member} in {name}")
                return found.sha256
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(f"{name} is not a zip archive that can be read: {error}") from None


def _decoded(option: str, text: str, kind: type[Item]) -> Item:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError as error:
        raise UserError(f"{option} is not what it should be: {error}") from None


def main(arguments: argparse.Namespace) -> None:
    """Fetches what the subcommand names."""
    if arguments.what == "collection":
        with download.disk_errors(arguments.output):
            collection(_decoded("--dataset", arguments.dataset, Texts), arguments.output)
        return
    with download.disk_errors(arguments.output_dir):
        if arguments.what == "vocabulary":
            gpt2_vocabulary(arguments.output_dir)
        elif arguments.folder:
            folder_tokenizer(Path(arguments.folder), arguments.folder, arguments.output_dir)
        else:
            hub_tokenizer(_decoded("--hub", arguments.hub, HubTokenizer), arguments.output_dir)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    command = commands.add_parser("collection", help="the files that hold the texts")
    command.add_argument("--dataset", required=True, help="where they are, as JSON")
    command.add_argument("--output", type=Path, required=True, help="…/collection.json")
    command = commands.add_parser("vocabulary", help="GPT-2's vocab.bpe and encoder.json")
    command.add_argument("--output-dir", type=Path, required=True)
    command = commands.add_parser("tokenizer", help="vocab.json and merges.txt of another one")
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--folder", help="that has it")
    source.add_argument("--hub", help="repo, revision and vocab_size, as JSON")
    command.add_argument("--output-dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
