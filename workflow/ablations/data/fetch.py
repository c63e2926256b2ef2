"""Fetches the texts' archive and GPT-2's vocabulary files, verified, whole or not at all.

python -m ablations.data.fetch collection --url … --sha256 … --output results/data/collection.tsv
"""

import argparse
import shutil
import zipfile
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ablations import cli, download, files
from ablations.errors import UserError

ARCHIVE = "sms+spam+collection.zip"
MEMBER = "SMSSpamCollection"

# GPT-2's byte-pair encoding as its authors published it; tiktoken pins the same checksums.
VOCABULARY_URL = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
VOCABULARY_SHA256 = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}


def collection(urls: Sequence[str], sha256: str, member_sha256: str | None, output: Path) -> None:
    """Writes the collection's one member from the archive at the mirror or one of the URLs.

    `sha256` is the archive's, `member_sha256` the member's. Raises UserError with every source's
    own reason if none has the archive, or if the archive lacks the member.
    """
    with download.scratch(output) as folder:
        originals = [(url, partial(download.fetch, url, ARCHIVE, sha256, folder)) for url in urls]
        archive = download.first_good(
            ARCHIVE, [*download.mirrored(ARCHIVE, sha256, folder), *originals], sha256
        )
        content = _member(archive.path)
        with files.whole(output) as temporary:
            temporary.write_bytes(content)
            download.verified(temporary, member_sha256, f"{MEMBER} in {ARCHIVE}")


def vocabulary(folder: Path) -> None:
    """Writes vocab.bpe and encoder.json into a folder; raises UserError if no source has them."""
    for name, sha256 in VOCABULARY_SHA256.items():
        with download.scratch(folder / name) as temporary_folder:
            mirror = download.mirrored(f"gpt2-bpe/{name}", sha256, temporary_folder)
            url = f"{VOCABULARY_URL}/{name}"
            original = (url, partial(download.fetch, url, name, sha256, temporary_folder))
            found = download.first_good(f"gpt2-bpe/{name}", [*mirror, original], sha256)
            with files.whole(folder / name) as temporary:
                shutil.copyfile(found.path, temporary)


def _member(archive: Path) -> bytes:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = opened.namelist()
            if MEMBER not in names:
                raise UserError(
                    f"{ARCHIVE} holds no member {MEMBER}; it holds: {', '.join(names) or 'nothing'}"
                )
            return opened.read(MEMBER)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise UserError(f"{ARCHIVE} is not a zip archive that can be read: {error}") from None


def main(arguments: argparse.Namespace) -> None:
    """Fetches what the subcommand names."""
    if arguments.what == "collection":
        with download.disk_errors(arguments.output):
            collection(
                arguments.url, arguments.sha256, arguments.member_sha256, output=arguments.output
            )
    else:
        with download.disk_errors(arguments.output_dir):
            vocabulary(arguments.output_dir)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = cli.parser(__doc__)
    commands = parser.add_subparsers(dest="what", required=True)
    command = commands.add_parser("collection", help="the SMS Spam Collection")
    command.add_argument("--url", action="append", required=True, help="several: tried in turn")
    command.add_argument("--sha256", required=True, help="of the archive")
    command.add_argument("--member-sha256", help=f"of {MEMBER} in the archive")
    command.add_argument("--output", type=Path, required=True)
    command = commands.add_parser("vocabulary", help="GPT-2's vocab.bpe and encoder.json")
    command.add_argument("--output-dir", type=Path, required=True)
    return parser


if __name__ == "__main__":
    cli.run(parser(), main)
