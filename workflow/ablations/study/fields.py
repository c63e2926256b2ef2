"""The types of what stands in config.yaml, and what a message says is allowed there."""

from typing import Annotated, Any, ClassVar

from msgspec import Meta, Struct


def told(allowed: str, **rules: Any) -> Meta:
    """What a message says is allowed, where the type and its rules say too little."""
    return Meta(extra_json_schema={"allowed": allowed}, **rules)


def spelt(pattern: str, allowed: str, **rules: Any) -> Meta:
    """How a whole text is spelt: \\Z, because $ accepts a line break at the end."""
    return told(allowed, pattern=rf"^{pattern}\Z", **rules)


Sha256 = Annotated[str, spelt("[0-9a-f]{64}", "64 hexadecimal digits, in small letters")]
Repo = Annotated[
    str,
    spelt(
        "[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?",
        "the name of a hub repository, such as openai-community/gpt2",
    ),
]
Revision = Annotated[
    str,
    spelt(
        "[A-Za-z0-9][A-Za-z0-9._-]*",
        "the commit of the repository, in quotes if it has digits alone",
    ),
]
Seed = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Text = Annotated[str, Meta(min_length=1)]


class Entry(Struct, frozen=True, forbid_unknown_fields=True):
    """A mapping in config.yaml; an unknown key is a mistake.

    Where several kinds of entries are allowed, it is the first whose `known_by` is there, or the
    last.
    """

    known_by: ClassVar[str | None] = None
