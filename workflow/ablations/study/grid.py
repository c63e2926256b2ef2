"""Grids: a row that lists values for settings, and becomes one row for each combination of them.

After config.py these rows are like all others. The package `answers` also learns here which rows
belong together and what varies among them.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Struct, structs

from ablations.study.entries import LONGEST, Choose, Options, Question, RowEntry, options
from ablations.study.settings import OPTIONS

# Longer numbers are shortened. 1.0e+30 is a whole number too.
LARGEST_PLAIN = 1_000_000


class Grid(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, dict=True):
    """A row that becomes several: its id, and the values of each setting that varies.

    `choose`: how the one row for the table is chosen; None for all rows.
    """

    id: str
    values: dict[str, tuple[Any, ...]]
    choose: Choose | None = None

    def __len__(self) -> int:
        """The number of its rows."""
        return math.prod(map(len, self.values.values()))

    def combinations(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The id of each of its rows, and the values by which it differs from the others."""
        keys = [key for key in OPTIONS if key in self.values]  # in a JSON file they are sorted
        for values in itertools.product(*(self.values[key] for key in keys)):
            named = dict(zip(keys, values, strict=True))
            yield _id(self.id, named), named

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        """What `combinations` gives, by id."""
        return dict(self.combinations())

    @property
    def varying(self) -> list[str]:
        """The settings of several values."""
        return [key for key in OPTIONS if len(self.values.get(key, ())) > 1]

    @property
    def across(self) -> str | None:
        """The number that a figure of its rows has across: of two the one of more values.

        None where no number varies, more than two settings do, or one row is chosen.
        """
        numbers = [key for key in self.varying if all(map(_is_number, self.values[key]))]
        if self.choose or len(self.varying) > 2:
            return None
        return max(numbers, key=lambda key: len(self.values[key]), default=None)

    @property
    def apart(self) -> str | None:
        """The other setting that varies, whose values are lines of that figure."""
        return next((key for key in self.varying if key != self.across), None)

    @property
    def figure(self) -> str:
        """The name of that figure; no other begins so."""
        return f"grid-{self.id}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def of(row: RowEntry) -> Grid | None:
    """The grid that a row of config.yaml is, if it is one."""
    if row.grid is None:
        return None
    lists = options(row.grid)
    values = {key: tuple(map(_as_written, found)) for key, found in lists.items()}
    return Grid(row.id, values, row.choose)


def _as_written(value: Any) -> Any:
    """A whole number is an integer, as in ids."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def combinations(row: RowEntry) -> Iterator[tuple[str, dict[str, Any]]]:
    """The ids of the rows that an entry becomes, and what each sets beside the entry's own."""
    grid = of(row)
    for id, values in grid.combinations() if grid else [(row.id, {})]:
        yield id, options(msgspec.convert(values, Options))  # 1 becomes 1.0 where it is a fraction


def ask(
    questions: Iterable[Question], grids: Iterable[Grid], chosen: Mapping[str, str]
) -> Iterator[Question]:
    """Questions about grids as questions about rows.

    A question about a grid becomes one for each of its rows. Where one row was `chosen` (grid →
    row), it becomes a question about that row.
    """
    each = {grid.id: grid.rows for grid in grids if not grid.choose}
    for question in questions:
        ends = {"baseline": question.baseline, "variant": question.variant}
        ends = {end: chosen.get(row, row) for end, row in ends.items()}
        of_grids = [end for end, row in ends.items() if row in each]
        if not of_grids:
            yield structs.replace(question, **ends)
        for end in of_grids:  # one at most: checks.py refuses two
            for row, values in each[ends[end]].items():
                asked = ends | {end: row}
                if asked["baseline"] != asked["variant"]:
                    yield structs.replace(
                        question,
                        id=_id(question.id, values),
                        question=f"{question.question} ({in_words(values)})",
                        **asked,
                    )


def in_words(values: Mapping[str, Any]) -> str:
    """`learning_rate 0.0001, epochs 10`."""
    return ", ".join(f"{key} {_plain(value)}" for key, value in values.items())


def _plain(value: Any) -> str:
    match value:
        case float():
            return f"{value:g}"
        case int() if value > LARGEST_PLAIN:
            return f"{value:.15g}"
        case _:
            return str(value)


def _id(start: str, values: Mapping[str, Any]) -> str:
    """`sweep-lr-1e-4-epochs-10`: an id made of the values; if too long, it ends in a checksum."""
    parts = (f"{OPTIONS[key].words.short}-{_in_id(value)}" for key, value in values.items())
    whole = "-".join([start, *parts]).replace("_", "-")
    if len(whole) <= LONGEST:
        return whole
    return f"{whole[: LONGEST - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _in_id(value: Any) -> str:
    """A value in small letters, digits and dashes: `1e-4`, `1e30`, `last-block`, `off`."""
    match value:
        case bool():
            return "on" if value else "off"
        case float():
            _, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
            number = "".join(map(str, digits))
            return f"{number}e{exponent}" if exponent else number
        case int() if value > LARGEST_PLAIN and value == float(value):
            return _in_id(float(value))
        case int() if value < 0:
            return f"minus-{-value}"
        case _:
            return re.sub("[^a-z0-9]+", "-", str(value).lower()).strip("-")
