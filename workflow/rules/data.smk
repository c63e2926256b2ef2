# The texts: fetched or generated, split, encoded.
if isinstance(STUDY.dataset, Generated):

    rule collection:
        input:
            code=code("data.generate"),
        output:
            paths.COLLECTION,
        log:
            "logs/data/collection.log",
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            **said({"": {"dataset": {"generated": STUDY.dataset.generated}}}),
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
            paths.COLLECTION,
        log:
            "logs/data/collection.log",
        priority: 1
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            # without addresses: another URL for the same checksum makes nothing stale
            **said({"": {"dataset": STUDY.dataset.identity}}),
            dataset=lambda wildcards, output: as_json(STUDY.dataset),
            identity=lambda wildcards: identities.of_texts(STUDY, CHECKSUMS),
        shell:
            "python -m ablations.sources.collection --dataset {params.dataset:q} --output {output}"
            " --log {log}"


if isinstance(STUDY.tokenizer, str):

    rule vocabulary:
        input:
            code=code("data.tokenizer"),
        output:
            expand(paths.TOKENIZER, file=["vocab.bpe", "encoder.json"]),
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
            expand(paths.TOKENIZER, file=["merges.txt", "vocab.json"]),
        log:
            "logs/data/vocabulary.log",
        localrule: True
        conda:
            "../envs/ablations.yaml"
        params:
            **said({"": {"tokenizer": STUDY.tokenizer}}),
            source=lambda wildcards, output: (
                ["--folder", STUDY.tokenizer.path]
                if isinstance(STUDY.tokenizer, Folder)
                else ["--hub", as_json(STUDY.tokenizer)]
            ),
            identity=lambda wildcards: identities.of_tokenizer(STUDY, CHECKSUMS),
            folder=subpath(output[0], parent=True),
        shell:
            "python -m ablations.data.tokenizer {params.source:q} --output-dir {params.folder}"
            " --log {log}"


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
        dataset=lambda wildcards, output: as_json(STUDY.dataset.reading),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m ablations.data.split --collection {input.collection}"
        " --dataset {params.dataset:q} --output-dir {params.folder}"
        " --log {log}"


TOKENIZER = STUDY.tokenizer if isinstance(STUDY.tokenizer, str) else "own"
# encoder.json is too large for Snakemake to compare by content; its checksum is pinned
VOCABULARY = {
    "gpt2": {
        "merges": paths.TOKENIZER.format(file="vocab.bpe"),
        "encoder": ancient(paths.TOKENIZER.format(file="encoder.json")),
    },
    "bytes": {},
    "own": {
        "merges": paths.TOKENIZER.format(file="merges.txt"),
        "encoder": paths.TOKENIZER.format(file="vocab.json"),
    },
}[TOKENIZER]


rule tokens:
    input:
        **VOCABULARY,
        collection=paths.COLLECTION,
        splits=rules.split.output,
        code=code("data.encode"),
    output:
        paths.TOKENS,
    log:
        "logs/data/tokens.log",
    priority: 1
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **said({"": {"tokenizer": TOKENIZER}}),
        tokenizer=lambda wildcards, output: TOKENIZER,
        # the folder of the tokenizer's files, where there are any
        vocabulary=lambda wildcards, input: [
            f"--vocabulary-dir={os.path.dirname(file)}"
            for file in vocabulary(wildcards, input)[:1]
        ],
        folder=subpath(output[0], parent=True),
    shell:
        "python -m ablations.data.encode --tokenizer {params.tokenizer}"
        " {params.vocabulary} --data-dir {params.folder}"
        " --collection {input.collection} --output {output} --log {log}"
