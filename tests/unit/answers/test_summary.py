"""What the make targets end with: the first table, a line for each answer, where to look next."""

from pathlib import Path

from commands import program

TABLE = """# A title

> **Stand-ins.**

| # | Row |
|---|-----|
| 1 | baseline |

| further | table |
"""
HEADINGS = "id,variant,baseline,confounded,difference,difference_low,difference_high,verdict"
ANSWERS = f"""{HEADINGS}
one,first-token,baseline,false,-0.268571,-0.357209,-0.176755,worse
two,random,baseline,true,0.0114,-0.034,0.059,no detectable difference
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
        "first-token against baseline: −26.86 points (−35.72 to −17.68): worse",
        "random against baseline: +1.14 points (−3.40 to +5.90): no detectable difference"
        " (they differ in more than one setting)",
        "",
        f"{tmp_path}/index.html: table, answers and figures on one page, for a browser",
        f"{tmp_path}/table.md: the whole table, and what to know before believing it",
    ]


def test_without_comparisons_there_are_no_answers(tmp_path: Path) -> None:
    assert not any("against" in line for line in summary(tmp_path, HEADINGS + "\n"))


def test_a_study_that_is_not_finished_is_one_message(tmp_path: Path) -> None:
    done = program("answers.summary", "--results", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith(f"error: {tmp_path}/table.md cannot")
    assert done.stderr.count("\n") == 1
