"""Grids: a row that lists values for settings, and becomes one row for each combination of them.

After config.py these rows are like all others. The package `answers` also learns here which rows
belong together and what varies among them.
"""

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, structs

from ablations.study.schema import Question
from ablations.study.settings import Choices, Training, names

Choose = Literal["validation"]

OPTIONS = (*names(Choices), *names(Training))
# Shorter names of settings, for ids.
SHORT = {
    "trainable_token": "token",
    "trainable_layers": "layers",
    "context_length": "context",
    "lora_rank": "rank",
    "lora_alpha": "alpha",
    "causal_mask": "mask",
    "average_embeddings": "average",
    "batch_size": "batch",
    "learning_rate": "lr",
    "weight_decay": "decay",
    "accumulation_steps": "accumulation",
}
LONGEST_ID = 100
# Longer numbers are shortened. config.py has made a whole number of 1.0e+30.
LARGEST_PLAIN = 1_000_000
# More would be too long for the command line that writes results/study.json, and slow in Snakemake.
MOST_ROWS = 1000


class Grid(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
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

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """What `combinations` gives, by id."""
        return dict(self.combinations())


def read(row: Mapping[str, Any]) -> Grid | None:
    """The grid that a row of config.yaml is, if it is one."""
    if "grid" not in row:
        return None
    values = {key: tuple(found) for key, found in row["grid"].items()}
    return Grid(row["id"], values, row.get("choose"))


def expand(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The plain rows that a row of config.yaml becomes: itself, unless it is a grid."""
    own = {key: value for key, value in row.items() if key not in ("grid", "choose")}
    grid = read(row)
    rows = grid.rows if grid else {row["id"]: {}}
    for id, values in rows.items():
        yield own | values | {"id": id}


def mistakes(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is wrong with the grids among the rows of config.yaml: a line for each mistake."""
    found = [message for row in rows for message in _row_errors(row)]
    if not found:
        grids = [grid for row in rows if (grid := read(row))]
        found = list(_number_errors(rows, grids)) or list(_id_errors(rows, grids))
    yield from found


def _row_errors(row: Mapping[str, Any]) -> Iterator[str]:
    where = f"rows: {row['id']}: "
    if "grid" not in row:
        if "choose" in row:
            yield f"{where}choose: needs a grid, and this row has none; allowed: with a grid"
        return
    if row["id"] == "baseline":
        yield (
            f"{where}grid: is not allowed: the baseline is one row, from which others take what"
            " they leave out; allowed: a grid in another row"
        )
    if "published" in row:
        yield (
            f"{where}published: is not allowed with a grid, which is several rows; allowed: in a"
            " row without a grid"
        )
    for key in row["grid"]:
        if key in row:
            yield (
                f"{where}{key}: is set both in the row, {row[key]!r}, and in its grid; allowed: one"
                " of the two"
            )


def _number_errors(rows: Sequence[Mapping[str, Any]], grids: Sequence[Grid]) -> Iterator[str]:
    number = len(rows) + sum(len(each) - 1 for each in grids)
    if number > MOST_ROWS:
        made = "".join(f"; the grid {each.id} makes {len(each):,}" for each in grids)
        yield f"rows: {number:,} rows are too many{made}; allowed: at most {MOST_ROWS:,}"


def _id_errors(rows: Sequence[Mapping[str, Any]], grids: Sequence[Grid]) -> Iterator[str]:
    """Ids of grids' rows that another row has too."""
    owners = {row["id"]: "another row" for row in rows}
    for each in grids:
        for id, values in each.combinations():
            if id in owners:
                yield (
                    f"rows: {each.id}: grid: {in_words(values)} gives a row the id {id}, which"
                    f" {owners[id]} has already; allowed: a different id for each row"
                )
            owners[id] = f"another row of {each.id}"


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
        for end in of_grids:  # one at most: config.py refuses two
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
    parts = (f"{SHORT.get(key, key)}-{_in_id(value)}" for key, value in values.items())
    whole = "-".join([start, *parts]).replace("_", "-")
    if len(whole) <= LONGEST_ID:
        return whole
    return f"{whole[: LONGEST_ID - 9]}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


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
