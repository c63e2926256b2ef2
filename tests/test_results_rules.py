import re
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[1] / "workflow"
RULES = (WORKFLOW / "rules/results.smk").read_text()


def rule(name):
    return re.search(rf"^rule {name}:\n(.*?)(?=^rule |\Z)", RULES, re.DOTALL | re.MULTILINE)[1]


def declared(name):
    """The library modules that a rule declares as inputs."""
    names = re.findall(r'"(\w+)"', re.search(r"READING_CODE = \[(.*?)\]", RULES, re.DOTALL)[1])
    inside = re.search(r"code=code\((.*?)\)", rule(name), re.DOTALL)[1]
    return set(re.findall(r'"(\w+)"', inside)) | (
        set(names) if "*READING_CODE" in inside else set()
    )


@pytest.mark.parametrize("name", ["table", "interpretation", "errors", "figures", "page"])
def test_a_rule_declares_exactly_the_modules_that_its_program_imports(name):
    program = re.search(r"python -m ablations\.(\w+)", rule(name))[1]
    listing = (
        f"import sys, ablations.{program}\n"
        "print(*(m.split('.')[1] for m in sys.modules if m.startswith('ablations.')))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", listing],
        cwd=WORKFLOW,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(done.stdout.split()) == declared(name)


def test_every_caption_exists():
    captions = re.findall(r'"\.\./report/([\w.]+\.rst)"', RULES)
    assert sorted(set(captions)) == sorted(p.name for p in (WORKFLOW / "report").glob("*.rst"))
