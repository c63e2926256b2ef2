# The texts: fetched or generated, split, encoded.
COLLECTS = (
    "data.generate" if isinstance(STUDY.dataset, Generated) else "sources.collection"
)


rule collection:
    input:
        code=code(COLLECTS),
    output:
        paths.COLLECTION,
    log:
        "logs/data/collection.log",
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **said({"": {"dataset": STUDY.dataset.identity}}),
        python=python,
        program=lambda wildcards, output: COLLECTS,
        # without addresses: another URL for the same checksum makes nothing stale
        dataset=lambda wildcards, output: as_json(STUDY.dataset),
        identity=lambda wildcards: identities.of_texts(STUDY, CHECKSUMS),
    shell:
        "{params.python} -m ablations.{params.program} --dataset {params.dataset:q}"
        " --output {output:q} --log {log:q}"


rule tokenizer:
    input:
        code=code("sources.tokenizer"),
    output:
        paths.TOKENIZER,
    log:
        "logs/data/tokenizers/{tokenizer}.log",
    wildcard_constraints:
        tokenizer=only(JOBS.tokenizers, lambda source: source != "bytes"),
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **said(
            {name: {"tokenizer": source} for name, source in JOBS.tokenizers.items()},
            lambda wildcards: wildcards.tokenizer,
        ),
        python=python,
        source=lambda wildcards, output: source_of(JOBS.tokenizers[wildcards.tokenizer]),
        identity=lambda wildcards: identities.of_tokenizer(
            JOBS.tokenizers[wildcards.tokenizer], CHECKSUMS
        ),
    shell:
        "{params.python} -m ablations.sources.tokenizer"
        " {params.source:q} --output {output:q} --log {log:q}"


rule split:
    input:
        collection=paths.COLLECTION,
        code=code("data.split"),
    output:
        paths.TEXTS,
        paths.CLASSES,
        paths.NOTES,
    log:
        "logs/data/split.log",
    # before models are downloaded: most mistakes in a user's texts are found here
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **said({"": {"dataset": STUDY.dataset.reading}}),
        python=python,
        dataset=lambda wildcards, output: as_json(STUDY.dataset.reading),
        folder=subpath(output[0], parent=True),
    shell:
        "{params.python} -m ablations.data.split --collection {input.collection:q}"
        " --dataset {params.dataset:q} --output-dir {params.folder:q}"
        " --log {log:q}"


rule tokens:
    input:
        tokenizer=JOBS.tokenizer,
        collection=paths.COLLECTION,
        texts=paths.TEXTS,
        classes=paths.CLASSES,
        code=code("data.encode"),
    output:
        paths.TOKENS,
    log:
        "logs/data/tokens/{tokenizer}.log",
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        python=python,
    shell:
        "{params.python} -m ablations.data.encode --tokenizer {wildcards.tokenizer}"
        " --files {input.tokenizer:q} --texts {input.texts:q}"
        " --classes {input.classes:q} --collection {input.collection:q} --output {output:q} --log {log:q}"
