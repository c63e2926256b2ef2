"""What aggregation needs to know about the configuration: the content of results/study.json.

Row files hold what decides a run. This holds the rest: titles, the order of the rows, published
numbers, questions, where the texts come from, and what is only a stand-in.
"""

from msgspec import Struct

from ablations.study.grid import Grid
from ablations.study.schema import Published, Question


class Line(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line of the table: which row, and what was published for it."""

    id: str
    published: Published | None = None


class Outline(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of study.json."""

    title: str
    data: str
    notes: tuple[str, ...]  # what is not the published study's in any row
    models: tuple[str, ...]  # which models are not GPT-2 as published
    seeds: tuple[int, ...]
    margin: float  # of equivalence, in percentage points
    rows: tuple[Line, ...]
    grids: tuple[Grid, ...]
    questions: tuple[Question, ...]  # as they were asked: about rows, and about grids
