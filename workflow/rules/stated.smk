# What jobs read of the configuration and of the code, each value a line in a file. So an edit of
# the config does not reach jobs that are queued; and after an edit of code, what its program
# computed is stale also where Snakemake's own records were deleted.
OUTLINE = STUDY.outline
STATED = {paths.stated(file): value for file, value in JOBS.stated().items()}
STATED |= {
    paths.stated(code_file(program)): code_of.Code(program, sha256)
    for program, sha256 in CODE.items()
}
TEXTS = said(STATED, lambda wildcards: wildcards.stated)


rule stated:
    input:
        no_input,
    output:
        paths.STATED,
    log:
        paths.STATED_LOG,
    wildcard_constraints:
        stated="|".join(map(re.escape, STATED)),
    priority: 1  # for the check
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        **TEXTS,
        line=lambda wildcards, output: as_json(STATED[wildcards.stated]),
        older=older_code,
    shell:
        # The report draws run times on a log scale, and a single time of zero would leave it
        # empty. So there is a pause, longer than one tick of the file system's clock.
        "rm -f {output:q} {params.older:q}; sleep 0.02; line={params.line:q};"
        " printf '%s\\n' \"$line\" > {output:q} 2> {log:q};"
        " printf '%s\\n' \"$line\" > {log:q}"


# A rule of its own because it says more than the others: each job of a rule pays for the rule's
# params. Those that it does not give anew are inherited, but not that it is local.
use rule stated as outline with:
    output:
        paths.OUTLINE,
    log:
        paths.STATED_LOG.format(stated=paths.stated(paths.OUTLINE)),
    localrule: True
    params:
        **said({"": OUTLINE}, least=len(TEXTS)),
        line=lambda wildcards, output: as_json(OUTLINE),
        older=[],
