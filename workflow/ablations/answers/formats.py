"""How numbers and names are written in table, interpretation and figures: as published."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ablations.answers.scores import Measured

# The splits as texts name them, in the order of the table.
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
NO_DIFFERENCE = "no detectable difference"
LATEX = {character: rf"\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "[": "{[}",  # not an option of the \\ before it
    "±": r"$\pm$",
    "–": "--",
    "…": r"\ldots{}",
    "−": "$-$",
}


def percent(fraction: float) -> str:
    """`96.63%`."""
    return f"{100 * fraction:.2f}%"


def percent_interval(low: float, high: float) -> str:
    """`92.01 to 97.10%`."""
    return f"{100 * low:.2f} to {100 * high:.2f}%"


def percents(found: Measured) -> str:
    """The published format for one run, `95.40 ± 0.61%` (mean ± standard deviation) for more."""
    if found.sd is None:
        return percent(found.mean)
    return f"{100 * found.mean:.2f} ± {100 * found.sd:.2f}%"


def points(difference: float) -> str:
    """`−1.33`: a difference of accuracies in percentage points, signed."""
    written = f"{100 * difference:+.2f}".replace("-", "−")
    return "0.00" if written in ("+0.00", "−0.00") else written


def estimate(difference: float, low: float, high: float) -> str:
    """`−1.67 (−5.09 to +1.58)`: a difference in percentage points, with its interval."""
    return f"{points(difference)} ({points(low)} to {points(high)})"


def time(seconds: float) -> str:
    """`0.39 min`; below 0.1 min in seconds."""
    found = Measured.of(seconds)
    return times([found])(found)


def times(of: Iterable[Measured | None]) -> Callable[[Measured], str]:
    """Writes seconds in one unit for all of these: minutes if the shortest allows it."""
    shortest = min(found.mean for found in of if found)
    scale, unit = (60.0, "min") if shortest >= 6 else (1.0, "s")
    digits = 2 if unit == "min" or shortest < 0.1 else 1
    return lambda found: f"{with_spread(found, digits, scale)} {unit}"


def with_spread(found: Measured, digits: int, scale: float = 1.0) -> str:
    """`0.127`, `0.127 ± 0.004`: the mean, and of several runs the standard deviation."""
    spread = "" if found.sd is None else f" ± {found.sd / scale:.{digits}f}"
    return f"{found.mean / scale:.{digits}f}{spread}"


def as_configured(value: Any) -> str:
    """A setting's value as config.yaml has it; an option that is not set is `none`."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)


def p_value(p: float) -> str:
    """`p = 0.0312`; a small one is never written as zero."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.1 else f"p = {p:.2f}"


def names(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def text(written: str) -> str:
    """A user's text as Markdown: on one line, and shown as it is."""
    # an underscore between letters is none of Markdown's signs
    return re.sub(r"[\\`*\[\]<>|&#~]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", one_line(written))


def one_line(written: str) -> str:
    """A text on one line, control characters replaced: they have no place in Markdown or HTML."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", "\ufffd", " ".join(written.split()))


def latex(written: str) -> str:
    """A user's text as LaTeX: on one line, and shown as it is."""
    # {} keeps apart what LaTeX would draw as one sign, such as --
    parts = re.split(r"(?<=[-`'?!])(?=[-`'])", one_line(written))
    return "{}".join("".join(LATEX.get(letter, letter) for letter in part) for part in parts)


def shortened(written: str, width: int) -> str:
    """At most `width` characters; an ellipsis ends a text that is cut."""
    return written if len(written) <= width else f"{written[: width - 1].rstrip()}…"


def both_ends(name: str, width: int) -> str:
    """At most `width` characters; a longer name loses the words in its middle.

    A grid's rows begin with its name, and neighbours differ at their ends.
    """
    if len(name) <= width:
        return name
    end = name[-(width // 2) :]
    start = name[: width - len(end) - 1]
    return f"{start[: start.rfind('-') + 1] or start}…{end[end.find('-') + 1 :]}"


@dataclass(frozen=True)
class Table:
    """A table of plain texts, to be written as Markdown, LaTeX or HTML."""

    headings: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]
    below: int = 0  # how many of the last lines stand below a rule

    @property
    def parts(self) -> Iterator[tuple[tuple[str, ...], ...]]:
        """The lines above the rule, and those below it if there are any."""
        above = len(self.lines) - self.below
        yield from filter(None, (self.lines[:above], self.lines[above:]))

    def markdown(self) -> str:
        """As GitHub writes tables; nothing in a cell is markup."""
        cells = [
            [cell if cell == "#" else text(cell) for cell in line]
            for line in (self.headings, *self.lines)
        ]
        # not by tabulate, which makes columns wider than their headings: this must fit a screen
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [f"| {' | '.join(map(str.ljust, line, widths))} |" for line in cells]
        rule = f"|{'|'.join('-' * (w + 2) for w in widths)}|"
        if self.below:
            lines.insert(-self.below, rule)
        return "\n".join([lines[0], rule, *lines[1:]])

    def latex(self) -> Iterator[str]:
        """The lines of a tabular with the rules of the package booktabs."""
        yield rf"\begin{{tabular}}{{{'l' * len(self.headings)}}}"
        yield r"\toprule"
        yield " & ".join(map(latex, self.headings)) + r" \\"
        for part in self.parts:
            yield r"\midrule"
            yield from (" & ".join(map(latex, line)) + r" \\" for line in part)
        yield r"\bottomrule"
        yield r"\end{tabular}"


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
