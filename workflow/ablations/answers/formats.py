"""How numbers and names are written in table, interpretation and figures: the published way."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

NO_DIFFERENCE = "no detectable difference"


def percent(fraction: float) -> str:
    """`96.63%`."""
    return f"{100 * fraction:.2f}%"


def percent_interval(low: float, high: float) -> str:
    """`92.01 to 97.10%`."""
    return f"{100 * low:.2f} to {100 * high:.2f}%"


def percents(fractions: Sequence[float]) -> str:
    """The published format for one seed, `95.40 ± 0.61%` (mean ± standard deviation) for more."""
    if len(fractions) == 1:
        return percent(fractions[0])
    return f"{100 * mean(fractions):.2f} ± {100 * stdev(fractions):.2f}%"


def points(difference: float) -> str:
    """`−1.33`: a difference of accuracies in percentage points, signed."""
    written = f"{100 * difference:+.2f}".replace("-", "−")
    return "0.00" if written in ("+0.00", "−0.00") else written


def times(seconds: Sequence[float]) -> str:
    """`0.39 min`; below 0.1 min in seconds; mean ± standard deviation for several."""
    scale, unit = (60.0, "min") if mean(seconds) >= 6 else (1.0, "s")
    digits = 2 if unit == "min" or mean(seconds) < 0.1 else 1
    scaled = [value / scale for value in seconds]
    spread = f" ± {stdev(scaled):.{digits}f}" if len(scaled) > 1 else ""
    return f"{mean(scaled):.{digits}f}{spread} {unit}"


def context(length: str | int, tokens: int) -> str:
    """`longest train ex. (120)`, `context length (1024)` or a plain number of tokens."""
    if length == "variable":
        return "variable: no padding (batch size 1)"
    names = {
        "longest_training_example": "longest train ex.",
        "model_context_length": "context length",
    }
    return f"{names[length]} ({tokens})" if isinstance(length, str) else str(length)


def p_value(p: float) -> str:
    """`p = 0.031`, never a false zero."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.1 else f"p = {p:.2f}"


def count(number: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def names(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def text(written: str) -> str:
    """A text of the user's as Markdown that shows it: on one line, and nothing in it is markup."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", " ".join(written.split()))
    return re.sub(r"[\\`*\[\]<>|&#]", r"\\\g<0>", line)


def comma_separated(lines: Sequence[Mapping[str, Any]], headings: Sequence[str]) -> str:
    """Lines of CSV below their headings; None is empty, floats have six significant digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, headings, lineterminator="\n")
    writer.writeheader()
    for line in lines:
        writer.writerow({key: _cell(value) for key, value in line.items()})
    return text.getvalue()


def _cell(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
