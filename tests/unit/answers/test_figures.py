import itertools
from typing import get_args

import matplotlib
import numpy as np
import pytest

from ablations.answers import figures
from ablations.answers.comparisons import compare_all
from ablations.study import config
from ablations.study.settings import TrainableLayers
from synthetic_runs import configuration, disagreeing, load, program, two_rows, write

NAMES = ["accuracies", "accuracy_and_time", "differences", "learning_curves"]
LONG = "a-row-with-a-name-that-goes-on-and-on-and-on-until-nobody-can-read-it-any-more"
NOTE = "Stand-in models: nano-small, nano-medium and nano-large are not GPT-2. " * 2


def many_rows(folder, rows, seeds, prefix="row", notes=()):
    made = configuration(seeds=list(range(seeds)))
    layers = list(figures.LAYER_MARKERS)
    others = [
        {"id": f"{prefix}-{n}", "epochs": n, "trainable_layers": layers[n % len(layers)]}
        for n in range(1, rows)
    ]
    made["rows"] = [made["rows"][0], *others]
    made["comparisons"] = [
        {"id": f"q{n}", "question": "?", "baseline": "baseline", "variant": row["id"]}
        for n, row in enumerate(others)
    ]
    parsed = config.parse(made)
    generator = np.random.default_rng(0)
    right = {
        row.id: generator.random((seeds, 100)) < generator.uniform(0.6, 1) for row in parsed.rows
    }
    times = {
        row.id: {"training_time_seconds": float(10 ** generator.uniform(-1, 3))}
        for row in parsed.rows
    }
    write(folder, parsed, right, per_row=times, notes=notes)
    return load(folder)


def drawn(read):
    with matplotlib.rc_context(figures.STYLE):
        for name, figure in figures.draw(read):
            figure.draw_without_rendering()
            yield name, figure


def visible_texts(figure):
    texts = figure.findobj(lambda artist: isinstance(artist, matplotlib.text.Text))
    undrawn = []  # labels of ticks outside an axis's limits
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        shown = axis._update_ticks()
        outside = [tick for tick in axis.get_major_ticks() if tick not in shown]
        undrawn += [label for tick in outside for label in (tick.label1, tick.label2)]
    hidden = set(map(id, undrawn))
    shown = [text for text in texts if text.get_visible() and id(text) not in hidden]
    return [text for text in shown if text.get_text()]


@pytest.mark.parametrize(
    ("rows", "seeds", "prefix", "notes"),
    [(3, 5, LONG, [NOTE]), (8, 1, "row", []), (30, 1, LONG, [NOTE])],
    ids=["3 long", "8", "30 long"],
)
def test_no_text_is_clipped(tmp_path, rows, seeds, prefix, notes):
    for name, figure in drawn(many_rows(tmp_path, rows, seeds, prefix, notes)):
        width, height = figure.get_size_inches() * figure.dpi
        for text in visible_texts(figure):
            box = text.get_window_extent()
            assert box.x0 > -1 and box.y0 > -1, (name, text.get_text())
            assert box.x1 < width + 1 and box.y1 < height + 1, (name, text.get_text())


def test_row_labels_do_not_run_into_each_other(tmp_path):
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.accuracies(many_rows(tmp_path, 30, 1, LONG))
        figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 30
    for upper, lower in itertools.pairwise(boxes):
        assert upper.y0 >= lower.y1


def test_numbers_beside_points_do_not_overlap(tmp_path):
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.accuracy_and_time(many_rows(tmp_path, 30, 1))
        figure.draw_without_rendering()
    numbers = [text for text in figure.axes[0].texts if text.get_text().isdigit()]
    boxes = [text.get_window_extent() for text in numbers]
    assert len(boxes) == 30
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_every_choice_of_trainable_layers_has_a_marker_of_its_own():
    assert list(figures.LAYER_MARKERS) == list(get_args(TrainableLayers))
    assert len(set(figures.LAYER_MARKERS.values())) == len(figures.LAYER_MARKERS)


def test_standins_stand_on_the_face_of_every_figure(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0), notes=["Stand-in data."])
    for _, figure in drawn(load(tmp_path)):
        assert any("Stand-in data." in text.get_text() for text in visible_texts(figure))


def test_published_values_are_marked_where_there_are_any(tmp_path):
    keys = {"train": 1.0, "validation": 1.0, "device": "V100"}
    both = {"published": [{"test": 0.9, **keys}, {"test": 0.8, **keys}]}
    two_rows(tmp_path, *disagreeing(20, 1, 0), comparison=both)
    figure = dict(drawn(load(tmp_path)))
    assert "published" in legend(figure["accuracies"])
    assert "published" in legend(figure["differences"])
    diamonds = [line for line in figure["differences"].axes[0].lines if line.get_marker() == "D"]
    assert [line.get_xdata()[0] for line in diamonds] == [pytest.approx(-10)]
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    figure = dict(drawn(load(tmp_path)))
    assert "published" not in legend(figure["accuracies"]) + legend(figure["differences"])


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_forest_plot_shows_what_was_computed(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    read = load(tmp_path)
    (comparison,) = compare_all(read)
    axes = dict(drawn(read))["differences"].axes[0]
    intervals = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert [100 * comparison.overall.low, 100 * comparison.overall.high] in [
        list(each) for each in intervals
    ]
    (point,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert point.get_markerfacecolor() == figures.MEASURED  # decided
    two_rows(tmp_path, *disagreeing(300, 5, 6))
    (point,) = [
        line
        for line in dict(drawn(load(tmp_path)))["differences"].axes[0].lines
        if line.get_marker() == "o"
    ]
    assert point.get_markerfacecolor() == "white"  # not decided


def test_times_that_do_not_compare_are_said_so(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0), per_row={"variant": {"device": "a CPU"}})
    axes = dict(drawn(load(tmp_path)))["accuracy_and_time"].axes[0]
    assert axes.get_xlabel() == "training time (devices differ: not comparable)"
    two_rows(tmp_path, *disagreeing(20, 1, 0), shared_device=True)
    axes = dict(drawn(load(tmp_path)))["accuracy_and_time"].axes[0]
    assert "shared with other jobs: not comparable" in axes.get_xlabel()


def test_a_study_without_comparisons_or_losses_can_be_drawn(tmp_path):
    read = many_rows(tmp_path, 1, 1)
    shown = [text.get_text() for text in visible_texts(dict(drawn(read))["differences"])]
    assert "No comparisons are configured." in shown
    two_rows(tmp_path, *disagreeing(20, 20, 0), history=(), training_time_seconds=0.0)
    assert [name for name, _ in drawn(load(tmp_path))]


def test_the_same_study_gives_the_same_bytes(tmp_path):
    two_rows(tmp_path / "study", *disagreeing(20, 1, 0, seeds=2))
    done = program(tmp_path / "study", "figures", "--output", tmp_path / "figures")
    assert done.returncode == 0, done.stderr
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == NAMES
    with matplotlib.rc_context(figures.STYLE):
        for name, figure in figures.draw(load(tmp_path / "study")):
            figures.save(figure, tmp_path / "again.svg")
            once = (tmp_path / "figures" / f"{name}.svg").read_bytes()
            assert once == (tmp_path / "again.svg").read_bytes() and b"<dc:date>" not in once


def test_png_on_demand(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    for name in ("once.png", "again.png"):
        with matplotlib.rc_context(figures.STYLE):
            _, figure = next(figures.draw(load(tmp_path)))
            figures.save(figure, tmp_path / name)
    assert (tmp_path / "once.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "again.png").read_bytes()
