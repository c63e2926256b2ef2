"""What a file of texts holds: its bytes, unpacked, and its lines."""

import codecs
import gzip
import re
import zlib
from pathlib import Path

from ablations.errors import Message, UserError
from ablations.files import POINTER

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
    POINTER: "stands for a file that Git LFS holds; git lfs pull gets it",
}
MARKS = {  # UTF-32's begins with UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
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
        if content.removeprefix(codecs.BOM_UTF8).startswith(begin):
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
        found = content.decode(encoding or "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(_undecoded(content, name, encoding, error)) from None
    if "\0" in found and (wide := _wide(content)):
        raise UserError(
            f"{name} seems to be {wide.upper()}: it has a zero in the place of every other letter;"
            f" allowed: a file saved as UTF-8, or encoding: {wide}"
        )
    if encoding and not content.isascii() and _has_a_byte_for_each(encoding) and _is_utf8(content):
        raise UserError(
            f"{name} is UTF-8, and {encoding} would make of each letter beyond ASCII several;"
            " allowed: encoding: utf-8"
        )
    return found.removeprefix("\ufeff")


def _undecoded(
    content: bytes, name: str, encoding: str | None, error: UnicodeDecodeError
) -> Message:
    """What a file says that is not in its encoding."""
    line = len(content[: error.start].splitlines()) + (
        not error.start or content[error.start - 1] in b"\r\n"
    )
    where, byte = f"{name}: line {line}", f"byte 0x{content[error.start]:02x}"
    if encoding:
        return (
            f"{where} is not {encoding} ({byte}, at {error.start}); allowed: a file in this"
            " encoding, or another one as encoding"
        )
    likely = _wide(content) or "cp1252"
    key = f"the key that names its encoding, such as encoding: {likely}"
    if error.reason == "unexpected end of data":
        return f"{where} ends within a character; allowed: a whole file, saved as UTF-8, or {key}"
    return f"{where} is not UTF-8 ({byte}); allowed: a file saved as UTF-8, or {key}"


def _wide(content: bytes) -> str | None:
    """The encoding with two or four bytes for a letter that a file seems to be in, if any."""
    for mark, name in MARKS.items():
        if content.startswith(mark):
            return name
    for name, highest, higher in (
        ("utf-32-le", content[3::4], content[2::4]),
        ("utf-32-be", content[::4], content[1::4]),
    ):
        if not any(highest) and 2 * higher.count(0) > len(higher):
            return name
    for name, high, low, end in (
        ("utf-16-le", content[1::2], content[::2], b"\n\0"),
        ("utf-16-be", content[::2], content[1::2], b"\0\n"),
    ):
        # of any language: a tenth at least is blanks, digits and the like
        often = 10 * high.count(0) >= len(high) and 4 * low.count(0) < high.count(0)
        if often and 2 * content.count(end) >= content.count(b"\n") + (b"\n" in content):
            return name
    return None


def _has_a_byte_for_each(encoding: str) -> bool:
    """Whether every byte is a letter, so that any file can be read so."""
    beyond = bytes(range(128, 256))
    try:
        letters = beyond.decode(encoding, "replace")
    except UnicodeError:  # it has no letters beyond ASCII
        return False
    return len(letters) == len(beyond) and not codecs.lookup(encoding).name.startswith("utf")


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
