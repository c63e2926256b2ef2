"""How far to trust the statistics: a small part of docs/statistics.md's grid."""

import re
import zipfile

import numpy as np
import pytest

import real_texts
import simulation
import simulation_tables
import threshold_model
from ablations.answers.written import interpretation
from ablations.errors import UserError
from commands import ROOT
from real_texts import Collections
from simulation import enumerated, family, two_rows
from threshold_model import Cell, draws


def generator(seed=1):
    return np.random.default_rng(seed)


def test_one_run_covers_93_to_98_percent_and_raises_few_false_alarms():
    for share in (0.01, 0.02, 0.05, 0.1, 0.2):
        for difference in (0, 0.01, 0.02, 0.05, 0.1, 0.2):
            if difference <= share:
                found = enumerated(Cell(share, difference))
                assert 0.93 <= found["covered"] <= 0.98
                assert difference or found["alarm"] <= 0.05


@pytest.mark.parametrize(
    "cell",
    [
        Cell(0.05, 0.0, 2, 0.01),
        Cell(0.05, 0.0, 3, 0.01),
        Cell(0.05, 0.02, 3, 0.01, consistency=0.9),
        Cell(0.1, 0.05, 5, 0.02),
        Cell(0.05, 0.02, 10, 0.01),
        Cell(0.1, 0.05, 5, 0.02, folded=True),
    ],
    ids=str,
)
def test_several_runs_cover_and_raise_few_false_alarms(cell):
    found = two_rows(cell, 1000, generator())  # three standard errors are two points
    assert 0.93 - 0.02 <= found["covered"] <= 0.98 + 0.02
    assert 0.93 - 0.02 <= found["row_covered"] <= 0.98 + 0.02
    assert cell.difference or found["alarm"] <= 0.05 + 0.02


@pytest.mark.parametrize(
    "cell", [Cell(0.05, 0.0, rows=4), Cell(0.05, 0.02, 3, 0.01, rows=4)], ids=str
)
def test_the_interval_of_an_average_effect_covers(cell):
    found = simulation.effect(cell, 1000, generator())
    assert 0.93 - 0.02 <= found["covered"] <= 1
    assert cell.difference or found["alarm"] <= 0.05 + 0.02


@pytest.mark.parametrize("effects", threshold_model.EFFECTS)
@pytest.mark.parametrize(("runs", "folded"), [(2, False), (3, False), (5, True)])
def test_few_of_many_comparisons_are_false_alarms(effects, runs, folded):
    cell = Cell(0.05, 0.0, runs, 0.02, effects=effects, folded=folded)
    assert family(cell, 500, generator())["moderated"] <= 0.05 + 0.025


@pytest.mark.parametrize("effects", threshold_model.EFFECTS)
def test_moderated_variances_find_more_than_the_floor_did(effects):
    found = family(Cell(0.08, 0.05, 3, 0.01, effects=effects), 250, generator())
    assert found["moderated_first"] > found["floor_first"] + 0.05
    assert found["floor_first"] > found["alone_first"]


def test_simulated_studies_are_what_their_cell_says():
    cell = Cell(share=0.1, difference=0.03, runs=3, run_sd=0.02, rows=3)
    right = np.concatenate(list(draws(cell, 2000, generator(0))))
    accuracies = right.mean(-1)  # [studies, rows, seeds]
    assert accuracies.mean((0, 2)) == pytest.approx([0.885, 0.915, 0.885], abs=0.003)
    assert (right[:, 0] != right[:, 1]).mean() == pytest.approx(0.1, abs=0.003)
    # seeds of one study share their texts, so the spread within it is the runs' own and the
    # texts' for which a row's seeds differ; only the first does not shrink with texts
    assert accuracies.std(-1, ddof=1).mean() > 0.015
    assert threshold_model.population(0.01, 0.0, 0.02) is None


@pytest.mark.parametrize("effects", threshold_model.EFFECTS)
def test_however_runs_differ_rows_without_a_difference_have_none(effects):
    for folded in (False, True):
        cell = Cell(0.05, 0.0, 10, 0.02, effects=effects, rows=4, folded=folded, texts=1000)
        right = np.concatenate(list(draws(cell, 500, generator(0))))
        assert right.mean((0, 2, 3)) == pytest.approx([0.95] * 4, abs=0.003)
    of_fold = right.reshape(500, 4, 10, 100).mean(-1)
    between = of_fold.var(-1, ddof=1).mean() - 0.95 * 0.05 / 100
    assert np.sqrt(between) == pytest.approx(0.02, rel=0.2)


def test_simulation_agrees_with_enumeration():
    exact = enumerated(Cell(0.05, 0.02))
    drawn = two_rows(Cell(0.05, 0.02, rows=2), 4000, generator(2))
    assert drawn["covered"] == pytest.approx(exact["covered"], abs=0.012)
    assert drawn["alarm"] == pytest.approx(exact["alarm"], abs=0.025)
    assert drawn["equivalent"] == pytest.approx(exact["equivalent"], abs=0.02)


def test_rows_a_margin_apart_are_rarely_called_equivalent():
    for texts in (300, 1000):
        for share in (0.03, 0.05, 0.1):
            assert enumerated(Cell(share, 0.02, texts=texts))["equivalent"] <= 0.055


# --- real texts


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A collection in which some words say what a text is, and most say little."""
    draw = np.random.default_rng(0)
    lines = []
    for label in ["ham", "spam"] * 200:
        words = draw.choice([f"word{number}" for number in range(40)], 5).tolist()
        words += [f"{label}{draw.integers(5)}"] * int(draw.random() < 0.8)
        lines.append(f"{label}\t{' '.join(words)}")
    path = tmp_path_factory.mktemp("texts") / "texts.zip"
    with zipfile.ZipFile(path, "w") as files:
        files.writestr("SMSSpamCollection", "\n".join(lines))
    return path


def test_folds_of_real_texts_test_each_once_and_are_kept(archive, monkeypatch):
    monkeypatch.setattr(real_texts, "GRID", (Collections(60, 5, 6),))
    kept = {}
    ((drawn, right),) = real_texts.draw(archive, 1, kept, kept.__setitem__).items()
    assert right.shape == (6, len(real_texts.ROWS), 1, 60) and right.mean() > 0.6
    again = real_texts.draw(archive, 2, kept, kept.__setitem__)[drawn]
    assert (again == right).all() and len(kept) == 1
    held = real_texts.hold(drawn, right)
    width = {key: each.half_width.mean() for key, each in held.items()}
    for what in ("accuracies", "differences"):
        assert width[what, "texts alone"] < width[what, "moderated"] < width[what, "one fold"]


# --- the document


def test_the_document_keeps_what_is_not_generated(archive, tmp_path, monkeypatch):
    few = [
        simulation.Part(part.name, part.study, part.cells[:2], min(part.studies, 8))
        for part in simulation.parts()
    ]
    monkeypatch.setattr(simulation, "parts", lambda: few)
    monkeypatch.setattr(real_texts, "GRID", (Collections(60, 5, 4),))
    path, partial = tmp_path / "document.md", tmp_path / "partial"
    path.write_text(f"before\n{simulation_tables.START}\nSTALE\n{simulation_tables.END}\nafter\n")
    command = ["--document", str(path), "--texts", str(archive), "--partial", str(partial)]
    arguments = simulation.parser().parse_args(command)
    simulation.main(arguments)
    once = path.read_text()
    assert once.startswith("before\n") and once.endswith("\nafter\n") and "STALE" not in once
    assert "nan" not in once
    kept = partial.read_text()
    simulation.main(arguments)  # from what was kept
    assert path.read_text() == once and partial.read_text() == kept
    with pytest.raises(UserError, match="expected the lines"):
        simulation_tables.replace_generated("no markers", "", tmp_path)


def test_the_texts_say_what_the_simulation_found():
    """The one figure that a text for readers repeats from docs/statistics.md."""
    found = [
        family(Cell(0.05, 0.0, run_sd=run_sd), 1500, generator())["moderated"]
        for run_sd in (0.005, 0.01, 0.02)
    ]
    said = [int(number) for number in re.findall(r"\d+", interpretation.ONE_SEED_ALARMS)]
    assert found == pytest.approx([number / 100 for number in said], abs=0.03)
    _, part = (ROOT / "docs/statistics.md").read_text().split("### One run, read as if", 1)
    written = re.findall(r"\| (?:0\.5|1|2) +\| ([\d.]+)% ", part.split("\n###")[0])
    assert said == [round(float(number)) for number in written]
