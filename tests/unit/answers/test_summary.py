"""What the make targets end with: the first table, a line for each answer, where to look next."""

from pathlib import Path

import synthetic_runs
from commands import program

TABLE = """# A title

> **Stand-ins.**

| # | Row |
|---|-----|
| 1 | baseline |

| further | table |
"""
HEADINGS = "seeds,variant,baseline,difference,difference_low,difference_high,verdict"
HEADINGS += ",equivalent,margin,confounded,claim,outcome"
ANSWERS = f"""{HEADINGS}
3,first-token,baseline,-0.268571,-0.357209,-0.176755,worse,false,0.02,false,worse,confirmed
3,random,baseline,0.0114,-0.034,0.059,no detectable difference,true,0.02,true,,
"""


def summary(folder: Path, answers: str = ANSWERS) -> list[str]:
    (folder / "table.md").write_text(TABLE)
    (folder / "comparisons.csv").write_text(answers)
    done = program("answers.summary", "--results", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_is_the_first_table_a_line_for_each_answer_and_where_to_look(tmp_path: Path) -> None:
    (tmp_path / "index.html").touch()
    assert summary(tmp_path) == [
        "A title",
        "",
        "Stand-ins.",
        "",
        "| # | Row |",
        "|---|-----|",
        "| 1 | baseline |",
        "",
        "first-token against baseline: −26.86 points (−35.72 to −17.68): worse;"
        " published as worse: confirmed",
        "random against baseline: +1.14 points (−3.40 to +5.90): no detectable difference,"
        " equivalent within ±2 points (they differ in more than one setting)",
        "",
        f"{tmp_path}/index.html: table, answers and figures on one page, for a browser",
        f"{tmp_path}/table.md: the whole table, and what to know before believing it",
    ]


def test_it_reads_what_the_interpretation_writes(tmp_path: Path) -> None:
    synthetic_runs.eight_rows(tmp_path)
    outputs = ["--markdown", tmp_path / "interpretation.md", "--csv", tmp_path / "comparisons.csv"]
    done = synthetic_runs.program(tmp_path, "interpretation", *outputs)
    assert done.returncode == 0, done.stderr
    said = summary(tmp_path, (tmp_path / "comparisons.csv").read_text())
    answers = [line for line in said if " against " in line]
    asked = synthetic_runs.configuration()["comparisons"]
    assert len(answers) == len(asked)
    claims = sum("claim" in question for question in asked)
    assert sum("; published as " in line for line in answers) == claims > 0
    assert any(line.startswith("random-weights against all-layers: ") for line in answers)


def test_ids_and_titles_are_shown_as_they_are(tmp_path: Path) -> None:
    numbers = "0.0114,-0.034,0.059,no detectable difference,false,0.02,false,,"
    said = summary(tmp_path, f"{HEADINGS}\n1,010,1e5,{numbers}\n")
    assert "One seed: a verdict is about two trained models, not about settings in general." in said
    assert any(line.startswith("010 against 1e5: +1.14 points") for line in said)
    (tmp_path / "table.md").write_text(TABLE.replace("A title", r"R\&D, \*bold\*"))
    done = program("answers.summary", "--results", tmp_path)
    assert done.stdout.splitlines()[0] == "R&D, *bold*"


def test_without_comparisons_there_are_no_answers(tmp_path: Path) -> None:
    assert not any("against" in line for line in summary(tmp_path, HEADINGS + "\n"))


def test_a_study_that_is_not_finished_is_one_message(tmp_path: Path) -> None:
    done = program("answers.summary", "--results", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {tmp_path}/table.md cannot")
    assert done.stderr.count("\n") == 1
