# Which code each program runs, as a file with the checksum in its name. After an edit, what the
# program computed is stale, also where Snakemake's own records were deleted. Copying or moving the
# folder changes nothing.


rule code:
    output:
        "results/code/{program}-{sha256}.json",
    log:
        "logs/code/{program}-{sha256}.log",
    wildcard_constraints:
        program="[a-z_.]+",
        sha256="[0-9a-f]{12}",
    priority: 1  # for the check
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        line=lambda wildcards: as_json(
            code_of.Code(wildcards.program, CODE[wildcards.program])
        ),
        # the files of earlier code: if that code comes back, its file must be new
        older=lambda wildcards: f"results/code/{wildcards.program}-*.json",
    shell:
        f"rm -f {{params.older}}; {WRITE_LINE}"
