import json
import shutil

import numpy as np
import pytest

from ablations.answers.written import figures, interpretation, page
from ablations.study import config
from synthetic_runs import configuration, load, write

GRID = {"learning_rate": [5.0e-5, 1.0e-4, 1.0e-3], "epochs": [5, 10]}


def study(folder, effect, grid=GRID, seeds=(1,), **row):
    """A grid whose rows miss 40 of 400 texts; `effect` changes that, by the row's values."""
    made = configuration(
        seeds=list(seeds),
        rows=[configuration()["rows"][0], {"id": "sweep", "grid": grid, **row}],
        comparisons=[{"id": "q", "question": "?", "baseline": "baseline", "variant": "sweep"}],
    )
    made["rows"][0].pop("published")
    parsed = config.parse(made)
    order = np.random.default_rng(0).permutation(400)
    right = {}
    for each in parsed.rows:
        right[each.id] = np.ones((len(seeds), 400), bool)
        right[each.id][:, order[: 40 - effect(each.settings.training)]] = False
    write(folder, parsed, right)
    return load(folder)


def test_an_effect_is_the_mean_over_rows_that_differ_in_nothing_else(tmp_path):
    read = study(tmp_path, lambda training: 8 * (training.epochs == 10) + 2 * _rate(training))
    found = {(each.setting, each.value): each for each in read.effects}
    assert set(found) == {("learning_rate", 1e-4), ("learning_rate", 1e-3), ("epochs", 10)}
    assert found["epochs", 10].difference == pytest.approx(8 / 400)
    assert found["epochs", 10].pairs == 3 and found["epochs", 10].first == 5
    assert found["learning_rate", 1e-4].difference == pytest.approx(2 / 400)
    assert found["learning_rate", 1e-3].difference == pytest.approx(4 / 400)
    assert found["learning_rate", 1e-4].pairs == 2
    for each in found.values():
        assert each.low < each.difference < each.high and each.p <= each.adjusted_p
    assert found["epochs", 10].verdict == "better"
    assert found["learning_rate", 1e-4].verdict == "no detectable difference"


def test_of_some_rows_p_values_are_adjusted_for_all_effects_of_the_grid(tmp_path):
    study(tmp_path, lambda training: 8 * (training.epochs == 10))
    for run in (tmp_path / "runs").glob("sweep-*-lr-1e-3"):
        shutil.rmtree(run)
    read = load(tmp_path, so_far=True)
    assert len(read.effects) == 2
    assert "P-values are adjusted for 3 effects by" in interpretation.markdown(read)


def _rate(training):
    return GRID["learning_rate"].index(training.learning_rate)


def test_effects_that_cancel_out_are_none_on_average(tmp_path):
    grid = {"learning_rate": [5.0e-5, 1.0e-4], "epochs": [5, 10]}
    read = study(
        tmp_path, lambda t: 20 * ((t.epochs == 10) != (t.learning_rate == 1e-4)), grid, (1, 2, 3)
    )
    for each in read.effects:
        assert each.difference == 0 and each.low < 0 < each.high
        assert each.verdict == "no detectable difference"


def test_a_grid_has_averaged_effects_where_no_question_is_asked(tmp_path):
    study(tmp_path, lambda training: 12 * (training.epochs == 10))
    facts = json.loads((tmp_path / "study.json").read_text()) | {"questions": []}
    (tmp_path / "study.json").write_text(json.dumps(facts))
    read = load(tmp_path)
    drawn = dict.fromkeys(figures.draw(read), b"<svg/>")
    for written in (interpretation.markdown(read), page.page(read, drawn, [])):
        assert "states no comparisons" in written
        assert "What each setting of the grid" in written and "5 → 10" in written


@pytest.mark.parametrize(
    ("grid", "row"),
    [
        ({"epochs": [5, 10]}, {}),
        ({"epochs": [5], "batch_size": [8, 4]}, {}),
        (GRID, {"choose": "validation"}),
    ],
)
def test_one_setting_or_a_chosen_row_has_no_averaged_effects(tmp_path, grid, row):
    read = study(tmp_path, lambda training: 0, grid, **row)
    assert read.effects == ()
    assert "on average" not in interpretation.markdown(read)
