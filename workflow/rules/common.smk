# The validated configuration, and the lookups that rules share. Logic lives in ../ablations.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

WORKFLOW = Path(workflow.current_basedir).parent

# Jobs import the library from here, installed or not: also under conda, SLURM and as a module.
sys.path.insert(0, str(WORKFLOW))
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(WORKFLOW), *filter(None, [os.environ.get("PYTHONPATH")])]
)

from ablations import config as configuration
from ablations import cut
from ablations.errors import UserError

try:
    STUDY = configuration.parse(config)
except UserError as error:
    raise WorkflowError(f"The configuration is not valid.\n{error}") from None

# What no result depends on reaches the jobs by environment: as a parameter it would rerun them.
os.environ["ABLATIONS_CACHE_GB"] = str(STUDY.cache_gb)
if STUDY.mirror:
    os.environ["ABLATIONS_MIRROR"] = STUDY.mirror

# Without a limit on gpu, Snakemake would start as many training jobs on one GPU as it has cores.
# (On a cluster, where `nodes` is set, the scheduler counts the GPUs.)
if (
    workflow.is_main_process
    and workflow.resource_settings.nodes is None
    and "gpu" not in workflow.global_resources
):
    workflow.register_resource("gpu", 1)


wildcard_constraints:
    row="[a-z0-9][a-z0-9-]*",
    seed="[0-9]+",
    model="[A-Za-z0-9][A-Za-z0-9.-]*",


RUNS = [(row.id, seed) for row in STUDY.rows for seed in STUDY.seeds]
MODELS = {model.slug: model for model in STUDY.models.values()}
TRUNKS = {
    cut.trunk_name(settings, row.model.slug): settings
    for row in STUDY.rows
    for seed in STUDY.seeds
    if (settings := cut.trunk_settings(row.settings(), seed))
}


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


def checkpoint(row):
    """The manifest of the checkpoint that a row starts from; none with random weights."""
    if row.weights == "random":
        return []
    return f"results/checkpoints/{row.model.slug}/manifest.json"
