"""The key `references`, and questions that name one."""

from typing import Any, get_args

import pytest

from ablations.errors import UserError
from ablations.study import config, jobs
from ablations.study.config import Study
from ablations.study.references import REFERENCES, ReferenceName
from commands import ROOT, program
from synthetic_runs import configuration

ASKED = {"id": "q", "question": "Is it better?", "baseline": "words", "variant": "baseline"}


def parse(references: Any = ("words", "characters"), **changes: Any) -> Study:
    return config.parse(configuration(references=list(references), **changes))


def message(references: Any = ("words", "characters"), **changes: Any) -> str:
    with pytest.raises(UserError) as caught:
        parse(references, **changes)
    return str(caught.value)


def test_every_reference_is_declared() -> None:
    assert tuple(REFERENCES) == get_args(ReferenceName) == ("counts", "words", "characters")


def test_there_are_none_unless_asked_for() -> None:
    without = configuration(comparisons=[])
    without.pop("references", None)
    assert config.parse(without).references == ()
    assert parse([], comparisons=[]).outline.references == ()
    assert parse(comparisons=[]).outline.references == ("words", "characters")


@pytest.mark.parametrize(
    ("references", "said"),
    [
        (
            ["word"],
            "references: [0]: 'word' (did you mean words?); allowed: counts, words, characters",
        ),
        (["words", "words"], "references: ['words', 'words'] names a value twice"),
        ("words", "references: 'words' is not allowed; allowed: a list"),
    ],
)
def test_what_is_no_list_of_references_is_refused(references: Any, said: str) -> None:
    with pytest.raises(UserError) as caught:
        config.parse(configuration(references=references, comparisons=[]))
    assert str(caught.value).startswith(said)


def test_a_row_has_another_name() -> None:
    rows = [*configuration()["rows"], {"id": "words"}]
    expected = (
        "rows: words: is the name of a reference; allowed: another id, or references without words"
    )
    assert message(rows=rows, comparisons=[]) == expected
    assert parse(["counts"], rows=rows, comparisons=[]).row("words").id == "words"


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        (
            {"baseline": "wrds"},
            "baseline: names no row: 'wrds' (did you mean words?); allowed: baseline,",
        ),
        (
            {"baseline": "counts"},
            "full-context, words, characters, or list counts in references",
        ),
        (
            {"variant": "characters"},
            "baseline words and variant characters are both references; allowed: one reference and"
            " one row",
        ),
        ({"variant": "words"}, "baseline and variant are both words"),
        (
            {"claim": "better"},
            "claim: 'better' about the reference words, of which nothing was published",
        ),
    ],
)
def test_a_question_that_names_a_reference_may_be_wrong(sides: dict[str, str], said: str) -> None:
    found = message(comparisons=[ASKED | sides])
    assert found.startswith("comparisons: q: ") and said in found and "\n" not in found


def test_a_question_may_name_a_reference_on_either_side_and_a_grid_on_the_other() -> None:
    other = ASKED | {"id": "other", "baseline": "medium", "variant": "characters"}
    grid = {"id": "sweep", "grid": {"epochs": [1, 2]}}
    of_grid = ASKED | {"id": "of-grid", "variant": "sweep"}
    rows = [*configuration()["rows"], grid]
    found = parse(rows=rows, comparisons=[ASKED, other, of_grid])
    assert [question.id for question in found.outline.questions] == ["q", "other", "of-grid"]


def test_its_files_are_named_by_the_fold() -> None:
    found = jobs.of_study(parse(["counts", "words"], comparisons=[]))
    assert found.of_references() == [
        "results/references/counts/metrics.json",
        "results/references/counts/predictions.csv",
        "results/references/words/metrics.json",
        "results/references/words/predictions.csv",
    ]
    dataset = configuration()["dataset"]
    folds = {"folds": 2, "validation": 0.1, "seed": 1}
    found = jobs.of_study(parse(["words"], dataset=dataset | {"split": folds}, comparisons=[]))
    assert found.of_references() == [
        f"results/references/words/fold-{fold}/{file}"
        for fold in (1, 2)
        for file in ("metrics.json", "predictions.csv")
    ]
    assert found.work()["reference", ("words",)] > 0


def test_what_a_run_will_do_names_them() -> None:
    done = program("study.plan", "--directory", ROOT)
    assert "references that count, beside them: counts, words, characters\n" in done.stdout
