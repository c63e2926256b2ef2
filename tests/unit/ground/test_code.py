"""Which code a program depends on, and that the library's packages know only those above them."""

import ast
import shutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import runs
from ablations import code
from commands import environment

GROUND = ("cli", "errors", "files", "code")
STAGES = (
    *("study", "sources", "data", "machine", "model", "training", "references", "answers"),
    *("kept", "predict"),
)
NETWORK = {"huggingface_hub", "pooch", "requests", "urllib3", "httpx", "socket"}

LIBRARY = code.LIBRARY
OF_NOW = code.Library()
MODULES = sorted(path.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*.py"))


def is_program(path: str) -> bool:
    return '__name__ == "__main__"' in (LIBRARY / path).read_text(encoding="utf-8")


PROGRAMS = [path.removesuffix(".py").replace("/", ".") for path in filter(is_program, MODULES)]


class Edited:
    """A library of one's own, to be changed; what it remembers is beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def library(self) -> code.Library:
        """As a new process sees it."""
        return code.Library(self.folder.parent / "remembered.json", self.folder)

    def sha256(self, program: str) -> str:
        return self.library().sha256(program)

    def sha256_of_all(self) -> dict[str, str]:
        library = self.library()
        return {program: library.sha256(program) for program in PROGRAMS}

    def append(self, path: str, text: str) -> None:
        with (self.folder / path).open("a", encoding="utf-8") as file:
            file.write(text)

    def replace(self, path: str, old: str, new: str) -> None:
        before = (self.folder / path).read_text(encoding="utf-8")
        assert old in before
        (self.folder / path).write_text(before.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def copied(tmp_path: Path) -> Edited:
    """A copy of the library at another depth."""
    folder = tmp_path / "some" / "where" / "ablations"
    shutil.copytree(LIBRARY, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Edited(folder)


SMALL = {
    "__init__.py": '"""All."""\n',
    "ground.py": "NUMBER = 1\n",
    "unused.py": "import ablations.stage.program\n",
    "stage/__init__.py": "",
    "stage/program.py": '''"""A program."""

import numpy
from ablations.stage import direct
from ablations.other.nested import VALUE


class Documented:
    """What it is."""

    field = 1

    async def wait(self):
        """How long."""
        return self.field


def main():
    """Runs.

    At length.
    """
    import ablations.stage.late as later  # within a function

    return later, direct, VALUE, "not a docstring"
''',
    "stage/program.toml": "a = 1\n",
    "stage/program.txt": "not of the kinds that ship\n",
    "stage/direct.py": "from ablations import ground\n\nwords = ground.NUMBER\n",
    "stage/direct.css": "p {}\n",
    "stage/late.py": "if True:\n    from ablations.stage.behind import thing\n",
    "stage/behind.py": "def thing():\n    return 1\n",
    "stage/sibling.py": "from ablations.stage import program\n",
    "stage/sibling.toml": "b = 2\n",
    "other/__init__.py": "",
    "other/nested/__init__.py": "VALUE = 3\n",
    "other/nested/alone.py": "VALUE = 4\n",
}
READ = {
    *("__init__.py", "ground.py", "stage/__init__.py", "stage/program.py", "stage/program.toml"),
    *("stage/direct.py", "stage/direct.css", "stage/late.py", "stage/behind.py"),
    *("other/__init__.py", "other/nested/__init__.py"),
}


@pytest.fixture
def small(tmp_path: Path) -> Edited:
    folder = tmp_path / "ablations"
    for path, text in SMALL.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return Edited(folder)


# --- what counts as a change


def test_a_program_depends_on_what_it_imports_directly_or_not_and_on_its_data(small):
    files = small.library().files("stage.program")
    assert {path.relative_to(small.folder).as_posix() for path in files} == READ


@pytest.mark.parametrize("path", SMALL)
def test_a_change_of_code_counts_where_the_program_imports_it_and_nowhere_else(small, path):
    before = small.sha256("stage.program")
    small.append(path, "\nadded = 1\n")
    assert (small.sha256("stage.program") != before) == (path in READ)


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("stage/program.py", '"""A program."""', '"""Another text."""'),
        ("stage/program.py", '"""A program."""\n', ""),
        ("stage/program.py", '    """What it is."""\n', ""),
        ("stage/program.py", '"""How long."""', '"""How\n\n        very long."""'),
        ("stage/program.py", "    At length.\n", "    At great length.\n"),
        ("stage/program.py", "  # within a function", ""),
        ("stage/program.py", "\n\nclass", "\n\n\n\n# more\n\nclass"),
        ("stage/program.py", "later, direct, VALUE, ", "(\n        later),\\\n    direct, VALUE, "),
        ("stage/direct.py", "from", '"""Now with one."""\n\nfrom'),
        ("stage/behind.py", "    return 1", '    """Now with one."""\n    return 1  # one'),
        ("__init__.py", '"""All."""', "# nothing"),
    ],
)
def test_a_comment_a_docstring_or_a_blank_line_changes_nothing(small, path, old, new):
    before = small.sha256("stage.program")
    small.replace(path, old, new)
    ast.parse((small.folder / path).read_text())
    assert small.sha256("stage.program") == before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("stage/program.py", "field = 1", "field = 2"),
        ("stage/program.py", '"not a docstring"', '"nor this"'),
        ("stage/program.py", "return self.field", "return -self.field"),
        ("stage/program.py", "import numpy", "import torch as numpy"),
        ("stage/direct.py", "words = ground.NUMBER", "words = -ground.NUMBER"),
        ("stage/behind.py", "return 1", "return 1.0"),
        ("stage/program.toml", "a = 1", "a = 1  # one"),
    ],
)
def test_another_number_word_operator_or_import_is_a_change(small, path, old, new):
    before = small.sha256("stage.program")
    small.replace(path, old, new)
    assert small.sha256("stage.program") != before


SPEAKS = '''"""A program that speaks."""
import logging
from collections.abc import Iterator
from ablations import cli
from ablations.errors import Message, UserError

log = logging.getLogger("ablations.of.this")
depth = Option(says("How deep it is.", short="deep", cells={0: "flat"}), part_of="the rest")


def read(path, names, n):
    log.info(f"reads {path}")
    cli.log.warning(f"{n} of {'all' if n else 'none'}")
    if not path:
        raise UserError(
            f"no path in {names['of it']}" + " at all" if n > 1 else "nothing"
        )
    path.log.write("what is written")
    log.name = "a name"
    return path.read_text(encoding="utf-8"), "a value"


def hint(n: int) -> Message | None:
    if n == 3:
        return f"take {n + 4}"
    return "take " + ("some" if n > 5 else "more")


def problems(names) -> Iterator[Message]:
    yield f"none of {names.get('key')}"
    key = "a key"
    yield names[key]


def name(n: int) -> str:
    return f"name-{n}"


def parser(found):
    found.add_argument("--option", default="it", help="what it does")
    return found.help(help="not an option's")
'''


@pytest.fixture
def speaking(small: Edited) -> Edited:
    (small.folder / "stage/program.py").write_text(SPEAKS)
    return small


WORDS = ["reads {", " of ", "all", "none'", "no path in ", " at all", "nothing", "take {", "take "]
WORDS += ["some", "more", "none of ", "what it does", "A program that speaks"]
WORDS += ["How deep", 'deep"', "flat"]


@pytest.mark.parametrize("words", WORDS)
def test_the_words_of_a_message_change_nothing(speaking, words):
    before = speaking.sha256("stage.program")
    speaking.replace("stage/program.py", words, f"other words and {words}")
    assert speaking.sha256("stage.program") == before


DECIDING = [
    ('"ablations.of.this"', '"ablations.of.that"'),
    ("names['of it']", "names['of that']"),
    ("{n} of", "{m} of"),
    ("{path}", ""),
    ("n + 4", "n + 5"),
    ("n == 3", "n == 4"),
    ("n > 5", "n > 6"),
    ("n > 1", "n > 2"),
    ("'key'", "'other'"),
    ('"a key"', '"another"'),
    ("name-", "other-"),
    ('"what is written"', '"what was written"'),
    ('"a name"', '"another"'),
    ("utf-8", "utf-16"),
    ('"a value"', '"another"'),
    ("--option", "--other"),
    ('"it"', '"that"'),
    ("not an option's", "no option's"),
    ("UserError(\n", "UserError(n,\n"),
    ("log.warning(", "log.error("),
    ("-> str", "-> bytes"),
    ('"the rest"', '"all else"'),
]


@pytest.mark.parametrize(("old", "new"), DECIDING)
def test_what_is_no_words_of_a_message_is_a_change(speaking, old, new):
    before = speaking.sha256("stage.program")
    speaking.replace("stage/program.py", old, new)
    assert speaking.sha256("stage.program") != before


def test_what_a_file_means_is_remembered_until_it_changes(small, monkeypatch):
    read: list[str] = []
    original = code._read
    monkeypatch.setattr(
        code, "_read", lambda path, state: (read.append(path.name), original(path, state))[1]
    )
    first = small.library().sha256("stage.program")
    assert len(read) == len(READ)
    read.clear()
    assert small.library().sha256("stage.program") == first and not read
    (small.folder / "ground.py").touch()
    assert small.library().sha256("stage.program") == first and read == ["ground.py"]
    small.replace("ground.py", "1", "2")
    second = small.library().sha256("stage.program")
    assert first != second == code.Library(folder=small.folder).sha256("stage.program")


@pytest.mark.parametrize("content", ["", "[]", '{"files": 3}', '{"by": "another Python"}'])
def test_what_another_python_remembered_or_is_damaged_is_not_used(small, content):
    first = small.sha256("stage.program")
    remembered = small.folder.parent / "remembered.json"
    known = remembered.read_text()
    remembered.write_text(content)
    assert small.sha256("stage.program") == first
    assert remembered.read_text() == known


def test_a_module_that_is_imported_from_now_on_counts_from_now_on(small):
    before = small.sha256("stage.program")
    small.append("stage/behind.py", "\nfrom ablations.other.nested import alone\n")
    imported = small.sha256("stage.program")
    small.append("other/nested/alone.py", "\nVALUE = 5\n")
    assert len({before, imported, small.sha256("stage.program")}) == 3


def test_code_that_moves_to_another_module_is_a_change(small):
    before = small.sha256("stage.program")
    (small.folder / "stage/behind.py").rename(small.folder / "stage/moved.py")
    small.replace("stage/late.py", "stage.behind", "stage.moved")
    assert small.sha256("stage.program") != before


def test_a_program_that_does_not_exist_has_no_code(small):
    with pytest.raises(FileNotFoundError):
        small.sha256("stage.nowhere")


# --- the library itself


def test_comments_and_docstrings_of_every_module_change_no_program(copied):
    before = copied.sha256_of_all()
    for path in MODULES:
        copied.replace(path, '"""', '"""In other words: ')
        copied.append(path, "\n\n# the end\n")
    assert copied.sha256_of_all() == before


EDITS = [
    ("data/generate.toml", {"data.generate"}, set(PROGRAMS) - {"data.generate"}),
    ("answers/written/figures.py", {"answers.write"}, {"training.run", "training.trunk"}),
    ("training/loop.py", {"training.run"}, {"training.trunk", "model.pretrain", "data.split"}),
    ("model/gpt2.py", {"training.run", "training.trunk", "model.pretrain"}, {"data.encode"}),
    ("study/settings.py", {"training.run", "training.trunk"}, {"sources.collection"}),
    ("cli.py", set(PROGRAMS), set()),
]


def test_a_copy_is_the_same_code_and_an_edit_makes_stale_what_it_should_and_nothing_else(copied):
    """One edit after another, each compared with the state before it."""
    before = copied.sha256_of_all()
    assert len(set(before.values())) == len(PROGRAMS) >= 10
    assert {program: OF_NOW.sha256(program) for program in PROGRAMS} == before
    for path, changes, leaves in EDITS:
        copied.append(path, "\nADDED = 1\n" if path.endswith(".py") else "\n# added\n")
        after = copied.sha256_of_all()
        changed = {program for program in PROGRAMS if after[program] != before[program]}
        assert changes <= changed and not leaves & changed, path
        before = after


@pytest.mark.parametrize("program", ["training.run", "data.encode"])
def test_what_python_imports_is_among_the_files(program):
    """Python is asked which of the library's files it ran, the packages' own among them."""
    script = (
        f"import sys, ablations.{program};"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'ablations'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True
    )
    imported = set(map(Path, done.stdout.split()))
    assert LIBRARY.joinpath(*program.split(".")).with_suffix(".py") in imported, done.stderr
    assert imported <= set(OF_NOW.files(program))


# --- who may know whom


def rank(path: str) -> int:
    """0 for the ground, then the stages in order; the library's own __init__.py is before all."""
    first = path.split("/")[0].removesuffix(".py")
    if first == "__init__":
        return -1
    return 0 if first in GROUND else 1 + STAGES.index(first)


def imported(path: str) -> list[str]:
    found = OF_NOW.imported(LIBRARY / path)
    return sorted(item.relative_to(LIBRARY).as_posix() for item in found)


def _imported_from(path: str) -> set[str]:
    """The packages, of this project or not, that a module imports."""
    tree = ast.parse((LIBRARY / path).read_text(encoding="utf-8"))
    names = {alias.name for n in ast.walk(tree) if isinstance(n, ast.Import) for alias in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    return {name.split(".")[0] for name in names}


def test_every_module_is_of_the_ground_or_of_a_stage():
    first = {path.split("/")[0].removesuffix(".py") for path in MODULES}
    assert first == {"__init__", *GROUND, *STAGES}


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_only_its_own_package_and_those_above_it(path):
    below = [other for other in imported(path) if rank(other) > rank(path)]
    assert not below, f"{path} imports {', '.join(below)}, which is below it"


@pytest.mark.parametrize("path", [path for path in MODULES if not path.startswith("sources/")])
def test_only_sources_reach_the_network(path):
    assert not NETWORK & _imported_from(path)


def test_scikit_learn_is_imported_only_where_references_are_trained():
    """It takes a second or two, which no other program should pay."""
    importing = [path for path in MODULES if "sklearn" in _imported_from(path)]
    assert importing == ["references/classifier.py"]
    only = LIBRARY / importing[0]
    paying = [program for program in PROGRAMS if only in OF_NOW.files(program)]
    assert paying == ["references.run"]


GPT2_S_JOBS = """
import ablations.model.fetch, ablations.predict
from ablations.data import encode, tokenizer
from ablations.training import run
tokenizer.of_merges(()).encode(["a"])
run.main(run.parser().parse_args(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("script", "unwanted"),
    [
        (
            "import ablations.data.tokens",
            {"torch", "tiktoken", "pandas", "ablations.data.split", "ablations.data.encode"},
        ),
        (GPT2_S_JOBS, {"transformers", "tokenizers"}),  # which takes seconds
    ],
    ids=["reading tokens", "a GPT-2's jobs"],
)
def test_a_start_takes_no_longer_than_it_must(tmp_path, script, unwanted):
    """A fresh interpreter does not import what others need."""
    runs.row(tmp_path, layers="last_block")
    runs.tokens_file(tmp_path)
    code = f"import sys\n{script}\nprint({unwanted} & set(sys.modules))"
    command = [sys.executable, "-c", code, *map(str, runs.arguments(tmp_path))]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_no_modules_import_each_other_in_a_circle():
    """Within functions either. Raises CycleError, which names the circle."""
    order = list(TopologicalSorter({path: imported(path) for path in MODULES}).static_order())
    assert sorted(order) == MODULES


@pytest.mark.parametrize("path", MODULES)
def test_no_import_is_relative(path):
    """Of such the checksum would not know."""
    tree = ast.parse((LIBRARY / path).read_text(encoding="utf-8"))
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]
