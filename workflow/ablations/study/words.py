"""What the options of a row, and their values, are called in ids, tables and figures.

The words themselves are declared with each option, in settings.py.
"""

from typing import Any

from ablations.study.settings import OPTIONS, Settings

MISSING = "–"


def columns(row: Settings) -> list[str]:
    """The settings that have words of their own; LoRA's are told with trainable_layers."""
    return [name for name in row.compared() if not OPTIONS[name].part_of]


def cell(name: str, row: Settings, tokens: int) -> str:
    """A row's setting in its column of the table, in the published study's words.

    `tokens`: the length of the row's padded inputs.
    """
    value, words = row.told()[name], OPTIONS[name].words
    if value is None and value not in words.cells:
        return MISSING
    template = words.cells.get(value, words.cell)
    return template.format(name=name, value=_plain(value), row=row, tokens=tokens)


def changes(row: Settings, baseline: Settings, tokens: int) -> list[str]:
    """What a row sets differently from the baseline, in few words each.

    A model is named without its size in brackets where that is enough to tell the two apart.
    """
    own, other = row.deciding(), baseline.compared()
    changed = [name for name in own if own[name] != other[name]]
    if row.context_length == "variable" and "context_length" in changed:
        changed = [name for name in changed if name != "batch_size"]  # 1, as it must be
    found = list(dict.fromkeys(_change(name, row, tokens) for name in changed))
    model = row.model.partition(" (")[0]
    if model != baseline.model.partition(" (")[0]:
        return [model if change == row.model else change for change in found]
    return found


def _change(name: str, row: Settings, tokens: int) -> str:
    for whole in OPTIONS[name].part_of:
        return _change(whole, row, tokens)
    value, words = row.compared()[name], OPTIONS[name].words
    templates = words.cells | words.changes
    if value is None and value not in templates:
        return f"{name} {MISSING}"
    template = templates.get(value, words.change)
    return template.format(name=name, value=_plain(value), row=row, tokens=tokens)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
