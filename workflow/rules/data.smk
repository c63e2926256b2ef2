# The texts: fetched or generated, split, encoded.
if isinstance(STUDY.dataset, Generated):

    rule collection:
        input:
            code=code("data.generate"),
        output:
            "results/data/collection.json",
        log:
            "logs/data/collection.log",
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            **stated({"": {"dataset": {"generated": STUDY.dataset.generated}}}),
            messages=lambda wildcards, output: STUDY.dataset.generated.messages,
            seed=lambda wildcards, output: STUDY.dataset.generated.seed,
        shell:
            "python -m ablations.data.generate --messages {params.messages} --seed {params.seed}"
            " --output {output} --log {log}"

else:

    rule collection:
        input:
            code=code("sources.collection"),
        output:
            "results/data/collection.json",
        log:
            "logs/data/collection.log",
        priority: 1
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            # without addresses: another URL for the same checksum makes nothing stale
            **stated({"": {"dataset": STUDY.dataset.identity}}),
            dataset=lambda wildcards, output: as_json(STUDY.dataset),
            identity=texts_identity,
        shell:
            "python -m ablations.sources.collection --dataset {params.dataset:q} --output {output}"
            " --log {log}"


if isinstance(STUDY.tokenizer, str):

    rule vocabulary:
        input:
            code=code("data.tokenizer"),
        output:
            "results/tokenizer/vocab.bpe",
            "results/tokenizer/encoder.json",
        log:
            "logs/data/vocabulary.log",
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            folder=subpath(output[0], parent=True),
        shell:
            "python -m ablations.data.tokenizer --output-dir {params.folder} --log {log}"

else:

    rule vocabulary:
        input:
            code=code("data.tokenizer"),
        output:
            "results/tokenizer/merges.txt",
            "results/tokenizer/vocab.json",
        log:
            "logs/data/vocabulary.log",
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            **stated({"": {"tokenizer": STUDY.tokenizer}}),
            source=lambda wildcards, output: tokenizer_source(STUDY.tokenizer),
            identity=tokenizer_identity(STUDY.tokenizer),
            folder=subpath(output[0], parent=True),
        shell:
            "python -m ablations.data.tokenizer {params.source:q} --output-dir {params.folder}"
            " --log {log}"


rule split:
    input:
        collection="results/data/collection.json",
        code=code("data.split"),
    output:
        "results/data/train.csv",
        "results/data/validation.csv",
        "results/data/test.csv",
        "results/data/classes.json",
        "results/data/notes.json",
    log:
        "logs/data/split.log",
    # before models are downloaded: most mistakes in a user's texts are found here
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **stated({"": {"dataset": STUDY.dataset.reading}}),
        dataset=lambda wildcards, output: as_json(STUDY.dataset.reading),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m ablations.data.split --collection {input.collection}"
        " --dataset {params.dataset:q} --output-dir {params.folder}"
        " --log {log}"


# encoder.json is too large for Snakemake to compare by content; its checksum is pinned
VOCABULARY = {
    "gpt2": {
        "merges": "results/tokenizer/vocab.bpe",
        "encoder": ancient("results/tokenizer/encoder.json"),
    },
    "bytes": {},
    "own": {
        "merges": "results/tokenizer/merges.txt",
        "encoder": "results/tokenizer/vocab.json",
    },
}[TOKENIZER]


rule tokens:
    input:
        **VOCABULARY,
        collection="results/data/collection.json",
        splits=rules.split.output,
        code=code("data.encode"),
    output:
        "results/data/tokens.safetensors",
    log:
        "logs/data/tokens.log",
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **stated({"": {"tokenizer": TOKENIZER}}),
        tokenizer=lambda wildcards, output: TOKENIZER,
        folder=subpath(output[0], parent=True),
    shell:
        "python -m ablations.data.encode --tokenizer {params.tokenizer}"
        " --vocabulary-dir results/tokenizer --data-dir {params.folder}"
        " --collection {input.collection} --output {output} --log {log}"
