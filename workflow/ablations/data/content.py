"""What a file of texts holds: its bytes, unpacked, and its lines."""

import codecs
import gzip
import re
import zlib
from pathlib import Path

from ablations.errors import UserError

GZIP = b"\x1f\x8b"
# How other files begin that hold the texts, or stand for the file that does.
NO_TEXTS = {
    b"PK\x03\x04": "is a zip archive or a spreadsheet; unpack it, or save it as CSV",
    b"\xd0\xcf\x11\xe0": "is a file of an office program; save it as CSV",
    b"BZh": "is compressed with bzip2; unpack it, or use gzip",
    b"\xfd7zXZ": "is compressed with xz; unpack it, or use gzip",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it, or use gzip",
    b"\x04\x22\x4d\x18": "is compressed with lz4; unpack it, or use gzip",
    b"7z\xbc\xaf": "is a 7z archive; unpack it",
    b"Rar!": "is a rar archive; unpack it",
    b"ARROW1": "is an Arrow file; save it as Parquet",
    b"SQLite format 3": "is a database; save its table as CSV",
    b"version https://git-lfs": "stands for a file that Git LFS holds; git lfs pull gets it",
}
LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++")


def read(path: Path, name: str, format: str) -> bytes:
    """The content of a file that messages call `name`; raises UserError if it cannot be read."""
    try:
        return unpacked(path.read_bytes(), name, format)
    except OSError as error:
        raise UserError(f"{name} cannot be read: {error.strerror or error}") from None


def unpacked(content: bytes, name: str, format: str) -> bytes:
    """The content of a file of this format, which gzip may have compressed.

    Raises UserError for what is no file of texts, such as an archive.
    """
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{name} cannot be read: {error}") from None
    for begin, found in NO_TEXTS.items():
        if content.startswith(begin):
            raise UserError(f"{name} {found}")
    if content[257:262] == b"ustar":
        raise UserError(f"{name} is a tar archive; unpack it")
    if format != "parquet" and content.startswith(b"PAR1"):
        allowed = "allowed in a folder: files of text" * (format == "folder")
        raise UserError(f"{name} is a Parquet file; {allowed or 'set format: parquet'}")
    return content


def lines(content: bytes, name: str, encoding: str | None) -> list[str]:
    """The lines of a text file with their ends, without a byte order mark.

    `encoding`: None for UTF-8. Raises UserError, naming the line, where it is another.
    """
    return LINE.findall(text(content, name, encoding))


def text(content: bytes, name: str, encoding: str | None) -> str:
    """The content as text, without a byte order mark; raises UserError as `lines` does."""
    try:
        return content.decode(encoding or "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = len(content[: error.start].splitlines()) + (
            not error.start or content[error.start - 1] in b"\r\n"
        )
        where = f"{name}: line {line}"
        if encoding:
            raise UserError(
                f"{where} is not {encoding} (byte 0x{content[error.start]:02x}, at {error.start});"
                " allowed: a file in this encoding, or another one as encoding"
            ) from None
        if error.reason == "unexpected end of data":
            raise UserError(
                f"{where} ends within a character; allowed: a whole file, saved as UTF-8"
            ) from None
        likely = "cp1252"
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            likely = "utf-16"
        raise UserError(
            f"{where} is not UTF-8 (byte 0x{content[error.start]:02x}); allowed: a file saved as"
            f" UTF-8, or the key that names its encoding, such as encoding: {likely}"
        ) from None
