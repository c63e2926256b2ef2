"""What a value says, for Snakemake's reasons."""

import yaml

from ablations.study.config import parse
from ablations.study.statements import said, statements
from commands import ROOT

DEFAULT = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


def said_of(**changes: object) -> set[str]:
    return set(statements(parse(DEFAULT | changes).outline))


def test_a_value_says_each_key_once_and_an_entry_more_changes_nothing_of_the_others() -> None:
    rows = DEFAULT["rows"]
    more = [*rows[:1], {"id": "more"}, *rows[1:]]
    before, after = said_of(), said_of(rows=more)
    ids = ", ".join(row["id"] for row in rows)
    assert {text.partition(":")[0] for text in before ^ after} == {"rows"}
    assert before - after == {f"rows: {ids}"}
    assert len(after - before) == 1 + len(statements({"published": None}))


def test_another_order_of_rows_or_another_kind_of_value_says_something_else() -> None:
    assert said_of(rows=DEFAULT["rows"][::-1]) != said_of()
    kinds = [1, "1", None, [], {}, [1], True, {"a": {}}, {"a": []}]
    assert len({tuple(statements({"key": kind})) for kind in kinds}) == len(kinds)


def test_a_rules_params_are_the_texts_of_the_value_that_its_wildcards_name() -> None:
    values = {"one": {"a": 1}, "three": {"a": 1, "b": 2, "c": 3}}
    params = said(values, lambda wildcards: wildcards["name"], least=4)
    assert len(params) == 4
    for name, value in values.items():
        texts = {of({"name": name}) for of in params.values()}
        assert texts == set(statements(value))
