# Finetuning ablations of GPT-2: the rows of config.yaml, from download to interpretation.
from snakemake.utils import min_version

min_version("9.27")


# A --configfile with rows is a whole study and replaces config.yaml; without rows it overlays it.
if "rows" not in config:

    configfile: Path(workflow.current_basedir) / "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/code.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        "results/rows.checked.json",
        of_runs(paths.METRICS),
        JOBS.kept_files(),
        RESULTS,
        list(map(code_file, CODE)),
    localrule: True
