"""Fetches the files that hold a study's texts: verified, whole or not at all.

python -m ablations.sources.collection --dataset JSON --output results/data/collection.json
"""

import argparse
import shutil
import zipfile
import zlib
from pathlib import Path

from ablations import cli, files
from ablations.errors import UserError
from ablations.sources import download, hub
from ablations.sources.download import Found
from ablations.sources.hub import Repository
from ablations.sources.manifest import File
from ablations.study import dataset, text_folders
from ablations.study.dataset import Download, Format, Texts


def collection(texts: Texts, output: Path) -> None:
    """Writes collection.json, after the files that it names.

    Files in the working directory stay where they are; others are put into the folder `source`
    next to `output`. Raises UserError if a file cannot be fetched, with the reason of every source.
    """
    found = []
    with download.scratch(output) as folder:
        archive = None
        if texts.files and texts.urls and texts.sha256:
            archive = download.from_urls(texts.archive, texts.urls, texts.sha256, folder)
        for split, given in texts.parts.items():
            for number, file in enumerate(given, start=1):
                format = texts.format_of(file)
                assert format  # the door refuses a file of unknown format
                name = dataset.file_name(file)
                path = output.parent / "source" / f"{split}-{number}.{format}"
                if isinstance(file, Download):
                    one = download.from_urls(name, file.urls, file.sha256, folder)
                    sha256 = _copied(one, path)
                elif archive:
                    sha256 = _extract(archive.path, file, texts, path)
                elif texts.repo and texts.revision:
                    repo = Repository(texts.repo, texts.revision, "dataset")
                    sha256 = _copied(hub.fetch(repo, file, folder), path)
                else:
                    path = Path(file)
                    sha256 = _own_sha256(path, format, texts)
                found.append(File(name, path.as_posix(), sha256, format, split))
    files.write_json(output, found)


def _own_sha256(path: Path, format: Format, texts: Texts) -> str:
    """The checksum of a user's own file, or of a folder of texts."""
    if format != "folder":
        return files.sha256(path)
    for name in text_folders.left_out(path, texts):
        cli.log.info("%s is left out: it is no class", path / name)
    return text_folders.sha256(path, texts)


def _copied(found: Found, path: Path) -> str:
    files.copy(found.path, path)
    return found.sha256


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


def main(arguments: argparse.Namespace) -> None:
    """Fetches the files."""
    with download.disk_errors(arguments.output):
        texts = files.from_json(arguments.dataset, Texts, "--dataset")
        collection(texts, arguments.output)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    parser.add_argument("--dataset", required=True, help="where they are, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="…/collection.json")
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
