# Finetuning ablations of GPT-2: the rows of config.yaml, from download to interpretation.
from snakemake.utils import min_version

min_version("9.27")


# --configfile replaces config.yaml; with a `configfile:` directive alone it would be merged into it.
if not workflow.config_settings.configfiles:

    configfile: Path(workflow.current_basedir) / "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/training.smk"
include: "workflow/rules/results.smk"


rule all:
    default_target: True
    input:
        run_files("metrics.json"),
        RESULTS,
    localrule: True
