# From finished runs to table, interpretation, figures and report.


report: "../report/workflow.rst"


rule answers:
    input:
        study=paths.OUTLINE,
        rows=expand(paths.ROW, row=JOBS.rows),
        metrics=JOBS.of_runs(paths.METRICS),
        predictions=JOBS.of_runs(paths.PREDICTIONS),
        texts=rules.split.output,
        tokens=paths.TOKENS,
        code=code("answers.write"),
    output:
        "results/table.md",
        "results/table.tex",
        "results/classes.csv",
        "results/interpretation.md",
        "results/summary.txt",
        report(
            "results/index.html",
            "../report/page.rst",
            category="Answers",
            labels={"page": "table, answers and figures"},
        ),
        report(
            "results/table.csv",
            "../report/table.rst",
            category="Numbers",
            labels={"numbers": "table"},
        ),
        report(
            "results/comparisons.csv",
            "../report/comparisons.rst",
            category="Numbers",
            labels={"numbers": "comparisons"},
        ),
        report(
            "results/errors.csv",
            "../report/errors.rst",
            category="Numbers",
            labels={"numbers": "errors"},
        ),
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
        "logs/answers.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        results=subpath(input.study, parent=True),
        output=subpath(output[0], parent=True),
    shell:
        "python -m ablations.answers.write --results {params.results:q}"
        " --output {params.output:q} --log {log:q}"
