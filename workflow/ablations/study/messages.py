"""What is wrong with a name, in plain words."""

import difflib
from collections.abc import Iterable
from typing import Any


def unknown(found: object, allowed: Iterable[Any], in_words: str | None = None) -> str:
    """`'frist' (did you mean first?); allowed: last, first`; `in_words` replaces the list."""
    names = [str(name) for name in allowed]
    near = difflib.get_close_matches(str(found), names, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"{found!r}{hint}; allowed: {in_words or ', '.join(names)}"
