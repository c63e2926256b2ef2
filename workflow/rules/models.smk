# One checkpoint per model: fetched, linked from the user's folder, or pretrained here; and the
# trained model of each run that is kept.


rule model:
    output:
        "results/checkpoints/{model}.json",
    log:
        "logs/checkpoints/{model}.settings.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **lines(JOBS.models, lambda wildcards: wildcards.model),
    shell:
        WRITE_LINE


rule checkpoint:
    input:
        **VOCABULARY,
        model="results/checkpoints/{model}.json",
        code=code("model.fetch"),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    wildcard_constraints:
        model=slugs(lambda model: not model.pretrain),
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        identity=folder_identity,
        vocabulary=vocabulary_files,
    shell:
        "python -m ablations.model.fetch --model {input.model} --vocabulary {params.vocabulary}"
        " --output {output} --log {log}"


rule pretrain:
    input:
        model="results/checkpoints/{model}.json",
        tokens="results/data/tokens.safetensors",
        code=code("model.pretrain"),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    benchmark:
        "benchmarks/pretrain/{model}.tsv"
    wildcard_constraints:
        model=slugs(lambda model: model.pretrain),
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(JOBS.needs_of_pretraining),
        gpu=1,
    shell:
        "python -m ablations.model.pretrain --model {input.model} --tokens {input.tokens}"
        " --threads {threads} --output {output} --log {log}"


rule kept_model:
    input:
        **VOCABULARY,
        row="results/rows/{row}.json",
        tokens="results/data/tokens.safetensors",
        model=lambda wildcards: f"results/checkpoints/{JOBS.rows[wildcards.row].model.slug}.json",
        checkpoint=checkpoint_of_run,
        trained="results/runs/{row}/seed-{seed}/trained.safetensors",
        metrics="results/runs/{row}/seed-{seed}/metrics.json",
        predictions="results/runs/{row}/seed-{seed}/predictions.csv",
        code=code("kept.write"),
    output:
        expand(paths.KEPT, file=jobs.KEPT_FILES[:-1], allow_missing=True),
        manifest="results/models/{row}/seed-{seed}/manifest.json",
    log:
        "logs/models/{row}/seed-{seed}.log",
    conda:
        "../envs/ablations.yaml"
    resources:
        **estimated(JOBS.needs_of_run),
    params:
        **stated(
            {
                id: {
                    "dataset": STUDY.dataset.description,
                    "notes": STUDY.notes_about(row),
                }
                for id, row in JOBS.rows.items()
            },
            lambda wildcards: wildcards.row,
        ),
        vocabulary=vocabulary_files,
        data=lambda wildcards, output: STUDY.dataset.description,
        notes=lambda wildcards, output: STUDY.notes_about(JOBS.rows[wildcards.row]),
    shell:
        "python -m ablations.kept.write --row {input.row} --seed {wildcards.seed}"
        " --tokens {input.tokens} --model {input.model} --checkpoint {input.checkpoint}"
        " --trained {input.trained} --metrics {input.metrics} --predictions {input.predictions}"
        " --vocabulary {params.vocabulary} --data {params.data:q} --note {params.notes:q}"
        " --output {output.manifest} --log {log}"
