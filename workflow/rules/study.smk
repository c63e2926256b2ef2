# Which study this is, what refuses it before any job starts, and what jobs find in their environment.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

WORKFLOW = Path(workflow.current_basedir).parent
sys.path.insert(0, str(WORKFLOW))

import snakemake_internals as internals
from ablations.errors import UserError
from ablations.study import command, extends, jobs, reading

# A --configfile with rows, its own or those of a file that it extends, is a whole study. Another one
# overlays the study of the working directory, or where that has none, the one beside the Snakefile.
if not {"rows", "extends"} & config.keys():
    own = Path("config.yaml")
    own = own if own.exists() else WORKFLOW.parent / own
    try:
        reading.read(own)  # Snakemake would not say where it is wrong
    except UserError as error:
        raise WorkflowError(str(error)) from None

    configfile: own


FILES = internals.config_files(workflow)
try:
    if internals.is_imported(workflow):
        config, said_by = command.imported(config, FILES)
    else:
        config, said_by = command.configuration(
            config, FILES, internals.given(workflow)
        )
    STUDY = extends.study(config, said_by)
except UserError as error:
    raise WorkflowError(str(error)) from None
JOBS = jobs.of_study(STUDY)
if internals.is_asked_itself(workflow):
    if sys.getfilesystemencoding() != "utf-8":
        # in ASCII, which is perhaps all that the terminal has
        raise WorkflowError(
            f"the locale's encoding is {sys.getfilesystemencoding()}, in which titles and texts"
            " cannot be handed over; run: PYTHONUTF8=1 snakemake ..."
        )
    internals.end_on_hang_up()
    try:
        command.refuse_files_in_the_way(Path())
    except UserError as error:
        raise WorkflowError(str(error)) from None
    for mistake in command.misnamed(sys.argv[1:], JOBS):
        raise WorkflowError(mistake)
    if internals.runs_where_it_was_called(workflow):
        for note in command.elsewhere(FILES, Path.cwd()):
            logger.warning(note)

# What no result depends on reaches the jobs by environment: as parameters it would rerun them.
os.environ.update(
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
        # nor does Snakemake there, `python -m snakemake`, import what is in the study's folder
        os.environ.update(PYTHONSAFEPATH="1", PYTHONUTF8="1")
    # Jobs that compute share the cores of this run evenly. One such job runs at a time for each GPU.
    # Where no cores are named, as on a cluster, each has one core; `--set-threads train=8` asks for
    # more.
    cores, gpus = internals.cores_and_gpus(workflow)
    os.environ.update(ABLATIONS_THREADS=str(max(1, cores // gpus)))
    # for `--logger progress`, which estimates the time left from it; other loggers do not print it
    logger.info(None, extra={"ablations_work": JOBS.work()})
THREADS = int(os.environ.get("ABLATIONS_THREADS", 1))


onstart:
    try:
        if internals.uses_slurm(workflow):
            command.refuse_without_slurm()
            internals.leave_account_to_slurm(workflow)
        command.refuse_later_than_now(internals.inputs(workflow))
    except UserError as error:
        raise WorkflowError(str(error)) from None
