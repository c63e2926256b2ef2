"""How settings are written in the table: the published study's words."""

import pytest

from ablations.answers import formats


@pytest.mark.parametrize(
    ("length", "written"),
    [
        ("longest_training_example", "longest train ex. (120)"),
        ("model_context_length", "context length (120)"),
        ("variable", "variable: no padding (batch size 1)"),
        (120, "120"),
    ],
)
def test_a_context_length_is_written_as_published(length: str | int, written: str) -> None:
    assert formats.context(length, 120) == written
