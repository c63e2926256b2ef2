# The lookups that rules share: from wildcards to values, and no more.
import json
import os
import re
import shlex
import sys
from pathlib import Path

import snakemake_internals as internals
from ablations import code as code_of
from ablations.files import as_json
from ablations.study import command, identities, jobs, paths
from ablations.study.dataset import Generated
from ablations.study.models import Folder
from ablations.study.statements import said


wildcard_constraints:
    row="|".join(JOBS.rows),
    run="|".join(run.name for run in JOBS.runs.values()),
    model="[^/]+",
    tokenizer="[^/]+",
    reference="[a-z]+",
    # a file of settings is not the manifest of another trunk
    trunk=r"[^/]+(?<!\.settings)",


def only(values, which):
    """The names of those values for which this holds, as a wildcard's pattern."""
    names = [re.escape(name) for name, value in values.items() if which(value)]
    return "|".join(names) or "(?!)"


# program → the checksum of its code; a cluster's job uses those that it was submitted with
CODE = {}
LIBRARY = code_of.Library(Path(paths.RECORDS.format(file="code.json")))
# of large files of the user's own
CHECKSUMS = Path(paths.RECORDS.format(file="folders.json"))


def code(program):
    """The file that a rule takes as input, so that it depends on all code that its program runs."""
    if internals.is_main(workflow):
        CODE.setdefault(program, LIBRARY.sha256(program))
        os.environ.update(ABLATIONS_CODE=json.dumps(CODE))
    else:
        CODE.update(json.loads(os.environ.get("ABLATIONS_CODE", "{}")))
    return code_file(program)


def code_file(program):
    return paths.CODE.format(program=program, sha256=CODE[program][:12])


def older_code(wildcards, output):
    """The files of a program's other code: if that comes back, its file must be new."""
    stated = STATED[wildcards.stated]
    if isinstance(stated, code_of.Code):
        others = Path(output[0]).parent.glob(f"{stated.program}-*.json")
        return sorted(map(str, others))
    return []


STATED_FILES = [
    internals.located(workflow, each) for each in (paths.STATED, paths.STATED_LOG)
]


def no_input(wildcards):
    """Nothing; but has the file made again where it was edited by hand, since jobs would obey it."""
    if internals.is_main(workflow):
        name = wildcards.get("stated", paths.stated(paths.OUTLINE))
        file, log = (each.format(stated=name) for each in STATED_FILES)
        if command.is_edited(Path(file), STATED.get(name, OUTLINE), Path(log)):
            internals.make_again(workflow, file)
    return []


def python(wildcards, output):
    """The start of a command: the Python that runs Snakemake or that of the jobs' conda environment,
    and this library, installed or not; never what PATH or the study's folder happen to offer.

    Conda drops PYTHONPATH from the environment, and there it would be other workflows' too.
    """
    # an empty part would be the study's folder
    parts = [WORKFLOW, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    parts = dict.fromkeys(filter(None, map(str, parts)))
    library = shlex.quote(os.pathsep.join(parts))
    own = "python" if internals.has_conda(workflow) else shlex.quote(sys.executable)
    return f"PYTHONPATH={library} PYTHONSAFEPATH=1 PYTHONUTF8=1 {own}"


def beside(pattern, *wanted):
    """Paths that a command gets and that are no outputs: of the study that the first output is in.

    So they are below the prefix that another workflow gives this one.
    """
    return lambda wildcards, output: [
        paths.beside(output[0], pattern, each, wildcards) for each in wanted
    ]


def cache(pattern):
    """The options about hidden states: their folder, the study's own or the user's, and its limit."""

    def options(wildcards, output):
        (folder,) = beside(pattern, paths.CACHE)(wildcards, output)
        if STUDY.cache_dir != paths.CACHE:
            folder = os.path.expanduser(STUDY.cache_dir)
        return ["--cache", folder, "--cache-gb", str(STUDY.cache_gb)]

    return options


def source_of(tokenizer):
    """The options that say where a tokenizer comes from; none: GPT-2's."""
    if isinstance(tokenizer, Folder):
        return ["--folder", tokenizer.path]
    return [] if tokenizer == "gpt2" else ["--hub", as_json(tokenizer)]


def estimated(needs):
    """Resources to ask a cluster's queue for; each further attempt gets more.

    On one machine they limit nothing, unless the user gives `--resources mem_mb=…`.
    """
    return {
        "mem_mb": lambda wildcards, attempt: attempt * needs(wildcards).memory_mb,
        "runtime": lambda wildcards, attempt: attempt * needs(wildcards).minutes,
    }
