"""Which code a program's results depend on: derived from its imports, never listed by hand.

A program is named by its module in this package, such as `training.run`. It depends on its own
module, on every module of this package that these import, anywhere in their code, and on the data
files next to a module that have its name (generate.toml belongs to generate.py).

What is written for people changes no checksum: comments, line breaks, docstrings, and the words of
messages. These are the literal texts

- in the arguments of exceptions (calls of a name that ends in Error),
- in the arguments of a logger's methods (`log.info(…)`, `cli.log.info(…)`),
- in `help=` of `add_argument`,
- in `says(…)`, by which an option declares what it is called,
- in what a function returns or yields whose result is declared as `errors.Message`,

also where they are parts of an f-string, of a sum or of a conditional expression. What is filled
into them counts, and so does every other text: it could decide a result.
"""

import ast
import hashlib
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from ablations import files

LIBRARY = Path(__file__).parent
DATA_SUFFIXES = (".toml", ".html", ".css", ".js")
LOGGING = ("debug", "info", "warning", "error", "critical", "exception")


class Code(Struct, frozen=True):
    """What a program learns about its own code: results/code/<program>-<sha256>.json."""

    program: str
    sha256: str


class File(Struct, frozen=True):
    """What a file adds to a program's code, as long as the file's state stays the same."""

    state: tuple[int, ...]
    sha256: str  # of what it means
    imports: tuple[str, ...]  # the names in this package that it imports


class Remembered(Struct):
    """What is known of the library's files, and by which Python and which rules (this module)."""

    by: str = ""
    files: dict[str, File] = {}


class Library:
    """The library's files as they are now. What each means is found out once.

    `remembered` is a JSON file that need not exist: it saves the next process reading those files
    whose state is still the same.
    """

    def __init__(self, remembered: Path | None = None, folder: Path = LIBRARY):
        self.folder = folder
        self._remembered = remembered
        self._known = _known(remembered) if remembered else {}
        self._new: dict[str, File] = {}
        self._file = cache(self._look_at)
        self._run_by = cache(self._modules)

    def sha256(self, program: str) -> str:
        """One checksum of all code that a program depends on.

        Another version of Python may give another one.
        """
        digest = hashlib.sha256()
        for path in self.files(program):
            name = path.relative_to(self.folder).as_posix()
            digest.update(f"{name} {self._file(path).sha256}\n".encode())
        self._remember()
        return digest.hexdigest()

    def files(self, program: str) -> list[Path]:
        """The files a program depends on, sorted; raises FileNotFoundError if it is missing."""
        found: set[Path] = set()
        waiting = {self.folder.joinpath(*program.split(".")).with_suffix(".py")}
        waiting |= self._run_by(f"{self.folder.name}.{program}")
        while waiting:
            module = waiting.pop()
            found.add(module)
            waiting |= self.imported(module) - found
        beside = (module.with_suffix(suffix) for module in found for suffix in DATA_SUFFIXES)
        return sorted([*found, *filter(Path.is_file, beside)])

    def imported(self, module: Path) -> set[Path]:
        """The modules of this package that a module imports, packages' __init__.py among them."""
        return set().union(*map(self._run_by, self._file(module).imports))

    def _modules(self, name: str) -> set[Path]:
        """The files of this package that run when a name is imported; none for other packages."""
        package, *inside = name.split(".")
        if package != self.folder.name:
            return set()
        packages = [self.folder.joinpath(*inside[:depth]) for depth in range(len(inside) + 1)]
        candidates = [path / "__init__.py" for path in packages]
        candidates += [packages[-1].with_suffix(".py")]
        return set(filter(Path.is_file, candidates))

    def _look_at(self, path: Path) -> File:
        """What a file means now: as remembered where its state is the same."""
        name, state = path.relative_to(self.folder).as_posix(), files.state(path)
        known = self._known.get(name)
        if known is None or known.state != state:
            known = self._new[name] = _read(path, state)
        return known

    def _remember(self) -> None:
        if self._remembered and self._new:
            self._known |= self._new
            self._new = {}
            with suppress(OSError):  # a folder that only others may write
                files.write_json(self._remembered, Remembered(_rules(), self._known))


def _known(remembered: Path) -> dict[str, File]:
    """The files that are remembered, if it was by this Python and these rules."""
    try:
        found = msgspec.json.decode(remembered.read_bytes(), type=Remembered)
    except (OSError, msgspec.DecodeError):
        return {}
    return found.files if found.by == _rules() else {}


@cache
def _rules() -> str:
    return f"Python {sys.version}; {files.sha256(Path(__file__))}"


def _read(path: Path, state: tuple[int, ...]) -> File:
    content = path.read_bytes()
    imports: set[str] = set()
    if path.suffix == ".py":
        tree = ast.parse(content)
        for node in ast.walk(tree):
            imports.update(_imports(node))
            _forget_words(node)
        content = ast.dump(tree).encode()
    return File(state, hashlib.sha256(content).hexdigest(), tuple(sorted(imports)))


def _imports(node: ast.AST) -> list[str]:
    """The names that a statement imports: the modules among them are found when they are used."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _forget_words(node: ast.AST) -> None:
    """Empties the words that stand in one node of a syntax tree."""
    match node:
        case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:]
            if isinstance(node, ast.FunctionDef) and _says(node.returns):
                for part in ast.walk(node):
                    if isinstance(part, ast.Return | ast.Yield):
                        _empty(part.value)
        case ast.Call(func=ast.Name(name) | ast.Attribute(attr=name)) if name.endswith("Error"):
            for part in [*node.args, *(keyword.value for keyword in node.keywords)]:
                _empty(part)
        case ast.Call(func=ast.Attribute(ast.Name("log") | ast.Attribute(attr="log"), method)):
            for part in node.args if method in LOGGING else ():
                _empty(part)
        case ast.Call(func=ast.Name("says")):
            node.args, node.keywords = [], []
        case ast.Call(func=ast.Attribute(attr="add_argument")):
            for keyword in node.keywords:
                if keyword.arg == "help":
                    _empty(keyword.value)


def _says(returned: ast.expr | None) -> bool:
    """Whether a function's result is declared as a message, or as several, or none."""
    parts = ast.walk(returned) if returned else ()
    return any(isinstance(part, ast.Name) and part.id == "Message" for part in parts)


def _empty(node: ast.expr | None) -> None:
    """Empties the literal texts of a message; what is filled into them stays."""
    match node:
        case ast.Constant(value=str()):
            node.value = ""
        case ast.JoinedStr():
            node.values = [part for part in node.values if isinstance(part, ast.FormattedValue)]
            for part in node.values:
                _empty(part)
        case ast.FormattedValue():
            _empty(node.value)
        case ast.BinOp(op=ast.Add()):
            _empty(node.left)
            _empty(node.right)
        case ast.IfExp():
            _empty(node.body)
            _empty(node.orelse)
