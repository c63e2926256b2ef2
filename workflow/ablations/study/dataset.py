"""The texts as the configuration states them: where their files are, what to read in them, and how
they are balanced and cut.

`Texts` describes all of them: the SMS Spam Collection is texts in an archive, and generated
messages are texts in a file.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta, structs

from ablations.files import unreadable
from ablations.study.models import Entry, Repo, Revision, Seed, Sha256, Text, slug

SPLITS = ("train", "validation", "test")
ALL = "all"  # of files that hold all splits: the workflow cuts them

Url = Annotated[
    str,
    Meta(
        pattern=r"^https?://\S+\Z",
        extra_json_schema={"allowed": "a URL that starts with https:// or http://"},
    ),
]
Urls = Annotated[tuple[Url, ...], Meta(min_length=1)]
Class = Annotated[
    str | int,
    Meta(
        extra_json_schema={
            "allowed": "a text or a whole number; what YAML reads as a truth value (true, false,"
            " yes, no, on, off) in quotes"
        }
    ),
]
Share = Annotated[float, Meta(gt=0, lt=1)]
Format = Literal["csv", "tsv", "jsonl", "parquet"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
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


NAMES_FILES = Meta(
    extra_json_schema={
        "allowed": "the name of a file, a list of names, or one of these for each of train,"
        " validation and test"
    }
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
        return Reading(**{name: getattr(self, name) for name in _names(Reading)})

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
    """How many messages are generated, before balancing, and from which seed."""

    messages: Annotated[int, Meta(ge=40)]
    seed: Seed


class Generated(Entry, frozen=True, kw_only=True):
    """A generated stand-in for the collection."""

    generated: Grammar
    split: Shares

    description = "generated messages"
    published = False
    local = ()

    @property
    def reading(self) -> Reading:
        """They are written as the SMS Spam Collection is."""
        about = {key: PUBLISHED[key] for key in PUBLISHED.keys() - {"files"}}
        return msgspec.convert(about | {"split": self.split}, Reading, from_attributes=True)


def in_full(found: Any) -> Any:
    """A `dataset` entry; if it only names the published archive, with all its keys.

    A file of texts at the URLs is not the archive: its entry lacks keys, and the schema says which.
    """
    if not isinstance(found, Mapping) or "urls" not in found or found.keys() - ARCHIVE_ALONE:
        return found
    urls = found["urls"] if isinstance(found["urls"], list) else []
    if any(isinstance(url, str) and _suffix(url_name(url)) in SUFFIXES for url in urls):
        return found
    return PUBLISHED | dict(found)


def parse(entry: Mapping[str, Any]) -> Texts | Generated:
    """The typed value of an entry that the schema allows; see `mistakes`."""
    if "generated" in entry:
        return msgspec.convert(entry, Generated)
    return msgspec.convert(entry, Texts)


def mistakes(found: Texts | Generated) -> Iterator[str]:
    """What the schema cannot say, a line for each mistake."""
    if isinstance(found, Texts):
        yield from _place_mistakes(found)
        yield from _file_mistakes(found)
        yield from _column_mistakes(found)
    yield from _split_mistakes(found)


def _place_mistakes(texts: Texts) -> Iterator[str]:
    for first, second in (("urls", "sha256"), ("repo", "revision")):
        for key, other in ((first, second), (second, first)):
            if getattr(texts, key) and not getattr(texts, other):
                yield f"dataset: missing key {other}, which {key} needs"
    if texts.urls and texts.repo:
        yield "dataset: urls and repo name two places for the files; allowed: one of the two"
    if not texts.files and (texts.repo or not texts.urls):
        yield "dataset: missing key files, which names the files that hold the texts"
    if texts.member_sha256 and not (texts.urls and isinstance(texts.files, str)):
        yield "dataset: member_sha256 is for one file in an archive; allowed with urls and one file"


def _file_mistakes(texts: Texts) -> Iterator[str]:
    for split, files in texts.parts.items():
        where = "dataset: files: " + ("" if split == ALL else f"{split}: ")
        for file in files:
            name = file_name(file)
            if isinstance(file, Download) and (texts.repo or (texts.urls and texts.files)):
                yield f"{where}{name}: urls are given beside another place of the files"
            if not texts.format_of(file):
                yield (
                    f"{where}{name}: the name does not tell the format; allowed:"
                    f" {', '.join(SUFFIXES)}, or the key format: csv, tsv, jsonl or parquet"
                )
    for path in texts.local:
        if not _is_file(path):
            yield (
                f"dataset: files: there is no file {str(path)!r} in {Path.cwd()}; allowed: files,"
                " relative to the working directory, which is the study's folder with make run"
                " STUDY=… or --directory"
            )
        elif why := unreadable(path):
            yield f"dataset: files: {str(path)!r} cannot be read: {why}"


def _column_mistakes(texts: Texts) -> Iterator[str]:
    if texts.text == texts.label:
        yield f"dataset: text and label both name the column {texts.text!r}; name two"
    formats = {texts.format_of(file) for files in texts.parts.values() for file in files}
    for key, is_set in (("columns", texts.columns), ("quotes", not texts.quotes)):
        if is_set and formats - {"csv", "tsv"}:
            yield f"dataset: {key} is for csv and tsv files; in others every text names its columns"
    for key in ("text", "label") if texts.columns else ():
        times = list(texts.columns or ()).count(getattr(texts, key))
        if times != 1:
            yield (
                f"dataset: {key}: {getattr(texts, key)!r} appears {times} times in columns;"
                f" allowed: once ({', '.join(texts.columns or ())})"
            )
    names = class_names(texts)
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"dataset: classes: {name!r} appears {names.count(name)} times; each may appear once"


def _split_mistakes(found: Texts | Generated) -> Iterator[str]:
    files = None if isinstance(found, Generated) else found.files
    given, split = isinstance(files, Splits), found.split
    if isinstance(files, Splits) and files.validation:
        if split:
            yield "dataset: split: every split has files; leave out one of the two"
    elif split is None:
        yield "dataset: missing key split, which says how the texts are cut"
    elif given and split.train is not None:
        yield "dataset: split: train has files; allowed: validation, its share of them, and seed"
    elif not given and split.train is None:
        yield "dataset: split: missing key train"
    elif (split.train or 0) + split.validation >= 1:
        yield (
            f"dataset: split: train {split.train:g} and validation {split.validation:g} leave"
            " nothing for the test set; allowed: a sum below 1"
        )
    if isinstance(found, Texts):
        if found.balance and given:
            yield "dataset: balance: splits that have files are taken as they are; leave it out"
        if found.stratify and not split:
            yield "dataset: stratify: every split has files, so nothing is cut; leave it out"


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
    return PurePosixPath(name).suffix.lower()


def _listed(files: Files | None) -> tuple[File, ...]:
    if files is None:
        return ()
    return files if isinstance(files, tuple) else (files,)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long or not allowed
        return False


def _names(of: type[Reading]) -> Iterable[str]:
    return (field.name for field in structs.fields(of))
