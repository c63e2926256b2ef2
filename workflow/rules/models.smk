# One checkpoint per model: fetched, linked from the user's folder, or pretrained here.
from dataclasses import asdict


rule checkpoint_from_hub:
    input:
        code=code("checkpoint", "cli", "cut", "download", "errors", "files", "weights"),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    wildcard_constraints:
        model=models_from(Hub),
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        repo=lambda wildcards: MODELS[wildcards.model].source.repo,
        revision=lambda wildcards: MODELS[wildcards.model].source.revision,
        sha256=pinned_sha256,
        shape=expected_shape,
    shell:
        "python -m ablations.checkpoint hub --repo {params.repo} --revision {params.revision}"
        " {params.sha256} {params.shape} --output {output} --log {log}"


rule checkpoint_from_folder:
    input:
        code=code("checkpoint", "cli", "cut", "download", "errors", "files", "weights"),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    wildcard_constraints:
        model=models_from(Folder),
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        path=lambda wildcards: MODELS[wildcards.model].source.path,
        identity=folder_identity,
        shape=expected_shape,
    shell:
        "python -m ablations.checkpoint folder --path {params.path:q} {params.shape}"
        " --output {output} --log {log}"


rule pretrain:
    input:
        tokens="results/data/tokens.safetensors",
        code=code("pretrain", *MODEL_CODE),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    benchmark:
        "benchmarks/pretrain/{model}.tsv"
    wildcard_constraints:
        model=models_from(Pretrain),
    conda:
        "../envs/ablations.yaml"
    threads: THREADS
    resources:
        **estimated(needs_of_pretraining),
        gpu=1,
    params:
        settings=lambda wildcards: as_json(asdict(MODELS[wildcards.model])),
    shell:
        "python -m ablations.pretrain --settings {params.settings:q} --tokens {input.tokens}"
        " --threads {threads} --output {output} --log {log}"
