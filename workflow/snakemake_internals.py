"""What the Snakefile needs of Snakemake that its documentation does not promise.

All of it is here, and the test of this file uses every attribute. So another version of Snakemake
fails in that test and not in a user's run. (One use is elsewhere, because it is needed to find this
file: `workflow.current_basedir`, in the Snakefile and rules/common.smk. The documented
`workflow.source_path` gives a copy in Snakemake's own cache.)
"""

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.jobs import GroupJob

# The group of the runs that may share a job.
SHORT = "short"


def is_main(workflow: Any) -> bool:
    """Whether this is the process that the user started, not a job of it."""
    return workflow.is_main_process


def command_line_keys(workflow: Any) -> Collection[str]:
    """The top-level keys that `--config` gives."""
    return workflow.config_settings.config.keys()


def _is_asked_itself(workflow: Any) -> bool:
    """Whether the user started this workflow itself: not a job, nor a workflow that imports it."""
    return is_main(workflow) and workflow.modifier.is_main_snakefile()


def config_files(workflow: Any) -> list[Path]:
    """The user's configuration files; none in a job or where another workflow imports this one."""
    return list(map(Path, workflow.configfiles)) if _is_asked_itself(workflow) else []


def runs_where_it_was_called(workflow: Any) -> bool:
    """Whether the command line names no --directory."""
    return workflow.overwrite_workdir is None


def on_cluster(workflow: Any) -> bool:
    """Whether jobs are submitted instead of started here."""
    return workflow.resource_settings.nodes is not None


def cores_and_gpus(workflow: Any) -> tuple[int, int]:
    """The cores and GPUs that the command line names; 1 of each where it names none."""
    gpus = 1
    if "gpu" in workflow.global_resources:
        gpus = workflow.global_resources["gpu"].value
    return workflow.resource_settings.cores or 1, max(1, gpus)


def freeze(workflow: Any, config: dict[str, Any]) -> None:
    """Gives a cluster's jobs the configuration that they are submitted with.

    A job reads the configuration when it starts, perhaps hours later. Edits until then must not
    reach it.
    """
    if not _is_asked_itself(workflow):
        return  # the workflow that imports this one decides
    text = json.dumps(config, indent=1, sort_keys=True)
    # named by content: jobs of an earlier start may be queued with another
    file = Path(".snakemake/ablations", f"{_short_sha256(text)}.json").absolute()
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    partial.write_text(text)
    partial.replace(file)
    workflow.config_settings.configfiles = [file]


def grouped(workflow: Any) -> bool:
    """Whether short runs share jobs of a cluster: `--group-components short=…`.

    This is known when jobs are made, not yet when the Snakefile is read. Without a limit on GPUs,
    Snakemake would ask for one GPU for each run, although the SLURM plugin starts one run after the
    other.
    """
    asked = on_cluster(workflow) and SHORT in workflow.group_settings.group_components
    if asked and "gpu" not in workflow.global_resources:
        raise WorkflowError(
            f"--group-components {SHORT}=…: the number of GPUs of a job is missing; add gpu=1 to"
            " --resources, and --set-resource-scopes gpu=local, as profiles/slurm does"
        )
    return asked


def fail_one_by_one(workflow: Any) -> None:
    """Lets a group's job run all its members, and fail for those members alone that failed.

    Snakemake would stop at the first failure and delete the outputs of the other members.
    """
    arguments = workflow.spawned_job_args_factory
    general = arguments.general_args
    arguments.general_args = lambda *args, **options: f"{general(*args, **options)} --keep-going"
    GroupJob.postprocess = _postprocess_each


_postprocess = GroupJob.postprocess


async def _postprocess_each(group: GroupJob, error: bool = False, **options: Any) -> None:
    """As Snakemake's own, but if the group failed, each member fails or succeeds by itself.

    When a group is submitted, the outputs of all its members are marked incomplete, also those of
    an earlier run. A member's process takes the mark off when it succeeds.
    """
    if not error:
        await _postprocess(group, **options)
        return
    for job in group.jobs:
        there = [await output.exists() for output in job.output]
        failed = not all(there) or await job.dag.workflow.persistence.incomplete(job)
        await job.postprocess(error=bool(failed), check_output_mtime=False, **options)


def _short_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
