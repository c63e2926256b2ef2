# The references: each counts in the texts and is trained on all folds, a job of seconds.
OF_REFERENCE = expand(paths.REFERENCE, file=JOBS.reference_files, allow_missing=True)


rule reference:
    input:
        texts=paths.TEXTS,
        classes=paths.CLASSES,
        collection=paths.COLLECTION,
        code=code("references.run"),
    output:
        OF_REFERENCE,
    log:
        "logs/references/{reference}.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        python=python,
        folder=beside(OF_REFERENCE[0], paths.REFERENCES),
    shell:
        "{params.python} -m ablations.references.run --reference {wildcards.reference}"
        " --texts {input.texts:q} --classes {input.classes:q} --collection {input.collection:q}"
        " --output-dir {params.folder:q} --log {log:q}"
