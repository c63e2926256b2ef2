"""A file is whole or absent: what others see while it is written, and after a write that failed."""

import json
import os
from pathlib import Path

import pytest

from ablations import files
from ablations.errors import UserError


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("before", [None, "before"])
def test_a_file_appears_when_it_is_whole(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "new/file.txt"
    if before:
        files.write_text(path, before)
    with files.whole(path) as temporary:
        temporary.write_text("half")
        assert (path.read_text() if path.exists() else None) == before
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert listed(path.parent) == ["file.txt"]


def test_a_pointer_of_git_lfs_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    for read in (files.read_keys, lambda path: files.read_json(path, dict)):
        with pytest.raises(UserError, match=r"a\.json is a Git LFS pointer and not the file"):
            read(path)
    files.refuse_pointer(tmp_path / "none")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [None, "before"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, before: str | None, error: type[BaseException]
) -> None:
    path = tmp_path / "file.txt"
    if before:
        path.write_text(before)
    with pytest.raises(error), files.whole(path) as temporary:
        temporary.write_text("half")
        raise error
    assert (path.read_text() if path.exists() else None) == before
    assert listed(tmp_path) == (["file.txt"] if before else [])


@pytest.mark.parametrize("before", [None, "before"])
def test_a_text_that_cannot_be_written_leaves_what_was_there(
    tmp_path: Path, before: str | None
) -> None:
    path = tmp_path / "file.txt"
    if before:
        path.write_text(before)
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "half \ud800")
    assert (path.read_text() if path.exists() else None) == before
    assert listed(tmp_path) == (["file.txt"] if before else [])


def test_a_text_takes_the_place_of_the_old_file_in_one_step(tmp_path: Path) -> None:
    """Who has the old file open reads it to its end."""
    for write in (files.write_text, files.write_json):
        path = tmp_path / write.__name__
        write(path, "before")
        with path.open() as opened:
            write(path, "after")
            assert "before" in opened.read()
        assert "after" in path.read_text()


def test_a_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    umask = os.umask(0o027)
    try:
        files.write_json(tmp_path / "file.json", {"a": 1})
    finally:
        os.umask(umask)
    assert (tmp_path / "file.json").stat().st_mode & 0o777 == 0o640
    assert json.loads((tmp_path / "file.json").read_text()) == {"a": 1}
