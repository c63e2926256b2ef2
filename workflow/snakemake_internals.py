"""What the Snakefile needs of Snakemake that its documentation does not promise.

All of it is here, and the test of this file calls every function. So another version of Snakemake
fails in that test and not in a user's run. (One use is elsewhere, because it is needed to find this
file: `workflow.current_basedir`, in workflow/Snakefile and rules/study.smk. The documented
`workflow.source_path` gives a copy in Snakemake's own cache.)
"""

import hashlib
import json
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from snakemake.settings.types import DeploymentMethod

from ablations.files import write_text
from ablations.study import paths


def is_main(workflow: Any) -> bool:
    """Whether this is the process that the user started, not a job of it."""
    return workflow.is_main_process


def is_imported(workflow: Any) -> bool:
    """Whether another workflow has this one as a module."""
    return not workflow.modifier.is_main_snakefile()


def is_asked_itself(workflow: Any) -> bool:
    """Whether the user started this workflow itself: not a job, nor a workflow that imports it."""
    return is_main(workflow) and not is_imported(workflow)


def given(workflow: Any) -> Mapping[str, Any]:
    """The configuration that `--config` gives."""
    return workflow.config_settings.config


def config_files(workflow: Any) -> list[Path]:
    """The configuration files, those that Snakefiles name first: the last has the last word."""
    files = list(map(Path, workflow.configfiles))
    named = len(workflow.overwrite_configfiles)  # on the command line
    return files[named:] + files[:named]


def runs_where_it_was_called(workflow: Any) -> bool:
    """Whether the command line names no --directory."""
    return workflow.overwrite_workdir is None


def on_cluster(workflow: Any) -> bool:
    """Whether jobs are submitted instead of started here."""
    return workflow.resource_settings.nodes is not None


def uses_slurm(workflow: Any) -> bool:
    """Whether jobs go to SLURM; False while the Snakefile is read."""
    return type(workflow.executor_settings).__module__ == "snakemake_executor_plugin_slurm"


def leave_account_to_slurm(workflow: Any) -> None:
    """Keeps the SLURM plugin from asking sacct for an account where none is named.

    SLURM has a default itself, and without accounting sacct fails, or is not there.
    """
    workflow.scheduler._executor._fallback_account_arg = ""


def inputs(workflow: Any) -> set[Path]:
    """What the jobs that will run read, as far as it is there."""
    files = {Path(file) for job in workflow.dag.needrun_jobs() for file in job.input}
    return {file for file in files if file.exists()}


def located(workflow: Any, path: str) -> str:
    """Where a file of this workflow is: below the prefix that one that imports it gives."""
    return str(workflow.modifier.modify_path(path))


def make_again(workflow: Any, file: str) -> None:
    """Has a job run though its output is there, as `--forcerun` does.

    Call it from an input function of that job: then Snakemake has not yet decided what will run.
    """
    workflow.dag.forcefiles.add(file)


def end_on_hang_up() -> None:
    """Lets a terminal that is closed end Snakemake as Ctrl-C does, which leaves no lock.

    It may send the signal twice. Under nohup, where it is ignored, it still is. The terminal sends
    it to jobs too. They get it from here as well, since Snakemake alone may have got it: it would
    wait for them, and then take what they made for incomplete.
    """

    def interrupt(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)
        for job in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                job.send_signal(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, interrupt)


def has_conda(workflow: Any) -> bool:
    """Whether jobs run in a conda environment of their own (`--sdm conda`)."""
    return DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method


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
    if not is_asked_itself(workflow):
        return  # the workflow that imports this one decides
    text = json.dumps(config, indent=1, sort_keys=True)
    # named by content: jobs of an earlier start may be queued with another
    name = hashlib.sha256(text.encode()).hexdigest()[:20]
    file = Path(paths.RECORDS.format(file=f"{name}.json")).absolute()
    write_text(file, text)
    workflow.config_settings.configfiles = [file]
