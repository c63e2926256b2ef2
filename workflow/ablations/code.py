"""Which code a program's results depend on: derived from its imports, never listed by hand.

A program is named by its module in this package, such as `training.run`. It depends on its own
module, on every module of this package that these import, anywhere in their code, and on the data
files next to a module that have its name (generate.toml belongs to generate.py).
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from msgspec import Struct

LIBRARY = Path(__file__).parent
DATA_SUFFIXES = (".toml", ".html", ".css", ".js")


class Code(Struct, frozen=True):
    """What a program learns about its own code: results/code/<program>-<sha256>.json."""

    program: str
    sha256: str


def sha256(program: str) -> str:
    """One checksum of all code that a program depends on.

    It is computed from syntax trees without docstrings, so comments and line breaks do not change
    it. Another version of Python may give other trees.
    """
    digest = hashlib.sha256()
    for path in files(program):
        digest.update(f"{path.relative_to(LIBRARY).as_posix()}\n".encode())
        digest.update(_meaning(path))
    return digest.hexdigest()


def files(program: str) -> list[Path]:
    """The files that a program depends on, sorted; raises FileNotFoundError if it is missing."""
    found: set[Path] = set()
    waiting = {LIBRARY.joinpath(*program.split(".")).with_suffix(".py")}
    waiting |= set(_run_by(f"{LIBRARY.name}.{program}"))
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= _imported(module) - found
    beside = (path for module in found for path in module.parent.glob(f"{module.stem}.*"))
    return sorted(path for path in beside if path.suffix in (".py", *DATA_SUFFIXES))


@cache
def _imported(module: Path) -> frozenset[Path]:
    """The modules of this package that a module imports, packages' __init__.py among them."""
    return frozenset(_imports(module))


def _imports(module: Path) -> Iterator[Path]:
    for node in ast.walk(_tree(module)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield from _run_by(name)


def _run_by(name: str) -> Iterator[Path]:
    """The files of this package that run when a name is imported; none for other packages."""
    package, *inside = name.split(".")
    if package == LIBRARY.name:
        packages = [LIBRARY.joinpath(*inside[:depth]) for depth in range(len(inside) + 1)]
        candidates = [path / "__init__.py" for path in packages]
        candidates += [packages[-1].with_suffix(".py")]
        yield from filter(Path.is_file, candidates)


@cache
def _meaning(path: Path) -> bytes:
    """What a file means, as bytes: for a module its syntax tree without docstrings."""
    if path.suffix != ".py":
        return path.read_bytes()
    tree = _tree(path)
    for node in ast.walk(tree):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).encode()


@cache
def _tree(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))
