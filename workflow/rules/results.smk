# From finished runs to table, interpretation, figures and report.


report: "../report/workflow.rst"


# The input of every rule below that reads finished runs.
FINISHED = {
    "study": paths.OUTLINE,
    "rows": expand(paths.ROW, row=JOBS.rows),
    "metrics": JOBS.of_runs(paths.METRICS),
    "predictions": JOBS.of_runs(paths.PREDICTIONS),
    "texts": rules.split.output,
    "tokens": paths.TOKENS,
}


RESULTS = [
    "results/table.md",
    "results/table.csv",
    "results/table.tex",
    "results/classes.csv",
    "results/interpretation.md",
    "results/comparisons.csv",
    "results/errors.csv",
    "results/figures/accuracies.svg",
    "results/figures/accuracy_and_time.svg",
    "results/figures/differences.svg",
    "results/figures/learning_curves.svg",
    "results/index.html",
]


rule table:
    input:
        **FINISHED,
        code=code("answers.table"),
    output:
        markdown="results/table.md",
        csv=report(
            "results/table.csv",
            "../report/table.rst",
            category="Numbers",
            labels={"numbers": "table"},
        ),
        tex="results/table.tex",
        classes="results/classes.csv",
    log:
        "logs/table.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        results=subpath(input.study, parent=True),
    shell:
        "python -m ablations.answers.table --results {params.results} --markdown {output.markdown}"
        " --csv {output.csv} --tex {output.tex} --classes {output.classes} --log {log}"


rule interpretation:
    input:
        **FINISHED,
        code=code("answers.interpretation"),
    output:
        markdown="results/interpretation.md",
        csv=report(
            "results/comparisons.csv",
            "../report/comparisons.rst",
            category="Numbers",
            labels={"numbers": "comparisons"},
        ),
    log:
        "logs/interpretation.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        results=subpath(input.study, parent=True),
    shell:
        "python -m ablations.answers.interpretation --results {params.results}"
        " --markdown {output.markdown} --csv {output.csv} --log {log}"


rule misclassified:
    input:
        **FINISHED,
        code=code("answers.misclassified"),
    output:
        report(
            "results/errors.csv",
            "../report/errors.rst",
            category="Numbers",
            labels={"numbers": "errors"},
        ),
    log:
        "logs/misclassified.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        results=subpath(input.study, parent=True),
    shell:
        "python -m ablations.answers.misclassified --results {params.results}"
        " --output {output} --log {log}"


rule figures:
    input:
        **FINISHED,
        code=code("answers.figures"),
    output:
        report(
            "results/figures/accuracies.svg",
            "../report/accuracies.rst",
            category="Figures",
            labels={"figure": "accuracies"},
        ),
        report(
            "results/figures/accuracy_and_time.svg",
            "../report/accuracy_and_time.rst",
            category="Figures",
            labels={"figure": "accuracy and time"},
        ),
        report(
            "results/figures/differences.svg",
            "../report/differences.rst",
            category="Figures",
            labels={"figure": "differences"},
        ),
        report(
            "results/figures/learning_curves.svg",
            "../report/learning_curves.rst",
            category="Figures",
            labels={"figure": "learning curves"},
        ),
    log:
        "logs/figures.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        results=subpath(input.study, parent=True),
        folder=subpath(output[0], parent=True),
    shell:
        "python -m ablations.answers.figures --results {params.results}"
        " --output {params.folder} --log {log}"


rule page:
    input:
        **FINISHED,
        figures=rules.figures.output,
        code=code("answers.page"),
    output:
        report(
            "results/index.html",
            "../report/page.rst",
            category="Answers",
            labels={"page": "table, answers and figures"},
        ),
    log:
        "logs/page.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        results=subpath(input.study, parent=True),
        figures=lambda wildcards, input: os.path.dirname(input.figures[0]),
    shell:
        "python -m ablations.answers.page --results {params.results}"
        " --figures {params.figures} --output {output} --log {log}"
