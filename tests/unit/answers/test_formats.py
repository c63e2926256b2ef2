"""How settings are written in the table: the published study's words; and texts as Markdown."""

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

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


@given(st.text() | st.text("_*`a \\[](){}<>|&#~!-+.:/1"))
def test_nothing_in_a_users_text_is_markup(written: str) -> None:
    shown = MarkdownIt("commonmark").renderInline(formats.text(written))
    assert html.unescape(shown) == formats.one_line(written)
