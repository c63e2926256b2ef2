"""The words of table, interpretation, summary and page, one study of each kind.

Where a change of words is meant: .venv/bin/python tests/helpers/golden.py, then look at the diff.
"""

import re

import pytest

import golden


@pytest.mark.parametrize("kind", golden.KINDS, ids=lambda kind: kind.__name__)
def test_every_word_is_as_it_was(tmp_path, kind):
    for name, text in golden.written(kind, tmp_path).items():
        assert text == (golden.FOLDER / kind.__name__ / name).read_text(), name
        if kind is golden.classes:
            words = text.replace("not the SMS Spam Collection", "")
            assert not re.search("ham|spam", words, re.IGNORECASE)
