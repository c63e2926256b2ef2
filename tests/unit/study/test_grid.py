"""A grid becomes plain rows when the configuration is read; wrong grids are refused then."""

import itertools
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ablations.errors import UserError
from ablations.files import as_json
from ablations.study import config, grid
from ablations.study.config import Study
from ablations.study.outline import Outline
from synthetic_runs import configuration


def made(*rows: dict[str, Any], comparisons: Any = ()) -> dict[str, Any]:
    """The baseline of config.yaml and these rows."""
    baseline = configuration()["rows"][0]
    return configuration(rows=[baseline, *rows], comparisons=list(comparisons))


def parsed(*rows: dict[str, Any], **others: Any) -> Study:
    return config.parse(made(*rows, **others))


def message(*rows: dict[str, Any], **others: Any) -> str:
    with pytest.raises(UserError) as caught:
        parsed(*rows, **others)
    return str(caught.value)


SWEEP = {"id": "sweep", "grid": {"epochs": [5, 10], "learning_rate": [5.0e-5, 2.5e-4, 0.1]}}


def asking(baseline: str, variant: str, id: str = "q") -> dict[str, str]:
    return {"id": id, "question": "Which?", "baseline": baseline, "variant": variant}


def test_a_grid_is_a_row_for_each_combination() -> None:
    study = parsed(SWEEP | {"weight_decay": 0.2})
    found = {row.id: row.settings.training for row in study.rows[1:]}
    assert {id: (t.epochs, t.learning_rate) for id, t in found.items()} == {
        "sweep-epochs-5-lr-5e-5": (5, 5e-5),
        "sweep-epochs-5-lr-25e-5": (5, 2.5e-4),
        "sweep-epochs-5-lr-1e-1": (5, 0.1),
        "sweep-epochs-10-lr-5e-5": (10, 5e-5),
        "sweep-epochs-10-lr-25e-5": (10, 2.5e-4),
        "sweep-epochs-10-lr-1e-1": (10, 0.1),
    }
    assert all(training.weight_decay == 0.2 for training in found.values())
    (sweep,) = study.grids
    assert sweep.values == {"epochs": (5, 10), "learning_rate": (5e-5, 2.5e-4, 0.1)}
    assert sweep.rows["sweep-epochs-10-lr-5e-5"] == {"epochs": 10, "learning_rate": 5e-5}


@pytest.mark.parametrize(
    ("values", "across", "apart"),
    [
        ({"epochs": [1, 2, 3]}, "epochs", None),
        ({"epochs": [1, 2], "learning_rate": [1e-4, 2e-4, 3e-4]}, "learning_rate", "epochs"),
        ({"epochs": [1, 2], "learning_rate": [1e-4, 2e-4]}, "epochs", "learning_rate"),
        ({"weights": ["random", "pretrained"], "epochs": [1, 2]}, "epochs", "weights"),
        ({"epochs": [1, 2], "batch_size": [8]}, "epochs", None),
        ({"context_length": [8, "longest_training_example"]}, None, "context_length"),
        ({"causal_mask": [True, False]}, None, "causal_mask"),
        ({"epochs": [1, 2], "batch_size": [8, 9], "weight_decay": [0.1, 0.2]}, None, None),
        ({"epochs": [7]}, None, None),
    ],
)
def test_a_grid_over_a_number_has_a_figure(
    values: dict[str, Any], across: str | None, apart: str | None
) -> None:
    row = {"id": "sweep", "grid": values}
    (found,) = parsed(row).grids
    assert found.across == across and (across is None or found.apart == apart)
    (found,) = parsed(row | {"choose": "validation"}).grids
    assert found.across is None  # one row of it is shown


def test_a_row_of_a_grid_is_what_it_would_be_if_it_were_written_out() -> None:
    plain = {"id": "sweep-layers-all-lr-1e-4", "learning_rate": 1e-4, "trainable_layers": "all"}
    written = parsed(plain).rows[1].settings
    swept = {"learning_rate": [1e-4], "trainable_layers": ["all"]}
    assert as_json(parsed({"id": "sweep", "grid": swept}).rows[1].settings) == as_json(written)


def test_the_order_of_a_grid_s_keys_does_not_matter() -> None:
    turned = {"id": "sweep", "grid": dict(reversed(SWEEP["grid"].items()))}  # type: ignore[attr-defined]
    assert parsed(turned).rows == parsed(SWEEP).rows


def test_every_setting_can_vary_and_ids_tell_it_in_short() -> None:
    values: dict[str, Any] = {
        "model": ["gpt2-small (124M)", "gpt2-xl (1558M)"],
        "weights": ["random"],
        "trainable_token": ["first"],
        "trainable_layers": ["lora"],
        "context_length": ["longest_training_example", 64],
        "lora_rank": [4],
        "lora_alpha": [0.5],
        "causal_mask": [False, True],
    }
    ids = [row.id for row in parsed({"id": "all", "grid": values}).rows[1:]]
    assert len(ids) == 8
    assert ids[1] == (
        "all-model-gpt2-small-124m-weights-random-token-first-layers-lora-context-longest-training-e"
        f"-{ids[1][-8:]}"  # a checksum of what is left out
    )
    assert len(set(ids)) == 8 and all(len(id) <= 100 for id in ids)


def test_large_numbers_are_short() -> None:
    def named(**values: list[Any]) -> list[tuple[str, str]]:
        (found,) = parsed({"id": "g", "trainable_layers": "lora", "grid": values}).grids
        return [(id, grid.in_words(values)) for id, values in found.combinations()]

    assert named(learning_rate=[1.0e30]) == [("g-lr-1e30", "learning_rate 1e+30")]
    assert named(lora_alpha=[1.0e300, 2.5e7]) == [
        ("g-alpha-1e300", "lora_alpha 1e+300"),
        ("g-alpha-25e6", "lora_alpha 25000000"),
    ]
    # numbers of epochs and texts are plain, and none is lost by being made short
    assert named(epochs=[10, 1_000_000]) == [
        ("g-epochs-10", "epochs 10"),
        ("g-epochs-1000000", "epochs 1000000"),
    ]
    assert named(eval_every=[1_234_567, 2**63 - 1]) == [
        ("g-eval-every-1234567", "eval_every 1234567"),
        ("g-eval-every-9223372036854775807", "eval_every 9.22337203685478e+18"),
    ]


VALUES = st.dictionaries(
    st.sampled_from(["learning_rate", "weight_decay", "lora_alpha"]),
    st.lists(st.floats(1e-9, 1e40) | st.integers(1, 10**15), min_size=1, max_size=3, unique=True),
    min_size=1,
)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.integers(1, 90))
def test_ids_are_allowed_and_all_different(values: dict[str, list[float]], length: int) -> None:
    study = parsed({"id": "s" * length, "trainable_layers": "lora", "grid": values})
    ids = [row.id for row in study.rows]
    assert len(set(ids)) == len(ids) == 1 + len(list(itertools.product(*values.values())))
    assert all(re.fullmatch("[a-z0-9][a-z0-9-]*", id) and len(id) <= 100 for id in ids)


# --- questions


def asked(study: Study, **chosen: str) -> dict[str, tuple[str, str]]:
    found = grid.ask(study.questions, study.grids, chosen)
    return {question.id: (question.baseline, question.variant) for question in found}


def test_a_question_about_a_grid_is_one_about_each_of_its_rows() -> None:
    sweep = {"id": "sweep", "grid": {"learning_rate": [1e-4, 1e-3]}}
    study = parsed(
        sweep,
        comparisons=[asking("baseline", "sweep"), asking("sweep", "sweep-lr-1e-3", "other")],
    )
    assert asked(study) == {
        "q-lr-1e-4": ("baseline", "sweep-lr-1e-4"),
        "q-lr-1e-3": ("baseline", "sweep-lr-1e-3"),
        "other-lr-1e-4": ("sweep-lr-1e-4", "sweep-lr-1e-3"),
    }
    texts = [question.question for question in grid.ask(study.questions, study.grids, {})]
    assert texts[0] == "Which? (learning_rate 0.0001)"


def test_a_question_about_a_grid_with_choose_is_about_the_chosen_row() -> None:
    one = {"id": "one", "choose": "validation", "grid": {"learning_rate": [1e-4, 1e-3]}}
    study = parsed(one, one | {"id": "two"}, comparisons=[asking("one", "two")])
    found = asked(study, one="one-lr-1e-3", two="two-lr-1e-4")
    assert found == {"q": ("one-lr-1e-3", "two-lr-1e-4")}


def test_the_outline_can_be_read_back_and_does_not_grow_with_questions() -> None:
    swept = {"trainable_layers": ["all", "lora"], "learning_rate": [1e-3, 1e-2, 1e-1]}
    sweep = {"id": "sweep", "grid": swept, "choose": "validation"}
    study = parsed(sweep, comparisons=[asking("baseline", "sweep")])
    outline = msgspec.json.decode(as_json(study.outline), type=Outline)
    assert outline == study.outline
    assert len(outline.rows) == 7 and len(outline.questions) == 1
    assert list(outline.grids[0].rows) == [row.id for row in study.rows[1:]]
    assert outline.grids[0].choose == "validation"


def test_a_thousand_rows_fit_the_command_line_that_writes_them() -> None:
    """Linux takes 131,072 bytes for an argument."""
    values = {"learning_rate": [1e-4 * (1 + i) for i in range(999)]}
    study = parsed({"id": "s" * 60, "grid": values})
    assert len(study.rows) == 1000
    assert len(as_json(study.outline)) < 128_000


# --- mistakes

TWO = {"learning_rate": [1e-4, 1e-3]}
MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({"grid": {}}, ["rows: sweep: grid: {} is empty", "at least 1"]),
    "a value twice": (
        {"grid": {"epochs": [5, 10, 5.0]}},
        ["rows: sweep: grid: epochs: [5, 10, 5.0]", "twice", "once"],
    ),
    "an unknown key": (
        {"grid": {"learning_rates": [1e-4]}},
        ["rows: sweep: grid: ", "'learning_rates'", "did you mean learning_rate?", "epochs"],
    ),
    "a wrong value": (
        {"grid": {"trainable_layers": ["all", "evrything"]}},
        ["rows: sweep: grid: trainable_layers: [1]: 'evrything'", "allowed: last_layer"],
    ),
    "what decides no result": (
        {"grid": {"micro_batch": [1, 2]}},
        ["rows: sweep: grid: ", "'micro_batch'", "allowed: "],
    ),
    "a key in row and grid": (
        {"grid": TWO, "learning_rate": 1e-5},
        ["rows: sweep: learning_rate: ", "1e-05", "in its grid", "one of the two"],
    ),
    "published numbers": (
        {"grid": TWO, "published": {"train": 1, "validation": 1, "test": 1}},
        ["rows: sweep: published: ", "several rows", "allowed: in a row without a grid"],
    ),
    "choose without a grid": (
        {"choose": "validation"},
        ["rows: sweep: choose: ", "this row has none", "allowed: with a grid"],
    ),
    "too many rows": (
        {"grid": {"epochs": list(range(1, 101)), "eval_every": list(range(1, 101))}},
        ["rows: 10,001 rows", "the grid sweep makes 10,000", "allowed: at most 1,000"],
    ),
    "an unknown model": (
        {"grid": {"model": ["gpt2-small (124M)", "gpt2-huge"], "epochs": [1, 2]}},
        ["rows: sweep: grid: model: 'gpt2-huge'", "allowed: gpt2-small (124M), "],
    ),
    "a combination that cannot be": (
        {"grid": {"context_length": ["variable", 64], "batch_size": [1, 8]}},
        [
            "rows: sweep: grid: context_length variable, batch_size 8: context_length: variable",
            "allowed: batch_size 1",
        ],
    ),
    "combinations that do not differ": (
        {"grid": {"trainable_layers": ["last_block", "lora"], "lora_rank": [4, 8]}},
        [
            "rows: sweep: grid: trainable_layers last_block, lora_rank 4 and trainable_layers"
            " last_block, lora_rank 8 are the same row",
            "lora_rank makes no difference there",
        ],
    ),
    "tokens that an average does not read": (
        {"grid": {"trainable_token": ["last", "first"], "average_embeddings": [False, True]}},
        [
            "rows: sweep: grid: trainable_token last, average_embeddings True and trainable_token"
            " first, average_embeddings True are the same row",
            "trainable_token makes no difference there",
        ],
    ),
    "two words for one token": (
        {
            "grid": {"trainable_token": ["first", "last", "flexible"]},
            "context_length": "variable",
            "batch_size": 1,
        },
        ["trainable_token last and trainable_token flexible are the same row"],
    ),
    "labels that no class has": (
        {"grid": {"ignore_index": [-100, 50256]}},
        ["ignore_index -100 and ignore_index 50256 are the same row", "makes no difference there"],
    ),
}


@pytest.mark.parametrize(("row", "named"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_message(row: dict[str, Any], named: list[str]) -> None:
    text = message({"id": "sweep", **row})
    assert len(text.splitlines()) == 1, text
    for part in named:
        assert part in text


def test_combinations_that_differ_are_allowed() -> None:
    rows: list[dict[str, Any]] = [
        {"grid": {"trainable_token": ["last", "first"], "context_length": ["variable", 64]}},
        {"grid": {"average_embeddings": [False, True]}},
        {"grid": {"trainable_token": ["last", "flexible"]}},
        {"grid": {"context_length": ["variable", 64]}, "trainable_token": "flexible"},
        {"grid": {"ignore_index": [50256]}},
    ]
    for row in rows:
        assert parsed({"id": "sweep", "batch_size": 1, **row}).grids


def test_the_baseline_is_one_row() -> None:
    rows = made()
    rows["rows"][0]["grid"] = {"epochs": [1, 2]}
    with pytest.raises(UserError, match=r"rows: baseline: grid: is not allowed.*in another row"):
        config.parse(rows)


def test_an_id_is_one_row_s() -> None:
    text = message({"id": "sweep", "grid": TWO}, {"id": "sweep-lr-1e-4"})
    assert "rows: sweep: grid: learning_rate 0.0001 gives a row the id sweep-lr-1e-4" in text
    assert "a different id for each row" in text
    both = {"id": "a", "grid": {"epochs": [1], "learning_rate": [1e-4]}}
    one = {"id": "a-epochs-1", "grid": {"learning_rate": [1e-4]}}
    text = message(both, one)
    assert "rows: a-epochs-1: grid: learning_rate 0.0001 gives a row the id" in text
    assert "which another row of a has already" in text


@pytest.mark.parametrize(
    ("baseline", "variant", "named"),
    [
        ("sweep", "sweep", ["both sweep"]),
        (
            "sweep",
            "other",
            ["baseline sweep and variant other are both grids", "allowed: one grid"],
        ),
        ("baseline", "swep", ["variant: names no row: 'swep' (did you mean sweep?)"]),
        (
            "baseline",
            "best-lr-1e-4",
            ["variant: best-lr-1e-4 belongs to the grid best", "allowed: best"],
        ),
        ("best", "best-lr-1e-4", ["variant: best-lr-1e-4 belongs to the grid best"]),
        ("h1", "h1-epochs-3", ["baseline h1 and variant h1-epochs-3 are one row", "two rows"]),
        ("h1-epochs-3", "h1", ["baseline h1-epochs-3 and variant h1 are one row", "two rows"]),
    ],
)
def test_a_question_that_cannot_be(baseline: str, variant: str, named: list[str]) -> None:
    sweep = {"id": "sweep", "grid": TWO}
    rows = [sweep, sweep | {"id": "other"}, sweep | {"id": "best", "choose": "validation"}]
    one = {"id": "h1", "grid": {"epochs": [3]}}
    text = message(*rows, one, comparisons=[asking(baseline, variant)])
    assert len(text.splitlines()) == 1
    for part in ["comparisons: q: ", *named]:
        assert part in text


def test_an_id_is_one_question_s() -> None:
    sweep = {"id": "sweep", "grid": TWO}
    plain = {"id": "y", "epochs": 10}
    pair = [asking("baseline", "sweep", "q"), asking("baseline", "y", "q-lr-1e-4")]
    for comparisons in (pair, pair[::-1]):
        text = message(sweep, plain, comparisons=comparisons)
        first, second = (each["id"] for each in comparisons)
        assert f"comparisons: {second}: asks a question with the id q-lr-1e-4, and so" in text
        assert f"so does {first} (" in text and "a different id for each question" in text
    both = {"id": "both", "grid": {"epochs": [1], **TWO}}
    comparisons = [asking("baseline", "both", "q"), asking("baseline", "sweep", "q-epochs-1")]
    text = message(sweep, both, comparisons=comparisons)
    assert (
        "comparisons: q-epochs-1: " in text and "the id q-epochs-1-lr-1e-4, and so does q (" in text
    )
    assert len(text.splitlines()) == 1  # though two ids are the same
