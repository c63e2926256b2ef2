"""summary.txt: a study on one screen, its first table and a line for each answer."""

from collections.abc import Iterator

from ablations.answers import formats
from ablations.answers.compute import Answers
from ablations.answers.written import sentences, table
from ablations.answers.written.notes import no_better, notices

ONE_SEED = "One seed: a verdict is about two trained models, not about settings in general."


def summary(answers: Answers) -> str:
    """What `make run` ends with."""
    return "\n".join(_lines(answers)) + "\n"


def _lines(answers: Answers) -> Iterator[str]:
    yield table.title(answers)
    yield ""
    for notice in notices(answers, formats.one_line):
        yield from (notice, "")
    yield table.compact(answers).markdown()
    for sentence in no_better(answers):
        yield from ("", sentence)
    if answers.comparisons:
        yield ""
        if answers.times == 1:
            yield ONE_SEED
        yield from map(sentences.in_short, answers.comparisons)
