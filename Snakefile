# Finetuning ablations of GPT-2: the rows of config.yaml, from download to interpretation.
from snakemake.utils import min_version

min_version("9.27")


include: "workflow/rules/study.smk"
include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/references.smk"
include: "workflow/rules/results.smk"
include: "workflow/rules/stated.smk"


rule all:
    default_target: True
    input:
        paths.CHECKED,
        JOBS.of_runs(paths.METRICS),
        JOBS.of_references(),
        JOBS.kept_files(),
        rules.answers.output,
        list(map(code_file, CODE)),
    localrule: True
