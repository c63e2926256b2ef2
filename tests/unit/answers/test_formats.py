"""Users' texts as Markdown and LaTeX, whatever they hold."""

import html

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ablations.answers import formats


@given(st.text() | st.text("_*`a \\[](){}<>|&#~!-+.:/1"))
def test_nothing_in_a_users_text_is_markup(written: str) -> None:
    shown = MarkdownIt("commonmark").renderInline(formats.text(written))
    assert html.unescape(shown) == formats.one_line(written)
