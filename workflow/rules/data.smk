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
            python=python,
            messages=lambda wildcards, output: STUDY.dataset.generated.messages,
            seed=lambda wildcards, output: STUDY.dataset.generated.seed,
        shell:
            "{params.python} -m ablations.data.generate"
            " --messages {params.messages} --seed {params.seed}"
            " --output {output:q} --log {log:q}"

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
            **said({"": {"dataset": STUDY.dataset.identity}}),
            python=python,
            # without addresses: another URL for the same checksum makes nothing stale
            dataset=lambda wildcards, output: as_json(STUDY.dataset),
            identity=lambda wildcards: identities.of_texts(STUDY, CHECKSUMS),
        shell:
            "{params.python} -m ablations.sources.collection"
            " --dataset {params.dataset:q} --output {output:q}"
            " --log {log:q}"


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
            python=python,
            folder=subpath(output[0], parent=True),
        shell:
            "{params.python} -m ablations.data.tokenizer"
            " --output-dir {params.folder:q} --log {log:q}"

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
            python=python,
            source=lambda wildcards, output: (
                ["--folder", STUDY.tokenizer.path]
                if isinstance(STUDY.tokenizer, Folder)
                else ["--hub", as_json(STUDY.tokenizer)]
            ),
            identity=lambda wildcards: identities.of_tokenizer(STUDY, CHECKSUMS),
            folder=subpath(output[0], parent=True),
        shell:
            "{params.python} -m ablations.data.tokenizer"
            " {params.source:q} --output-dir {params.folder:q}"
            " --log {log:q}"


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
        python=python,
        tokenizer=lambda wildcards, output: TOKENIZER,
        # the folder of the tokenizer's files, where there are any
        vocabulary=lambda wildcards, input: [
            f"--vocabulary-dir={os.path.dirname(file)}"
            for file in vocabulary(wildcards, input)[:1]
        ],
        folder=subpath(output[0], parent=True),
    shell:
        "{params.python} -m ablations.data.encode --tokenizer {params.tokenizer}"
        " {params.vocabulary:q} --data-dir {params.folder:q}"
        " --collection {input.collection:q} --output {output:q} --log {log:q}"
