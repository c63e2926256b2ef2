import ast
import re
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[1] / "workflow"
RULES = (WORKFLOW / "rules/results.smk").read_text()


def rule(name):
    return re.search(rf"^rule {name}:\n(.*?)(?=^rule |\Z)", RULES, re.DOTALL | re.MULTILINE)[1]


def declared(name):
    """The library modules that a rule declares as inputs."""
    modules = re.search(r"code=code\((.*?)\)", rule(name), re.DOTALL)[1]
    if "*READING_CODE" in modules:
        modules += re.search(r"READING_CODE = \[(.*?)\]", RULES, re.DOTALL)[1]
    return set(re.findall(r'"(\w+)"', modules))


def imported(module):
    """The library modules that a module imports, itself included; refuses torch."""
    found, waiting = set(), {module}
    while waiting:
        name = waiting.pop()
        found.add(name)
        tree = ast.parse((WORKFLOW / f"ablations/{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("torch") for alias in node.names)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("ablations"):
                inside = node.module.partition(".")[2]
                waiting |= {inside} if inside else {alias.name for alias in node.names}
        waiting -= found
    return found


@pytest.mark.parametrize("name", ["table", "interpretation", "errors", "figures", "page"])
def test_a_rule_declares_exactly_the_modules_that_its_program_imports(name):
    program = re.search(r"python -m ablations\.(\w+)", rule(name))[1]
    assert imported(program) == declared(name)


def test_every_caption_exists():
    captions = re.findall(r'"\.\./report/([\w.]+\.rst)"', RULES)
    assert sorted(set(captions)) == sorted(p.name for p in (WORKFLOW / "report").glob("*.rst"))
