"""The texts as the configuration states them: where their files are, what to read in them, and how
they are balanced and cut.

`Texts` describes all of them: the SMS Spam Collection is texts in an archive, and what is
generated is texts in a file.
"""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta, structs

from ablations.study.models import Entry, Repo, Revision, Seed, Sha256, Text, slug, spelt, told

SPLITS = ("train", "validation", "test")
ALL = "all"  # of files that hold all splits: the workflow cuts them

Url = Annotated[str, spelt(r"https?://\S+", "a URL that starts with https:// or http://")]
Urls = Annotated[tuple[Url, ...], Meta(min_length=1)]
Class = Annotated[
    str | int,
    told(
        "a text or a whole number; what YAML reads as a truth value (true, false, yes, no, on, off)"
        " in quotes"
    ),
]
Share = Annotated[float, Meta(gt=0, lt=1)]
Format = Literal["csv", "tsv", "jsonl", "parquet"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}

PUBLISHED_SHA256 = "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"
PUBLISHED_MESSAGES = 1494  # once balanced
ARCHIVE = "sms+spam+collection.zip"  # its name in a mirror, whatever its URL
# What the published study reads of the SMS Spam Collection's archive; a `dataset` that names the
# archive alone means this.
PUBLISHED = {
    "files": "SMSSpamCollection",
    "format": "tsv",
    "columns": ["label", "text"],
    "text": "text",
    "label": "label",
    "classes": ["ham", "spam"],
    "balance": True,
}
ARCHIVE_ALONE = {"urls", "sha256", "member_sha256", "split"}


class Shares(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """How the texts are cut: fractions for training and validation; the test set is the rest."""

    train: Share | None = None
    validation: Share
    seed: Seed


class Download(Entry, frozen=True, kw_only=True):
    """A file by its address; several are tried in turn."""

    urls: Urls
    sha256: Sha256


NAMES_FILES = told(
    "the name of a file, a list of names, or one of these for each of train, validation and test"
)
File = Text | Download
Files = Text | Annotated[tuple[File, ...], Meta(min_length=1)] | Download


class Splits(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """Files for each split. Without validation files, validation texts are cut from training."""

    train: Files
    validation: Files | None = None
    test: Files


class Reading(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """What is read in the files, and how it is balanced and cut."""

    text: Text
    label: Text
    format: Format | None = None  # None: by the file's name
    columns: tuple[Text, ...] | None = None  # None: the first line names them
    quotes: bool = True
    classes: Annotated[tuple[Class, ...], Meta(min_length=2)] | None = None  # None: inferred
    balance: bool = False
    stratify: bool = False
    split: Shares | None = None  # None: every split has files


PUBLISHED_READING = msgspec.convert(
    {key: value for key, value in PUBLISHED.items() if key != "files"}, Reading
)


class Texts(Reading, frozen=True, kw_only=True, omit_defaults=True):
    """The keys of `dataset`.

    `files` are in the working directory, in the zip archive at `urls` or in a dataset repository
    of the hub; without `files`, the file at `urls` is meant.
    """

    files: (
        Annotated[Text | Annotated[tuple[File, ...], Meta(min_length=1)] | Splits, NAMES_FILES]
        | None
    ) = None
    urls: Urls | None = None
    sha256: Sha256 | None = None
    member_sha256: Sha256 | None = None
    repo: Repo | None = None
    revision: Revision | None = None

    @property
    def reading(self) -> Reading:
        """The part that does not say where the files are."""
        names = (field.name for field in structs.fields(Reading))
        return Reading(**{name: getattr(self, name) for name in names})

    @property
    def archive(self) -> str:
        """The name of the archive at `urls`."""
        published = self.files == PUBLISHED["files"]
        return ARCHIVE if published or not self.urls else url_name(self.urls[0])

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies the files' content, without their addresses."""
        return {
            "files": {
                split: [file if isinstance(file, str) else file.sha256 for file in files]
                for split, files in self.parts.items()
            },
            **{key: getattr(self, key) for key in ("sha256", "repo", "revision", "format")},
        }

    @property
    def parts(self) -> dict[str, tuple[File, ...]]:
        """The files of each split, or of all."""
        if self.urls and self.sha256 and not self.files:
            return {ALL: (Download(urls=self.urls, sha256=self.sha256),)}
        if not isinstance(self.files, Splits):
            return {ALL: _listed(self.files)}
        given = {split: getattr(self.files, split) for split in SPLITS}
        return {split: _listed(files) for split, files in given.items() if files}

    @property
    def local(self) -> tuple[Path, ...]:
        """The files in the working directory."""
        if self.urls or self.repo:
            return ()
        return tuple(
            Path(file) for files in self.parts.values() for file in files if isinstance(file, str)
        )

    @property
    def published(self) -> bool:
        """Whether they are the texts of the published study."""
        return self.sha256 == PUBLISHED_SHA256 and self.files == PUBLISHED["files"]

    @property
    def description(self) -> str:
        """Where they come from, for the table."""
        if self.published:
            return "the SMS Spam Collection"
        names = ", ".join(file_name(file) for files in self.parts.values() for file in files)
        if self.repo:
            return f"{names} of {self.repo} at revision {self.revision}"
        if self.urls and self.files:
            return f"{names} of {self.archive}"
        return names

    def format_of(self, file: File) -> Format | None:
        """A file's format, from `format` or its name."""
        return self.format or SUFFIXES.get(_suffix(file_name(file)))


class Grammar(Entry, frozen=True, kw_only=True):
    """How many texts are generated, before balancing, and from which seed."""

    messages: Annotated[int, Meta(ge=40)]
    seed: Seed


class Generated(Entry, frozen=True, kw_only=True):
    """A generated stand-in for the collection."""

    known_by = "generated"

    generated: Grammar
    split: Shares

    description = "generated texts"
    published = False
    local = ()

    @property
    def reading(self) -> Reading:
        """They are written as the SMS Spam Collection is."""
        return structs.replace(PUBLISHED_READING, split=self.split)


def in_full(found: Any) -> Any:
    """A `dataset` entry; if it only names the published archive, with all its keys.

    A file of texts at the URLs is not the archive: its entry lacks keys, and the door says which.
    """
    if not isinstance(found, Mapping) or "urls" not in found or found.keys() - ARCHIVE_ALONE:
        return found
    urls = found["urls"] if isinstance(found["urls"], list) else []
    if any(isinstance(url, str) and _suffix(url_name(url)) in SUFFIXES for url in urls):
        return found
    return PUBLISHED | dict(found)


def class_names(reading: Reading) -> tuple[str, ...]:
    """The names of `classes`; none where they are inferred."""
    return tuple(map(str, reading.classes or ()))


def file_name(file: File) -> str:
    """What messages and tables call a file."""
    return file if isinstance(file, str) else url_name(file.urls[0])


def url_name(url: str) -> str:
    """The last part of a URL's path: …/sms%2Bspam%2Bcollection.zip → sms+spam+collection.zip."""
    try:
        path = urlsplit(url).path
    except ValueError:  # not an address; the download will say so
        path = ""
    return PurePosixPath(unquote(path)).name or slug(url)


def _suffix(name: str) -> str:
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def _listed(files: Files | None) -> tuple[File, ...]:
    if files is None:
        return ()
    return files if isinstance(files, tuple) else (files,)
