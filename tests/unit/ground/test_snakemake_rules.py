"""What rules share, in a workflow of one rule that needs no model and no data."""

from pathlib import Path

import tiny
from commands import ROOT, snakemake

SNAKEFILE = """
include: "{root}/workflow/rules/study.smk"
include: "{root}/workflow/rules/common.smk"


rule probe:
    output:
        "done.txt",
    retries: 2
    resources:
        **estimated(lambda wildcards: jobs.Needs(1000, 500, seconds=0)),
    shell:
        "echo {{resources.mem_mb}} {{resources.runtime}} >> asked.txt;"
        " test $(wc -l < asked.txt) = 3; touch {{output}}"
"""


def test_each_further_attempt_is_given_more_memory_and_time(tmp_path: Path) -> None:
    """As a cluster's queue is asked; the job fails twice."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(root=ROOT))
    study = tiny.config(tmp_path)
    snakemake(tmp_path, "--configfile", study, "--cores", 1, "probe", root=tmp_path)
    assert (tmp_path / "asked.txt").read_text().split("\n") == ["1000 15", "2000 30", "3000 45", ""]
