"""docs/reliability.md names tests; each of them exists."""

import ast
import re
from pathlib import Path

from commands import ROOT

NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs/reliability.md").read_text())


def functions_of(path: Path) -> dict[str, bool]:
    """The test functions of a file, and whether they, or the whole file, are marked slow."""
    body = ast.parse(path.read_text()).body
    file_marks = [ast.unparse(node) for node in body if isinstance(node, ast.Assign)]
    whole = any(text.startswith("pytestmark") and "mark.slow" in text for text in file_marks)
    return {
        node.name: whole
        or any(ast.unparse(mark) == "pytest.mark.slow" for mark in node.decorator_list)
        for node in body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED) > 50
    missing = [f"{file}::{name}" for file, name in NAMED if name not in functions_of(ROOT / file)]
    assert not missing


def test_slow_tests_are_said_to_be_slow() -> None:
    text = (ROOT / "docs/reliability.md").read_text()
    for file, name in NAMED:
        said = f"`{file}::{name}` (slow)" in text
        assert said == functions_of(ROOT / file)[name], f"{file}::{name}"
