# One checkpoint per model: fetched, linked from the user's folder, or pretrained here.


rule model:
    output:
        "results/checkpoints/{model}.json",
    log:
        "logs/checkpoints/{model}.settings.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        line=lambda wildcards: as_json(MODELS[wildcards.model]),
    shell:
        WRITE_LINE


rule checkpoint:
    input:
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
    shell:
        "python -m ablations.model.fetch --model {input.model} --output {output} --log {log}"


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
        **estimated(needs_of_pretraining),
        gpu=1,
    shell:
        "python -m ablations.model.pretrain --model {input.model} --tokens {input.tokens}"
        " --threads {threads} --output {output} --log {log}"
