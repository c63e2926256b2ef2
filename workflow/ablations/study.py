"""What aggregation needs to know of the configuration: the content of results/study.json.

Row files hold what decides a run; this holds the rest: titles, the order of the rows, published
numbers, questions, and what is only a stand-in for the real thing.
"""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ablations.config import Comparison, Folder, Generated, Pretrain, Row, Study


def facts(study: Study) -> dict[str, Any]:
    """The study as plain values, ready for JSON; ablations.results reads it back."""
    return {
        "title": study.title,
        "notes": list(_notes(study)),
        "seeds": list(study.seeds),
        "rows": [_row(row) for row in study.rows],
        "comparisons": [_comparison(comparison) for comparison in study.comparisons],
    }


def _row(row: Row) -> dict[str, Any]:
    training = asdict(row.training)
    del training["micro_batch"]  # says how, not what: rows that differ in it alone are the same
    return {
        "id": row.id,
        "settings": {
            "model": row.model.name,
            "weights": row.weights,
            "trainable_token": row.trainable_token,
            "trainable_layers": row.trainable_layers,
            "context_length": row.context_length,
            **training,
        },
        "published": asdict(row.published) if row.published else None,
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "id": comparison.id,
        "question": comparison.question,
        "baseline": comparison.baseline.id,
        "variant": comparison.variant.id,
        "claim": comparison.claim,
    }


def _notes(study: Study) -> Iterator[str]:
    """One sentence for each thing that stands in for the SMS Spam Collection or for GPT-2."""
    if isinstance(study.dataset, Generated):
        yield "Stand-in data: the messages are generated, not the SMS Spam Collection."
    models = {row.model.name: row.model for row in study.rows}
    pretrained = [name for name, model in models.items() if isinstance(model.source, Pretrain)]
    if pretrained:
        yield (
            f"Stand-in models: {', '.join(pretrained)} {_were(pretrained)} pretrained by this"
            " workflow on the training messages, not GPT-2."
        )
    folders = [name for name, model in models.items() if isinstance(model.source, Folder)]
    if folders:
        yield (
            f"Models of the user's own: {', '.join(folders)} {_were(folders)} read from a folder,"
            " not GPT-2 as published."
        )


def _were(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"
