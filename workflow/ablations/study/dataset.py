"""The texts as the configuration states them: where their files are, what to read in them, and how
they are balanced and cut.

`Texts` describes all of them: the SMS Spam Collection is texts in an archive, and what is
generated is texts in a file.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta, structs

from ablations.files import is_dir
from ablations.study import paths
from ablations.study.fields import Entry, Repo, Revision, Seed, Sha256, Text, spelt, told

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
Column = Annotated[
    Text | int, told("the name of a column, in quotes where YAML would read a truth value")
]
Separator = Annotated[str, spelt(r'[^"\r\n\w]', "one character, such as ';', '|' or \"\\t\"")]
Pair = tuple[Class, Class]
Share = Annotated[float, Meta(gt=0, lt=1)]
Format = Literal["csv", "tsv", "jsonl", "parquet", "folder"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
}

WHOLE_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)")

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
    "quotes": "pandas",
    "classes": ["ham", "spam"],
    "balance": True,
}
ARCHIVE_ALONE = {"urls", "sha256", "member_sha256", "balance", "stratify", "keep_together", "split"}
WITHIN_SPLIT = ("stratify", "keep_together")  # keys that may also stand in `split`


class Shares(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """How the texts are cut: fractions for training and validation; the test set is the rest.

    With `folds`, each text is tested in one of them, and `train` says nothing.
    """

    train: Share | None = None
    validation: Share
    seed: Seed
    folds: Annotated[int, Meta(ge=2)] | None = None

    @property
    def training(self) -> float | None:
        """The share of the training texts; None where these have files of their own."""
        return self.train if self.folds is None else 1 - 1 / self.folds - self.validation


def numbered(split: Shares | None) -> tuple[int | None, ...]:
    """The folds by number; one without a number where the texts are cut once."""
    return tuple(range(1, split.folds + 1)) if split and split.folds else (None,)


def column(fold: int | None) -> str:
    """The column of texts.csv that says how a fold cuts the texts."""
    return "split" if fold is None else f"fold-{fold}"


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

    text: Column | Annotated[tuple[Column, ...], Meta(min_length=1)] | None = None
    label: Column | None = None  # None of the two: a folder holds the texts
    format: Format | None = None  # None: by the file's name
    columns: tuple[Column, ...] | None = None  # None: the first line names them
    separator: Separator | None = None  # None: by the format
    # None: as in CSV, unless a line tells otherwise; true: as in CSV; false: ordinary characters
    quotes: bool | Literal["pandas"] | None = None
    encoding: Text | None = None  # None: UTF-8
    # None: inferred; a mapping gives pairs of what stands in the files and the name of its class
    classes: (
        Annotated[tuple[Class | Pair, ...], Meta(min_length=2)]
        | Annotated[dict[Class, Class], Meta(min_length=2)]
        | None
    ) = None
    balance: bool = False
    stratify: bool = False
    keep_together: bool = False  # near-copies, on one side of each cut
    split: Shares | None = None  # None: every split has files

    def __post_init__(self) -> None:
        """A mapping becomes pairs: as JSON it would lose its order, which is the classes'."""
        if isinstance(self.classes, dict):
            structs.force_setattr(self, "classes", tuple(self.classes.items()))

    @property
    def text_columns(self) -> tuple[str, ...]:
        """The columns that make a text, in order."""
        columns = self.text if isinstance(self.text, tuple) else (self.text,)
        return tuple("text" if column is None else str(column) for column in columns)

    @property
    def label_column(self) -> str:
        """The column with the labels."""
        return "label" if self.label is None else str(self.label)

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """The names of all columns; None where the first line has them."""
        return None if self.columns is None else tuple(map(str, self.columns))

    @property
    def named(self) -> dict[str, str]:
        """The class of each label, where `classes` is a mapping; blanks are no part of either."""
        pairs = (pair for pair in self.classes or () if isinstance(pair, tuple))
        return {str(label).strip(): str(name).strip() for label, name in pairs}

    def takes(self, label: str) -> bool:
        """Whether a label is of one of the classes, if they are named."""
        if self.named:
            return label in self.named
        return not self.classes or class_of(label, class_names(self)) is not None


PUBLISHED_READING = msgspec.convert(
    {key: value for key, value in PUBLISHED.items() if key != "files"}, Reading
)


class Texts(Reading, frozen=True, kw_only=True, omit_defaults=True):
    """The keys of `dataset`.

    `files` are in the working directory, in the zip archive at `urls` or in a dataset repository
    of the hub; without `files`, the file at `urls` is meant. In the working directory they may be
    folders, with a folder for each class.
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
        """The files and folders in the working directory."""
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
        """A file's format, from `format` or its name; a folder is known by being one."""
        by_name = self.format or format_by_name(file_name(file))
        is_local = isinstance(file, str) and not self.urls and not self.repo
        return by_name or ("folder" if is_local and is_dir(Path(str(file))) else None)


class Grammar(Entry, frozen=True, kw_only=True):
    """How many texts are generated, before balancing, and from which seed."""

    messages: Annotated[int, Meta(ge=40)]
    seed: Seed


class Generated(Entry, frozen=True, kw_only=True):
    """A generated stand-in for the collection."""

    known_by = "generated"

    generated: Grammar
    stratify: bool = False
    keep_together: bool = False
    split: Shares

    description = "generated texts"
    published = False
    local = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What identifies them."""
        return {"generated": self.generated}

    @property
    def reading(self) -> Reading:
        """They are written as the SMS Spam Collection is."""
        return structs.replace(
            PUBLISHED_READING,
            stratify=self.stratify,
            keep_together=self.keep_together,
            split=self.split,
        )


def in_full(found: Any) -> Any:
    """A `dataset` entry; if it only names the published archive, with all its keys.

    A file of texts at the URLs is not the archive: its entry lacks keys, and the door says which.
    Beside `folds`, `train` says nothing, and is left out: where an overlay names folds, the entry
    has both.
    """
    if isinstance(found, Mapping) and isinstance(split := found.get("split"), Mapping):
        moved = {key: split[key] for key in WITHIN_SPLIT if key in split and key not in found}
        unread = {"train"} if "folds" in split else set()
        kept = {key: value for key, value in split.items() if key not in moved.keys() | unread}
        found = {**found, **moved, "split": kept}
    if not isinstance(found, Mapping) or "urls" not in found or found.keys() - ARCHIVE_ALONE:
        return found
    urls = found["urls"] if isinstance(found["urls"], list) else []
    if any(isinstance(url, str) and _suffix(url_name(url)) in SUFFIXES for url in urls):
        return found
    return PUBLISHED | dict(found)


def class_names(reading: Reading) -> tuple[str, ...]:
    """The names of `classes`, without blanks around them; none where they are inferred."""
    if reading.named:  # several labels may be of one class
        return tuple(dict.fromkeys(reading.named.values()))
    return tuple(str(name).strip() for name in reading.classes or ())


def class_of(label: str, classes: Sequence[str]) -> int | None:
    """The index of a label's class; None where it has none.

    A whole number is itself the index, unless a class has a whole number as its name.
    """
    if label in classes:
        return classes.index(label)
    if WHOLE_NUMBER.fullmatch(label) and not any(map(WHOLE_NUMBER.fullmatch, classes)):
        return int(label) if 0 <= int(label) < len(classes) else None
    return None


def file_name(file: File) -> str:
    """What messages and tables call a file."""
    return file if isinstance(file, str) else url_name(file.urls[0])


def format_by_name(name: str) -> Format | None:
    """The format that a file's name tells, if any: `a.csv.gz` → csv."""
    return SUFFIXES.get(_suffix(name))


def url_name(url: str) -> str:
    """The last part of a URL's path: …/sms%2Bspam%2Bcollection.zip → sms+spam+collection.zip."""
    try:
        path = urlsplit(url).path
    except ValueError:  # not an address; the download will say so
        path = ""
    return PurePosixPath(unquote(path)).name or paths.slug(url)


def _suffix(name: str) -> str:
    return PurePosixPath(name.lower().removesuffix(".gz")).suffix


def _listed(files: Files | None) -> tuple[File, ...]:
    if files is None:
        return ()
    return files if isinstance(files, tuple) else (files,)
