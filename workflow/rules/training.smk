# One job per run, and one per trunk that runs share.


rule check:
    input:
        rows=expand(paths.ROW, row=sorted(JOBS.rows)),
        tokens=JOBS.tokens_of_rows(),
        code=code("training.check"),
    output:
        paths.CHECKED,
    log:
        "logs/check.log",
    # No job takes its output as input: then a new row would make all other rows stale. The priority
    # puts it before the jobs that compute.
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        python=python,
        cache_gb=lambda wildcards, output: STUDY.cache_gb,
    shell:
        "{params.python} -m ablations.training.check"
        " --rows {input.rows:q} --tokens {input.tokens:q}"
        " --cache-gb {params.cache_gb} --output {output:q} --log {log:q}"


rule trunk:
    input:
        settings=paths.TRUNK_SETTINGS,
        tokens=JOBS.tokens,
        checkpoint=JOBS.checkpoint,
        code=code("training.trunk"),
    output:
        paths.TRUNK,
    log:
        "logs/trunks/{trunk}.log",
    benchmark:
        "benchmarks/trunks/{trunk}.tsv"
    # the shallow ones first: a deeper one goes on from what the cache holds
    priority: lambda wildcards: -JOBS.trunks[wildcards.trunk].blocks
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(JOBS.needs_of_trunk),
        gpu=1,
    params:
        python=python,
        cache=cache(paths.TRUNK),
    shell:
        "{params.python} -m ablations.training.trunk"
        " --settings {input.settings:q} --tokens {input.tokens:q}"
        " --checkpoint {input.checkpoint:q} --code {input.code:q} {params.cache:q}"
        " --threads {threads} --output {output:q} --log {log:q}"


rule train:
    input:
        row=paths.ROW,
        tokens=JOBS.tokens,
        checkpoint=JOBS.checkpoint,
        trunk=JOBS.trunk_of_run,
        code=code("training.run"),
    output:
        metrics=paths.METRICS,
        predictions=paths.PREDICTIONS,
        history=paths.HISTORY,
    log:
        paths.RUN_LOG,
    benchmark:
        "benchmarks/train/{row}/{run}.tsv"
    wildcard_constraints:
        row=only(JOBS.rows, lambda row: not row.save_model),
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(JOBS.needs_of_run),
        gpu=1,
    params:
        python=python,
        run=lambda wildcards, output: JOBS.run(wildcards).options,
        folder=subpath(output.metrics, parent=True),
        cache=cache(paths.METRICS),
        # not an output: Snakemake would delete it with a failed job
        state=beside(paths.METRICS, paths.STATE),
        # what an earlier training kept: it must not stay beside the new results
        old=beside(
            paths.METRICS,
            paths.TRAINED,
            *expand(paths.KEPT, file=jobs.OLD_FILES, allow_missing=True),
        ),
        # Snakemake does not compare what takes `output`: a row that is no longer kept is not rerun
        keep=lambda wildcards, output: "--keep" if "trained" in output.keys() else "",
    shell:
        "rm -f {params.old:q}; {params.python} -m ablations.training.run --row {input.row:q}"
        " {params.run} --tokens {input.tokens:q} --checkpoint {input.checkpoint:q}"
        " --trunk {input.trunk:q} --code {input.code:q} {params.cache:q} --threads {threads}"
        " --state {params.state:q} {params.keep} --output-dir {params.folder:q} --log {log:q}"


use rule train as train_and_keep with:
    output:
        metrics=paths.METRICS,
        predictions=paths.PREDICTIONS,
        history=paths.HISTORY,
        trained=paths.TRAINED,
    wildcard_constraints:
        row=only(JOBS.rows, lambda row: row.save_model),
