"""Files that are either whole or absent, their checksums, and typed values in JSON."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ablations.errors import UserError

Value = TypeVar("Value")

POINTER = b"version https://git-lfs"  # how a file begins that stands for one that Git LFS holds


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved there when the block ends well, removed otherwise.

    The content reaches the disk before the name does, so that a power loss leaves no half file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes it private; a shared cluster needs to read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file, whole or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def copy(source: Path, path: Path) -> None:
    """Copies a file, whole or not at all."""
    with whole(path) as temporary:
        shutil.copyfile(source, temporary)


# False, too, for a name that is too long or not allowed: there pathlib's raise.
is_file, is_dir = os.path.isfile, os.path.isdir


def unreadable(path: Path) -> str | None:
    """Why a file cannot be read, found by reading a byte; None where it can."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def refuse_pointer(path: Path) -> None:
    """Raises UserError for a file that stands for one that Git LFS holds."""
    with suppress(OSError), path.open("rb") as file:
        _refuse_pointer(file.read(len(POINTER)), str(path))


def _refuse_pointer(content: bytes | str, name: str) -> None:
    begin = content[: len(POINTER)]
    if begin in (POINTER, POINTER.decode()):
        raise UserError(
            f"{name} is a Git LFS pointer and not the file itself; run git lfs pull there"
        ) from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def state(path: Path) -> tuple[int, ...]:
    """Size, times and inode: as long as they stay the same, so does the content."""
    found = path.stat()
    # the change time too: an edit in place may restore the other three
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def joint_sha256(checksums: Sequence[str]) -> str:
    """One checksum of several files by their own; of a single file its own."""
    if len(checksums) == 1:
        return checksums[0]
    return hashlib.sha256("\n".join(checksums).encode()).hexdigest()


def contents_sha256(paths: Sequence[Path], cache: Path) -> str:
    """One checksum of the content of a user's own files.

    The JSON file `cache` remembers it as long as size, times and inode of each file stay the same.
    After a touch the files are read again, and the checksum is the same. Raises UserError where a
    file cannot be read.
    """
    try:
        known = dict(json.loads(cache.read_text()))
    except (FileNotFoundError, ValueError):
        known = {}
    checksums, found = [], known.copy()
    for path in paths:
        try:
            identity = list(state(path))
            if known.get(str(path), {}).get("identity") != identity:
                found[str(path)] = {"identity": identity, "sha256": sha256(path)}
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        checksums.append(found[str(path)]["sha256"])
    if found != known:
        write_text(cache, json.dumps(found, indent=2, sort_keys=True) + "\n")
    return joint_sha256(checksums)


def write_json(path: Path, value: Any) -> None:
    """Writes a typed value as JSON, whole or not at all; equal values give equal bytes."""
    write_text(path, msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n")


def read_json(path: Path, kind: type[Value]) -> Value:
    """The typed value that a JSON file holds; raises UserError where it does not hold one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    return from_json(content, kind, str(path))


def from_json(content: bytes | str, kind: type[Value], name: str) -> Value:
    """The typed value of this JSON; raises UserError, which calls it `name`, where it has none."""
    try:
        return msgspec.json.decode(content, type=kind)
    except ValueError as error:  # msgspec's errors are ValueErrors
        _refuse_pointer(content, name)
        raise UserError(f"{name} is not what it should be: {error}") from None


def read_keys(path: Path, name: str = "", expected: str = "keys and values") -> dict[str, Any]:
    """What a JSON file of others holds; raises UserError, which calls it `name` or by its path."""
    name, text = name or str(path), ""
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        _refuse_pointer(text, name)
        raise UserError(f"{name} is not readable JSON: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{name} holds {found!r:.80}; expected {expected}")
    return found


def as_json(value: Any) -> str:
    """A typed value as one line of JSON; equal values give equal lines."""
    return msgspec.json.encode(value, order="deterministic").decode()
