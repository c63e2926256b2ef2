"""summary.txt, which the make targets end with: the first table and a line for each answer."""

import re
from pathlib import Path

from ablations.answers.written import table, terminal
from synthetic_runs import configuration, disagreeing, eight_rows, load, two_rows


def summary(folder: Path) -> list[str]:
    written: str = terminal.summary(load(folder))
    return written.splitlines()


def test_it_is_the_first_table_and_a_line_for_each_answer(tmp_path: Path) -> None:
    eight_rows(tmp_path, seeds=(1, 2, 3))
    read, said = load(tmp_path), summary(tmp_path)
    assert said[:2] == [read.outline.title, ""]
    assert "\n".join(said).count(table.compact(read).markdown()) == 1
    answers = [line for line in said if " against " in line]
    assert len(answers) == len(configuration()["comparisons"])
    assert re.fullmatch(
        r"first-token against baseline: −\d+\.\d\d points \(−\d+\.\d\d to −\d+\.\d\d\): worse;"
        " published as worse: confirmed",
        answers[0],
    )
    assert sum("(they differ in more than one setting)" in line for line in answers) == 1


def test_equivalence_one_seed_and_stand_ins_are_said(tmp_path: Path) -> None:
    two_rows(tmp_path, *disagreeing(1000, 6, 5), notes=["Stand-ins, R&D *bold*."])
    said = summary(tmp_path)
    assert said[2] == "Stand-ins, R&D *bold*."
    assert "One seed: a verdict is about two trained models, not about settings in general." in said
    assert said[-1].endswith(": no detectable difference, equivalent within ±2 points")
