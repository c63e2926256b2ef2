# One job per run, and one per trunk that runs share.


rule row:
    output:
        "results/rows/{row}.json",
    log:
        "logs/rows/{row}.log",
    # A job reads its row from this file, never from the config. So an edit of the config does not
    # reach jobs that are queued.
    priority: 1  # for the check
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **lines(
            {id: row.settings for id, row in JOBS.rows.items()},
            lambda wildcards: wildcards.row,
        ),
    shell:
        WRITE_LINE


rule check:
    input:
        rows=[f"results/rows/{row}.json" for row in sorted(JOBS.rows)],
        tokens="results/data/tokens.safetensors",
        code=code("training.check"),
    output:
        "results/rows.checked.json",
    log:
        "logs/check.log",
    # No job takes its output as input: then a new row would make all other rows stale. The priority
    # puts it before the jobs that compute.
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    shell:
        "python -m ablations.training.check --rows {input.rows} --tokens {input.tokens}"
        ' --cache-gb "$ABLATIONS_CACHE_GB" --output {output} --log {log}'


rule trunk_settings:
    output:
        "results/trunks/{trunk}.settings.json",
    log:
        "logs/trunks/{trunk}.settings.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **lines(JOBS.trunks, lambda wildcards: wildcards.trunk),
    shell:
        WRITE_LINE


rule trunk:
    input:
        settings="results/trunks/{trunk}.settings.json",
        tokens="results/data/tokens.safetensors",
        checkpoint=checkpoint_of_trunk,
        code=code("training.trunk"),
    output:
        "results/trunks/{trunk}.json",
    log:
        "logs/trunks/{trunk}.log",
    benchmark:
        "benchmarks/trunks/{trunk}.tsv"
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(JOBS.needs_of_trunk),
        gpu=1,
    shell:
        "python -m ablations.training.trunk --settings {input.settings} --tokens {input.tokens}"
        ' --checkpoint {input.checkpoint} --code {input.code} --cache "$ABLATIONS_CACHE_DIR"'
        " --threads {threads} --output {output} --log {log}"


rule train:
    input:
        row="results/rows/{row}.json",
        tokens="results/data/tokens.safetensors",
        checkpoint=checkpoint_of_run,
        trunk=trunk_of_run,
        code=code("training.run"),
    output:
        metrics="results/runs/{row}/seed-{seed}/metrics.json",
        predictions="results/runs/{row}/seed-{seed}/predictions.csv",
        history="results/runs/{row}/seed-{seed}/history.csv",
    log:
        "logs/train/{row}/seed-{seed}.log",
    benchmark:
        "benchmarks/train/{row}/seed-{seed}.tsv"
    wildcard_constraints:
        row=rows(lambda row: not row.save_model),
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(JOBS.needs_of_run),
        gpu=1,
    params:
        folder=subpath(output.metrics, parent=True),
        # not an output: Snakemake would delete it with a failed job
        state="results/state/{row}/seed-{seed}.safetensors",
        # what an earlier training kept: it must not stay beside the new results
        old=[
            "results/runs/{row}/seed-{seed}/trained.safetensors",
            "results/models/{row}/seed-{seed}",
        ],
        # Snakemake does not compare what takes `output`: a row that is no longer kept is not rerun
        keep=lambda wildcards, output: "--keep" if "trained" in output.keys() else "",
    shell:
        "rm -rf {params.old}; python -m ablations.training.run --row {input.row} --seed {wildcards.seed}"
        " --tokens {input.tokens} --checkpoint {input.checkpoint} --trunk {input.trunk}"
        ' --code {input.code} --cache "$ABLATIONS_CACHE_DIR"'
        " --threads {threads} --state {params.state} {params.keep} --output-dir {params.folder}"
        " --log {log}"


use rule train as train_and_keep with:
    output:
        metrics="results/runs/{row}/seed-{seed}/metrics.json",
        predictions="results/runs/{row}/seed-{seed}/predictions.csv",
        history="results/runs/{row}/seed-{seed}/history.csv",
        trained="results/runs/{row}/seed-{seed}/trained.safetensors",
    wildcard_constraints:
        row=rows(lambda row: row.save_model),
