# One checkpoint per model: fetched, linked from the user's folder, or pretrained here; and the
# trained model of each run that is kept.


rule checkpoint:
    input:
        tokenizer=JOBS.tokenizer_of_gpt2,
        model=paths.MODEL,
        code=code("model.fetch"),
    output:
        paths.CHECKPOINT,
    log:
        "logs/checkpoints/{model}.log",
    wildcard_constraints:
        model=only(JOBS.models, lambda model: not model.pretrain),
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        python=python,
        identity=lambda wildcards: identities.of_model(
            JOBS.models[wildcards.model], CHECKSUMS
        ),
    shell:
        "{params.python} -m ablations.model.fetch"
        " --model {input.model:q} --tokenizer {input.tokenizer:q}"
        " --output {output:q} --log {log:q}"


rule pretrain:
    input:
        model=paths.MODEL,
        tokens=JOBS.tokens,
        code=code("model.pretrain"),
    output:
        paths.CHECKPOINT,
    log:
        "logs/checkpoints/{model}.log",
    benchmark:
        "benchmarks/pretrain/{model}.tsv"
    wildcard_constraints:
        model=only(JOBS.models, lambda model: model.pretrain),
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(JOBS.needs_of_pretraining),
        gpu=1,
    params:
        python=python,
    shell:
        "{params.python} -m ablations.model.pretrain"
        " --model {input.model:q} --tokens {input.tokens:q}"
        " --threads {threads} --output {output:q} --log {log:q}"


rule kept_model:
    input:
        tokenizer=JOBS.tokenizer,
        row=paths.ROW,
        tokens=JOBS.tokens,
        model=JOBS.model_file,
        checkpoint=JOBS.checkpoint,
        trained=paths.TRAINED,
        metrics=paths.METRICS,
        predictions=paths.PREDICTIONS,
        code=code("kept.write"),
    output:
        expand(paths.KEPT, file=jobs.KEPT_FILES[:-1], allow_missing=True),
        manifest=expand(paths.KEPT, file=jobs.KEPT_FILES[-1], allow_missing=True),
    log:
        "logs/models/{row}/{run}.log",
    wildcard_constraints:
        row=only(JOBS.rows, lambda row: row.save_model),
    conda:
        "../envs/ablations.yaml"
    resources:
        **estimated(JOBS.needs_of_run),
    params:
        **said(
            {
                id: {
                    "dataset": STUDY.dataset.description,
                    "reading": STUDY.dataset.reading,
                    "notes": STUDY.notes_about(row),
                }
                for id, row in JOBS.rows.items()
                if row.save_model
            },
            lambda wildcards: wildcards.row,
        ),
        python=python,
        run=lambda wildcards, output: JOBS.run(wildcards).options,
        data=lambda wildcards, output: STUDY.dataset.description,
        dataset=lambda wildcards, output: as_json(STUDY.dataset.reading),
        notes=lambda wildcards, output: STUDY.notes_about(JOBS.rows[wildcards.row]),
    shell:
        "{params.python} -m ablations.kept.write --row {input.row:q} {params.run}"
        " --tokens {input.tokens:q} --model {input.model:q} --checkpoint {input.checkpoint:q}"
        " --trained {input.trained:q} --metrics {input.metrics:q}"
        " --predictions {input.predictions:q}"
        " --tokenizer {input.tokenizer:q} --data {params.data:q}"
        " --dataset {params.dataset:q} --note {params.notes:q}"
        " --output {output.manifest:q} --log {log:q}"
