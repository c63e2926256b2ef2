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
        paths.ANSWER.format(file="table.md"),
        paths.ANSWER.format(file="table.tex"),
        paths.ANSWER.format(file="classes.csv"),
        paths.ANSWER.format(file="interpretation.md"),
        paths.ANSWER.format(file="summary.txt"),
        report(
            paths.ANSWER.format(file="index.html"),
            "../report/page.rst",
            category="Answers",
            labels={"page": "table, answers and figures"},
        ),
        report(
            paths.ANSWER.format(file="table.csv"),
            "../report/table.rst",
            category="Numbers",
            labels={"numbers": "table"},
        ),
        report(
            paths.ANSWER.format(file="comparisons.csv"),
            "../report/comparisons.rst",
            category="Numbers",
            labels={"numbers": "comparisons"},
        ),
        report(
            paths.ANSWER.format(file="errors.csv"),
            "../report/errors.rst",
            category="Numbers",
            labels={"numbers": "errors"},
        ),
        report(
            paths.ANSWER.format(file="figures/accuracies.svg"),
            "../report/accuracies.rst",
            category="Figures",
            labels={"figure": "accuracies"},
        ),
        report(
            paths.ANSWER.format(file="figures/accuracy_and_time.svg"),
            "../report/accuracy_and_time.rst",
            category="Figures",
            labels={"figure": "accuracy and time"},
        ),
        report(
            paths.ANSWER.format(file="figures/differences.svg"),
            "../report/differences.rst",
            category="Figures",
            labels={"figure": "differences"},
        ),
        report(
            paths.ANSWER.format(file="figures/learning_curves.svg"),
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
