# The validated configuration, and the lookups that rules share. Logic lives in ../ablations.
import json
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

WORKFLOW = Path(workflow.current_basedir).parent
sys.path.insert(0, str(WORKFLOW))

import snakemake_internals as internals
from ablations import code as code_of
from ablations.errors import UserError
from ablations.files import as_json, contents_sha256
from ablations.study import config as configuration
from ablations.study import jobs, paths, reading, targets
from ablations.study.dataset import SPLITS, Generated
from ablations.study.folder import path_sha256, tokenizer_files
from ablations.study.models import Folder
from ablations.study.statements import statements

# Within lists and mappings of --config, Snakemake leaves numbers as text: seeds=[1,2].
for key in internals.command_line_keys(workflow) & config.keys():
    if key == "rows":
        raise WorkflowError("--config cannot give rows; write them into a --configfile")
    config[key] = configuration.typed(config[key])

try:
    # Snakemake has read them too, but it accepts a key that appears twice.
    CONFIG_FILES = {
        file: reading.read(file) for file in internals.config_files(workflow)
    }
    STUDY = configuration.parse(config)
    JOBS = jobs.of_study(STUDY)
except UserError as error:
    raise WorkflowError(f"The configuration is not valid.\n{error}") from None

if internals.runs_where_it_was_called(workflow):
    for file in filter(lambda file: "rows" in CONFIG_FILES[file], CONFIG_FILES):
        for note in targets.elsewhere(file, Path.cwd()):
            logger.warning(note)

# No result depends on these, so they reach the jobs by environment: as parameters they would rerun
# them. PYTHONPATH lets jobs import the library without an installation: under conda, under SLURM and
# where another workflow uses this one as a module.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(WORKFLOW), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    ABLATIONS_CACHE_GB=str(STUDY.cache_gb),
    # Threads that wait for each other sleep instead of spinning. On a shared machine a spinning
    # thread takes a core that another one needs. With models of GPT-2's size sleeping costs nothing.
    OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"),
    **({"ABLATIONS_MIRROR": STUDY.mirror} if STUDY.mirror else {}),
)

# A cluster's job uses what it was submitted with: the configuration, its share of the cores
# (Snakemake would tell it about all cores of its node) and the checksums of the code.
if internals.is_main(workflow):
    if internals.on_cluster(workflow):
        internals.freeze(workflow, config)
    # Jobs that compute share the cores of this run evenly. One such job runs at a time for each GPU.
    # Where no cores are named, as on a cluster, each has one core; `--set-threads train=8` asks for
    # more.
    cores, gpus = internals.cores_and_gpus(workflow)
    os.environ.update(ABLATIONS_THREADS=str(max(1, cores // gpus)))
THREADS = int(os.environ.get("ABLATIONS_THREADS", 1))

TOKENIZER = STUDY.tokenizer if isinstance(STUDY.tokenizer, str) else "own"
for target in sys.argv[1:] if CONFIG_FILES else ():
    for mistake in targets.misnamed(target, JOBS):
        raise WorkflowError(mistake)


wildcard_constraints:
    row="|".join(JOBS.rows),
    seed="|".join(map(str, STUDY.seeds)),
    model="[^/]+",
    # a file of settings is not the manifest of another trunk
    trunk=r"[^/]+(?<!\.settings)",


# program → the checksum of its code; a cluster's job uses those that it was submitted with
CODE = {}
LIBRARY = code_of.Library(Path(paths.RECORDS.format(file="code.json")))


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


def of_runs(pattern, runs=JOBS.runs.values()):
    """This file of every run."""
    return [run.path(pattern) for run in runs]


def rows(which):
    """The rows for which this holds, as a wildcard's pattern."""
    return "|".join(id for id, row in JOBS.rows.items() if which(row)) or "(?!)"


def said(values, name=lambda wildcards: "", least=0):
    """One of these values as params that Snakemake compares; `name` chooses the value.

    Snakemake compares params as a set: one text for each key of the value. The texts that changed
    are its reason for a rerun. Params that take `output` are not compared; a command gets its
    values from these.
    """
    texts = {name: statements(value) for name, value in values.items()}

    def text(number):
        def of(wildcards):
            found = texts[name(wildcards)]
            # a value with fewer texts repeats its first one, since a set holds it once
            return found[number if number < len(found) else 0]

        return of

    count = max(least, *map(len, texts.values()))
    return {f"text_{n}": text(n) for n in range(count)}


def beside(pattern, *wanted):
    """Paths that a command gets and that are no outputs: of the study that the first output is in.

    So they are below the prefix that another workflow gives this one.
    """
    return lambda wildcards, output: [
        paths.beside(output[0], pattern, each, wildcards) for each in wanted
    ]


def cache(pattern):
    """The folder of hidden states: the study's own, or where the user wants it."""
    if STUDY.cache_dir == paths.CACHE:
        return beside(pattern, paths.CACHE)
    return lambda wildcards, output: os.path.expanduser(STUDY.cache_dir)


def slugs(which):
    """The models for which this holds, as a wildcard's pattern."""
    chosen = (slug for slug, model in JOBS.models.items() if which(model))
    return "|".join(map(re.escape, chosen)) or "(?!)"


# The checksums of large files are remembered in Snakemake's folder. A dry run needs them too, and it
# must write nothing else.
REMEMBERED = Path(paths.RECORDS.format(file="folders.json"))


def folder_identity(wildcards):
    """A checksum of a model in a folder: Snakemake compares files of this size by date alone."""
    if folder := JOBS.models[wildcards.model].folder:
        return f"content of its folder: {path_sha256(Path(folder.path), REMEMBERED)}"


def texts_identity(wildcards):
    """A checksum of the user's own files of texts."""
    if own := STUDY.dataset.local:
        return f"content of dataset: files: {contents_sha256(own, REMEMBERED)}"


def tokenizer_source(tokenizer):
    """Where another tokenizer than GPT-2's comes from, as data.tokenizer is told."""
    if isinstance(tokenizer, Folder):
        return ["--folder", tokenizer.path]
    return ["--hub", as_json(tokenizer)]


def tokenizer_identity(tokenizer):
    """A checksum of a tokenizer in a folder; none of one at a fixed revision of the hub."""
    if isinstance(tokenizer, Folder):
        files = tokenizer_files(Path(tokenizer.path))
        return f"content of tokenizer: {contents_sha256(files, REMEMBERED)}"


def vocabulary_files(wildcards, input):
    """The files of the tokenizer's ids and merges; none where a token is a byte."""
    return [input[name] for name in ("encoder", "merges") if name in input.keys()]


def vocabulary_folder(wildcards, input):
    """The option that names the folder of these files, where there are any."""
    files = vocabulary_files(wildcards, input)
    return ["--vocabulary-dir", os.path.dirname(files[0])] if files else []


def checkpoint(model, weights):
    """The manifest of the checkpoint that a row or a trunk starts from; none for random weights."""
    if weights == "random":
        return []
    return paths.CHECKPOINT.format(model=model.slug)


def model_of_run(wildcards):
    """The file that names the row's model."""
    return paths.MODEL.format(model=JOBS.rows[wildcards.row].model.slug)


def checkpoint_of_run(wildcards):
    row = JOBS.rows[wildcards.row]
    return checkpoint(row.model, row.settings.weights)


def checkpoint_of_trunk(wildcards):
    settings = JOBS.trunks[wildcards.trunk]
    return checkpoint(STUDY.models[settings.model], settings.weights)


def trunk_of_run(wildcards):
    """The trunk's manifest; none where a row freezes nothing."""
    name = JOBS.run(wildcards).trunk
    return paths.TRUNK.format(trunk=name) if name else []


def estimated(needs):
    """Resources to ask a cluster's queue for; each further attempt gets more.

    On one machine they limit nothing, unless the user gives `--resources mem_mb=…`.
    """
    return {
        "mem_mb": lambda wildcards, attempt: attempt * needs(wildcards).memory_mb,
        "runtime": lambda wildcards, attempt: attempt * needs(wildcards).minutes,
    }


if internals.is_main(workflow):
    # for `--logger progress`, which estimates the time left from it; other loggers do not print it
    logger.info(None, extra={"ablations_work": JOBS.work()})
