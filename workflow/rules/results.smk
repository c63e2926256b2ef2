# From finished runs to table, interpretation, figures and report.


report: "../report/workflow.rst"


rule answers:
    input:
        study=paths.OUTLINE,
        rows=expand(paths.ROW, row=JOBS.rows),
        metrics=JOBS.of_runs(paths.METRICS),
        references=JOBS.of_references(),
        predictions=JOBS.of_runs(paths.PREDICTIONS),
        texts=rules.split.output,
        collection=paths.COLLECTION,
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
        *(
            report(
                paths.ANSWER.format(file=f"{name}.csv"),
                f"../report/{name}.rst",
                category="Numbers",
                labels={"numbers": name},
            )
            for name in ("table", "comparisons", "errors")
        ),
        *(
            report(
                paths.ANSWER.format(file=f"figures/{name}.svg"),
                f"../report/{name}.rst",
                category="Figures",
                labels={"figure": name.replace("_", " ")},
            )
            for name in (
                "accuracies",
                "accuracy_and_time",
                "differences",
                "learning_curves",
            )
        ),
        *(
            report(
                paths.ANSWER.format(file=f"figures/{grid.figure}.svg"),
                "../report/grid.rst",
                category="Figures",
                labels={"figure": f"{grid.id}, {grid.across}"},
            )
            for grid in STUDY.grids
            if grid.across
        ),
    log:
        "logs/answers.log",
    localrule: True
    conda:
        "../envs/ablations.yaml"
    params:
        python=python,
        results=subpath(input.study, parent=True),
        output=subpath(output[0], parent=True),
    shell:
        "{params.python} -m ablations.answers.write --results {params.results:q}"
        " --output {params.output:q} --log {log:q}"
