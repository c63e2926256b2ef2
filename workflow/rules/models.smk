# One checkpoint per model: fetched, linked from the user's folder, or pretrained here.
from ablations.config import Folder, Hub, Pretrain


def models_from(source):
    """The models that come from this kind of source, as a wildcard's pattern."""
    slugs = [re.escape(slug) for slug, model in MODELS.items() if isinstance(model.source, source)]
    return "|".join(slugs) or "(?!)"


def expected_shape(wildcards):
    """A model's dimensions as options."""
    dimensions = vars(MODELS[wildcards.model].dimensions)
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in dimensions.items())


rule checkpoint_from_hub:
    localrule: True
    input:
        code=code("checkpoint", "cli", "errors", "files", "weights"),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    wildcard_constraints:
        model=models_from(Hub),
    params:
        repo=lambda wildcards: MODELS[wildcards.model].source.repo,
        revision=lambda wildcards: MODELS[wildcards.model].source.revision,
        sha256=lambda wildcards: MODELS[wildcards.model].source.sha256 or "",
        shape=expected_shape,
    conda:
        "../envs/ablations.yaml"
    shell:
        "python -m ablations.checkpoint hub --repo {params.repo} --revision {params.revision}"
        " --sha256 {params.sha256} {params.shape} --output {output} --log {log}"


rule checkpoint_from_folder:
    localrule: True
    input:
        code=code("checkpoint", "cli", "errors", "files", "weights"),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    wildcard_constraints:
        model=models_from(Folder),
    params:
        path=lambda wildcards: MODELS[wildcards.model].source.path,
        # by content, since a touched file of this size would count as changed
        identity=lambda wildcards: folder_identity(MODELS[wildcards.model].source.path),
        shape=expected_shape,
    conda:
        "../envs/ablations.yaml"
    shell:
        "python -m ablations.checkpoint folder --path {params.path:q} {params.shape}"
        " --output {output} --log {log}"


rule pretrain:
    input:
        tokens="results/data/tokens.safetensors",
        code=code("pretrain", *TRUNK_CODE),
    output:
        "results/checkpoints/{model}/manifest.json",
    log:
        "logs/checkpoints/{model}.log",
    benchmark:
        "benchmarks/pretrain/{model}.tsv"
    wildcard_constraints:
        model=models_from(Pretrain),
    params:
        settings=lambda wildcards: as_json(asdict(MODELS[wildcards.model])),
    threads: workflow.cores
    resources:
        gpu=1,
    conda:
        "../envs/ablations.yaml"
    shell:
        "python -m ablations.pretrain --settings {params.settings:q} --tokens {input.tokens}"
        " --threads {threads} --output {output} --log {log}"
