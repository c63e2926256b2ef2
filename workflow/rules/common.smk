# The validated configuration, and the lookups that rules share. Logic lives in ../ablations.
import hashlib
import json
import os
import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.current_basedir).parent
sys.path.insert(0, str(WORKFLOW))

from ablations import config as configuration
from ablations import cut, estimate
from ablations.checkpoint import path_sha256
from ablations.config import Folder, Generated, Hub, Pretrain
from ablations.errors import UserError

# Inside lists and mappings of --config, Snakemake leaves numbers as text: seeds=[1,2].
for key in workflow.config_settings.config.keys() & config.keys():
    config[key] = configuration.typed(config[key])

try:
    STUDY = configuration.parse(config)
except UserError as error:
    raise WorkflowError(f"The configuration is not valid.\n{error}") from None

# What no result depends on reaches the jobs by environment: as a parameter it would rerun them.
# They import the library from here, installed or not: also under conda, SLURM and as a module.
os.environ.update(
    PYTHONPATH=os.pathsep.join(
        [str(WORKFLOW), *filter(None, [os.environ.get("PYTHONPATH")])]
    ),
    ABLATIONS_CACHE_GB=str(STUDY.cache_gb),
    # On a machine that others use too, threads that spin while they wait for one another take the
    # core which that one needs; sleeping costs nothing with models of GPT-2's size.
    OMP_WAIT_POLICY=os.environ.get("OMP_WAIT_POLICY", "passive"),
    **({"ABLATIONS_MIRROR": STUDY.mirror} if STUDY.mirror else {}),
)

# Without a limit on gpu, Snakemake would start as many training jobs on one GPU as it has cores.
# (On a cluster, where `nodes` is set, the scheduler counts the GPUs.)
if (
    workflow.is_main_process
    and workflow.resource_settings.nodes is None
    and "gpu" not in workflow.global_resources
):
    workflow.register_resource("gpu", 1)

# A cluster's job parses the configuration again when it starts, perhaps hours after it was queued.
# It is given the one that it was submitted with: an edit in the meantime reaches none.
if (
    workflow.is_main_process
    and workflow.resource_settings.nodes is not None
    and workflow.modifier.is_main_snakefile()
):
    submitted = json.dumps(config, indent=1)
    name = hashlib.sha256(submitted.encode()).hexdigest()[:20]
    submitted_file = Path(".snakemake/ablations", f"{name}.json").absolute()
    submitted_file.parent.mkdir(parents=True, exist_ok=True)
    submitted_file.write_text(submitted)
    workflow.config_settings.configfiles = [submitted_file]

# What computes shares all cores that this machine lends, evenly where several jobs run at once: one
# for each GPU. Where no cores are named, as for a report or on a cluster, it is one, and
# `--set-threads train=8` asks for more. A cluster's job would be told of all cores of its node, and
# takes those that it was submitted with.
if workflow.is_main_process:
    cores, gpus = workflow.resource_settings.cores or 1, 1
    if "gpu" in workflow.global_resources:
        gpus = max(1, workflow.global_resources["gpu"].value)
    os.environ.update(ABLATIONS_THREADS=str(max(1, cores // gpus)))
THREADS = int(os.environ.get("ABLATIONS_THREADS", 1))

ROWS = {row.id: row for row in STUDY.rows}
MODELS = {model.slug: model for model in STUDY.models.values()}
RUNS = [(row, seed) for row in ROWS for seed in STUDY.seeds]
TRUNK_SETTINGS = {
    (row, seed): cut.trunk_settings(ROWS[row].settings(), seed) for row, seed in RUNS
}
TRUNK_NAMES = {
    (row, str(seed)): cut.trunk_name(settings, ROWS[row].model.slug)
    for (row, seed), settings in TRUNK_SETTINGS.items()
    if settings
}
TRUNKS = {
    TRUNK_NAMES[row, str(seed)]: settings
    for (row, seed), settings in TRUNK_SETTINGS.items()
    if settings
}


wildcard_constraints:
    row="|".join(ROWS),
    seed="|".join(map(str, STUDY.seeds)),
    # results/trunks/{trunk}.settings.json is not the manifest of another trunk
    trunk=r"[^/]+(?<!\.settings)",


# What every program that runs a model imports.
MODEL_CODE = "cli cut device errors files model sharing tokens weights".split()


def code(*modules):
    """Library modules as inputs: an edit makes what they compute stale, a touch does not.

    Relative to the working directory, so that moving the folder changes nothing.
    """
    return [os.path.relpath(WORKFLOW / "ablations" / f"{name}.py") for name in modules]


def run_files(name):
    return [f"results/runs/{row}/seed-{seed}/{name}" for row, seed in RUNS]


def as_json(value):
    """One line that differs only where the value does, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True)


# Writes {params.line}. The report draws run times on a log scale, which a single time of zero
# leaves empty; the pause is longer than a tick of the clock that dates files.
WRITE_LINE = "sleep 0.02; printf '%s\\n' {params.line:q} > {output} 2> {log}"


def models_from(source):
    """The models that come from this kind of source, as a wildcard's pattern."""
    slugs = [
        re.escape(slug)
        for slug, model in MODELS.items()
        if isinstance(model.source, source)
    ]
    return "|".join(slugs) or "(?!)"


def pinned_sha256(wildcards):
    sha256 = MODELS[wildcards.model].source.sha256
    return f"--sha256 {sha256}" if sha256 else ""


def folder_identity(wildcards):
    """By content, since Snakemake takes a touched file of this size for a changed one."""
    path = Path(MODELS[wildcards.model].source.path)
    return path_sha256(path, Path("results/cache/folders.json"))


def expected_shape(wildcards):
    """A model's dimensions as options."""
    dimensions = vars(MODELS[wildcards.model].dimensions)
    return " ".join(
        f"--{key.replace('_', '-')} {value}" for key, value in dimensions.items()
    )


def checkpoint(model, weights):
    """The manifest of the checkpoint that a row or a trunk starts from; none if it is random."""
    if weights == "random":
        return []
    return f"results/checkpoints/{model.slug}/manifest.json"


def checkpoint_of_run(wildcards):
    row = ROWS[wildcards.row]
    return checkpoint(row.model, row.weights)


def checkpoint_of_trunk(wildcards):
    settings = TRUNKS[wildcards.trunk]
    return checkpoint(STUDY.models[settings["model"]], settings["weights"])


def trunk_of_run(wildcards):
    """The trunk's manifest; none where a row freezes nothing."""
    name = TRUNK_NAMES.get((wildcards.row, wildcards.seed))
    return f"results/trunks/{name}.json" if name else []


def needs_of_run(wildcards):
    return estimate.of_run(ROWS[wildcards.row].settings(), cached=STUDY.cache_gb > 0)


def needs_of_trunk(wildcards):
    return estimate.of_trunk(TRUNKS[wildcards.trunk])


def needs_of_pretraining(wildcards):
    model = MODELS[wildcards.model]
    return estimate.of_pretraining(
        model.dimensions, model.source.batch_size, model.source.steps
    )


def estimated(needs):
    """Resources that a cluster's queue asks for; each further attempt is given more.

    On one machine they limit nothing, unless its user gives `--resources mem_mb=…`.
    """
    return {
        "mem_mb": lambda wildcards, attempt: attempt * needs(wildcards).memory_mb,
        "runtime": lambda wildcards, attempt: attempt * needs(wildcards).minutes,
    }
