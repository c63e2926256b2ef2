"""The figures: what they show is what was computed, and it can be read.

Each study is drawn once, each of its figures when a test first asks for it.
"""

import functools
import itertools
import types

import jinja2
import matplotlib
import msgspec
import numpy as np
import pytest

from ablations.answers import compute
from ablations.answers.written import accuracy_and_time, drawing, figures
from ablations.study import config
from ablations.training.metrics import Evaluation
from commands import ROOT
from synthetic_runs import configuration, disagreeing, eight_rows, load, study, two_rows, write

NAMES = [figure.__name__ for figure in figures.FIGURES]
LONG = "a-row-with-a-name-that-goes-on-and-on-and-on-until-nobody-can-read-it-any-more"
NOTES = [
    "Stand-in data: the texts are generated.",
    "Stand-in models: nano-small, nano-medium and nano-large are not GPT-2. " * 2,
]


def many_rows(folder, rows, seeds=1, prefix="row", notes=()):
    made = configuration(seeds=list(range(seeds)))
    layers = list(accuracy_and_time.LAYERS.markers)
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
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((seeds, 100)) < draw.uniform(0.6, 1) for row in parsed.rows}
    times = {
        row.id: {"training_time_seconds": float(10 ** draw.uniform(-1, 3))} for row in parsed.rows
    }
    write(folder, parsed, right, per_row=times, notes=notes)


def grid(folder):
    """A grid of 24 rows, and two rows whose ids differ only in the middle."""
    made = configuration()
    values = {
        "trainable_token": ["first", "last"],
        "trainable_layers": ["last_layer", "last_block"],
    }
    values |= {"context_length": [64, "longest_training_example"], "learning_rate": [1e-4, 5e-5]}
    values |= {"batch_size": [16], "epochs": [3, 10]}
    made["rows"] = [
        {key: value for key, value in made["rows"][0].items() if key != "published"},
        {"id": "sweep", "grid": values},
        *({"id": f"{45 * 'a'}-{epochs}-{45 * 'z'}", "epochs": epochs} for epochs in (6, 7)),
    ]
    one, other = (row["id"] for row in made["rows"][2:])
    pairs = [("baseline", "sweep"), ("baseline", one), (one, other), (other, one)]
    made["comparisons"] = [
        {"id": f"q{n}", "question": "?", "baseline": baseline, "variant": variant}
        for n, (baseline, variant) in enumerate(pairs)
    ]
    study = config.parse(made)
    draw = np.random.default_rng(0)
    write(folder, study, {row.id: draw.random((1, 50)) < 0.9 for row in study.rows})


# Grids over a number: of each its values, and another setting.
NUMBERS = (
    ("learning_rate", {"learning_rate": [1e-5, 2e-5, 4e-5, 5e-5, 1e-4, 1e-3], "epochs": [3, 10]}),
    ("batch_size", {"batch_size": [4, 6, 7, 8, 12, 32]}),
)


def over_numbers(folder):
    """A grid over each number, with the baseline's value among those of one."""
    made = configuration()
    grids = [{"id": key.replace("_", "-"), "grid": values} for key, values in NUMBERS]
    made |= {"rows": [made["rows"][0], *grids], "comparisons": []}
    study = config.parse(made)
    draw = np.random.default_rng(0)
    write(
        folder, study, {row.id: draw.random((1, 200)) < draw.uniform(0.8, 1) for row in study.rows}
    )


STUDIES = {
    "over numbers": over_numbers,
    "published": eight_rows,
    "two seeds": functools.partial(many_rows, rows=4, seeds=2),
    "stand-ins, three seeds": functools.partial(
        many_rows, rows=4, seeds=3, prefix=LONG, notes=NOTES
    ),
    "19 rows": functools.partial(many_rows, rows=19, prefix="some-row"),
    "24 long names": functools.partial(many_rows, rows=24, prefix=LONG),
    "100 rows": functools.partial(many_rows, rows=100),
    "grid": grid,
}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Each study's answers, and its figures, made once."""
    folder = tmp_path_factory.mktemp("studies")

    @functools.cache
    def answers(name):
        STUDIES[name](folder / name)
        return load(folder / name)

    @functools.cache
    def drawn(name, figure):
        return draw(answers(name), figure)

    @functools.cache
    def of_grid(number):
        read = answers("over numbers")
        (grid,) = (grid for grid in read.outline.grids if grid.across == number)
        return rendered(figures.accuracy_and_number, read, grid)

    return types.SimpleNamespace(answers=answers, drawn=drawn, of_grid=of_grid)


def draw(read, name):
    return rendered(getattr(figures, name), read)


def rendered(draw_one, *arguments):
    with matplotlib.rc_context(drawing.STYLE):
        figure = draw_one(*arguments)
        figure.draw_without_rendering()
    return figure


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


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def row_labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def names_beside_points(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]  # others are lines to points


# --- it can be read


@pytest.mark.parametrize("figure", NAMES)
@pytest.mark.parametrize("name", ["published", "stand-ins, three seeds", "24 long names", "grid"])
def test_no_text_is_clipped_or_too_small(studies, name, figure):
    found = studies.drawn(name, figure)
    width, height = found.get_size_inches() * found.dpi
    for text in visible_texts(found):
        box = text.get_window_extent()
        assert box.x0 > -1 and box.y0 > -1, text.get_text()
        assert box.x1 < width + 1 and box.y1 < height + 1, text.get_text()
        # in points, where a figure is as wide as a paper's text
        assert text.get_fontsize() * 5.5 / found.get_size_inches()[0] >= 6


@pytest.mark.parametrize("name", ["24 long names", "grid"])
@pytest.mark.parametrize("figure", ["accuracies", "differences"])
def test_labels_of_rows_do_not_run_into_each_other(studies, name, figure):
    shown = studies.drawn(name, figure).axes[0].get_yticklabels()
    assert len(shown) >= 20
    for upper, lower in itertools.pairwise(label.get_window_extent() for label in shown):
        assert upper.y0 >= lower.y1


def test_every_row_of_a_grid_has_a_label_of_its_own(studies):
    curves = studies.drawn("grid", "learning_curves")
    labels = {
        "accuracies": row_labels(studies.drawn("grid", "accuracies")),
        "differences": row_labels(studies.drawn("grid", "differences")),
        "curves": [axes.get_title(loc="left") for axes in curves.axes],
    }
    for shown in labels.values():
        assert len(set(shown)) == len(shown) == 35
    assert max(label.count("\n") for label in labels["differences"]) == 3
    titles = [axes._left_title.get_window_extent() for axes in curves.axes]
    for left, right in itertools.combinations(titles[1:33], 2):
        assert not left.overlaps(right)
    compared = labels["differences"]
    assert compared[12] == f"{labels['accuracies'][13]}\nagainst baseline (confounded)"


@pytest.mark.parametrize(
    ("id", "label"),
    [
        ("sweep-token-first-layers-all", "sweep-token-first-layers-all"),
        ("sweep-token-last-layers-last-block", "sweep-token-last-layers-\nlast-block"),
        (f"a-{54 * 'b'}", f"a-{26 * 'b'}\n{28 * 'b'}"),
        (f"{28 * 'a'}-{27 * 'b'}", f"{28 * 'a'}\n-{27 * 'b'}"),
        (f"{45 * 'a'}-7-{45 * 'z'}", f"#14 {23 * 'a'}…\n{28 * 'z'}"),
        (
            "sweep-token-first-layers-last-layer-context-64-epochs-3-batch-4-lr-1e-4",
            "#14 sweep-token-first-…\n64-epochs-3-batch-4-lr-1e-4",
        ),
    ],
)
def test_a_label_is_whole_on_two_lines_or_has_the_rows_number_and_both_ends(id, label):
    assert drawing.label(types.SimpleNamespace(id=id, number=14)) == label


@pytest.mark.parametrize("name", ["published", "19 rows", "24 long names"])
def test_every_rows_name_is_beside_its_point_and_overlaps_nothing(studies, name):
    figure = studies.drawn(name, "accuracy_and_time")
    names = names_beside_points(figure)
    assert len({name.get_text() for name in names}) == len(studies.answers(name).rows)
    boxes = [name.get_window_extent() for name in names]
    markers = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert len(markers) == len(names)
    points = figure.axes[0].transData.transform([line.get_xydata()[0] for line in markers])
    inside = figure.axes[0].get_window_extent()
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
        assert not any(box.contains(*point) for point in points)
        assert inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1)


def test_a_line_leads_from_a_name_to_its_point_where_another_is_as_near(studies):
    figure = studies.drawn("19 rows", "accuracy_and_time")
    names = names_beside_points(figure)
    lines = [text for text in figure.axes[0].texts if not text.get_text()]
    assert lines
    for line in lines:
        # ends in points, so that they are right in a file of another resolution
        assert line.anncoords == "offset points"
        assert (line.xy, line.xyann) in [(name.xy, name.xyann) for name in names]
    led = {line.xy for line in lines}
    points = {name.xy: figure.axes[0].transData.transform(name.xy) for name in names}
    for name in names:
        box = name.get_window_extent().padded(1)
        near = {xy for xy, point in points.items() if box.padded(4).contains(*point)}
        assert near <= {name.xy} or name.xy in led


def test_of_a_hundred_rows_the_front_is_named_and_the_figure_says_so(studies):
    read, figure = studies.answers("100 rows"), studies.drawn("100 rows", "accuracy_and_time")
    time = {row.id: row.seconds.mean for row in read.rows}
    accuracy = {row.id: row.accuracy["test"].mean for row in read.rows}
    front = {
        id
        for id in time
        if not any(
            (time[other] < time[id] and accuracy[other] >= accuracy[id])
            or (time[other] == time[id] and accuracy[other] > accuracy[id])
            for other in time
        )
    }
    assert {name.get_text() for name in names_beside_points(figure)} == front | {"baseline"}
    assert any("Named: the baseline" in text.get_text() for text in visible_texts(figure))


@pytest.mark.parametrize("number", [number for number, _ in NUMBERS])
def test_numbers_below_the_axis_do_not_run_into_each_other(studies, number):
    figure = studies.of_grid(number)
    labels = [text for text in figure.axes[0].get_xticklabels() if text.get_text()]
    assert len(labels) >= 3
    boxes = [text.get_window_extent() for text in labels]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
    middles = [(box.x0 + box.x1) / 2 for box in boxes]
    assert min(np.diff(middles)) >= 0.075 * figure.axes[0].get_window_extent().width


@pytest.mark.parametrize("longest", [20, 6000, 60 * 60 * 40])
def test_times_below_the_axis_do_not_run_into_each_other(tmp_path, longest):
    seconds = dict.fromkeys(("baseline", "first-token", "last-layer", "all-layers"), 5)
    seconds |= {"medium": 0.9, "large": longest}
    per_row = {row: {"training_time_seconds": time} for row, time in seconds.items()}
    eight_rows(tmp_path, per_row=per_row)
    figure = draw(load(tmp_path), "accuracy_and_time")
    labels = [text for text in figure.axes[0].get_xticklabels() if text.get_text()]
    boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
    assert len(boxes) >= 3
    assert all(one.x1 + 3 < other.x0 for one, other in itertools.pairwise(boxes))


def test_a_panel_names_the_texts_that_its_accuracies_are_over(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0), changed={"batch_size": 1})
    titles = [axes.title for axes in draw(load(tmp_path), "accuracies").axes]
    said = ["Training\n1,040 to 1,045 texts", "Validation\n149 texts", "Test\n20 texts"]
    assert [title.get_text() for title in titles] == said
    for left, right in itertools.pairwise(title.get_window_extent() for title in titles):
        assert left.x1 < right.x0


def test_standins_are_named_in_one_line_of_every_figure(studies):
    for name in NAMES:
        heading = studies.drawn("stand-ins, three seeds", name).get_suptitle().splitlines()
        named = "Stand-in data and stand-in models: not GPT-2, not the published study."
        assert heading[1:] == [named]


# --- it is what was computed


@pytest.mark.parametrize(
    ("name", "seeds"), [("published", 1), ("two seeds", 2), ("stand-ins, three seeds", 3)]
)
def test_with_several_seeds_the_interval_of_test_accuracy_is_drawn_and_counts_training(
    studies, name, seeds
):
    rows = studies.answers(name).rows
    panels = studies.drawn(name, "accuracies").axes
    across = [[line for line in panel.lines if line.get_linestyle() == "-"] for panel in panels]
    each = [len(rows)] * 3 if seeds == 1 else [0, 0, len(rows)]
    assert list(map(len, across)) == each
    lines = studies.drawn(name, "accuracy_and_time").axes[0].lines
    upright = [line for line in lines if line.get_color() == accuracy_and_time.FAINT]
    assert len(upright) == len(rows)
    for row, of_test, up in zip(rows, across[2], upright, strict=False):
        test = row.accuracy["test"]
        assert of_test.get_xdata() == pytest.approx([100 * test.low, 100 * test.high])
        assert up.get_ydata() == pytest.approx(of_test.get_xdata())
    for row, of_training in zip(rows, across[0], strict=False):
        training = row.accuracy["train"]
        ends = [100 * training.low, 100 * training.high]
        assert of_training.get_xdata() == pytest.approx(ends)


def test_the_forest_plot_shows_every_difference_and_so_does_each_answers_own(studies):
    read = studies.answers("published")
    whole = studies.drawn("published", "differences").axes[0]
    with matplotlib.rc_context(drawing.STYLE):
        small = [figures.one_difference(read, found).axes[0] for found in read.comparisons]
    assert {axes.get_xlim() for axes in small} == {whole.get_xlim()}
    for position, (axes, comparison) in enumerate(zip(small, read.comparisons, strict=True)):
        for lines in (axes.lines, [line for line in whole.lines if _is_at(line, position)]):
            overall, points = comparison.overall, {line.get_marker(): line for line in lines}
            ends = [100 * overall.low, 100 * overall.high]
            assert ends in [list(line.get_xdata()) for line in lines]
            assert points["o"].get_xdata() == pytest.approx([100 * overall.difference])
            face = drawing.MEASURED if comparison.decided else "white"
            assert points["o"].get_markerfacecolor() == face
            published = comparison.published_difference
            assert points["D"].get_xdata() == pytest.approx([100 * published])
    assert {comparison.decided for comparison in read.comparisons} == {True, False}


def _is_at(line, position):
    return position <= np.mean(line.get_ydata()) < position + 0.5 and len(line.get_xdata()) < 3


def test_published_values_are_marked_where_there_are_any(studies):
    for name, marked in (("published", True), ("stand-ins, three seeds", False)):
        for figure in ("accuracies", "differences"):
            found = studies.drawn(name, figure)
            assert ("published" in legend(found)) == marked
            markers = {line.get_marker() for axes in found.axes for line in axes.lines}
            assert ("D" in markers) == marked


def test_a_grid_over_a_number_is_a_line_for_each_value_of_its_other_setting(studies):
    read, figure = studies.answers("over numbers"), studies.of_grid("learning_rate")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and figure.legends[0].get_title().get_text() == "epochs"
    lines = {line.get_label(): line for line in axes.lines if len(line.get_xdata()) > 2}
    assert [label for label in legend(figure) if label in lines] == ["3", "10"]
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in lines.values()}
    assert all(len(set(look)) == 2 for look in zip(*looks, strict=True))
    for epochs, line in lines.items():
        rows = [row for row in read.rows if row.id.endswith(f"-epochs-{epochs}")] or [
            row for row in read.rows if f"-epochs-{epochs}-" in row.id
        ]
        rows.sort(key=lambda row: row.settings.training.learning_rate)
        numbers = [row.settings.training.learning_rate for row in rows]
        accuracies = [row.accuracy["test"] for row in rows]
        assert line.get_xdata() == pytest.approx(numbers)
        assert line.get_ydata() == pytest.approx([100 * found.mean for found in accuracies])
        own = [each for each in axes.lines if each.get_color() == line.get_color()]
        upright = [each.get_xydata() for each in own if len(each.get_xdata()) == 2]
        assert len(upright) == len(rows)
        for (low, high), number, found in zip(upright, numbers, accuracies, strict=True):
            assert [*low, *high] == pytest.approx(
                [number, 100 * found.low, number, 100 * found.high]
            )


def test_the_baseline_is_a_line_across_where_no_row_of_the_grid_equals_it(studies):
    for number, there in (("learning_rate", True), ("batch_size", False)):
        figure = studies.of_grid(number)
        assert ("baseline" in legend(figure)) == there
        baseline = 100 * studies.answers("over numbers").rows[0].accuracy["test"].mean
        level = [list(line.get_ydata()) for line in figure.axes[0].lines]
        assert ([baseline, baseline] in level) == there


def test_a_time_that_does_not_compare_is_hollow(tmp_path):
    eight_rows(tmp_path, per_row={"last-layer": {"device": "a CPU"}})
    figure = draw(load(tmp_path), "accuracy_and_time")
    points = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    hollow = [point.get_markerfacecolor() == "white" for point in points]
    assert hollow == [False, False, True, *[False] * 5]
    assert "time not comparable: another device" in legend(figure)


def test_curves_end_with_the_loss_over_all_texts(studies):
    read, figure = studies.answers("published"), studies.drawn("published", "learning_curves")
    for row, panel in zip(read.rows, figure.axes, strict=True):
        ends = {
            line.get_marker(): line.get_xydata()[0].tolist()
            for line in panel.lines
            if len(line.get_xdata()) == 1
        }
        last = 5 * 130 - 1  # five epochs of 130 batches, counted from 0
        assert ends["o"] == [last, row.log_loss["train"].mean]
        assert ends["s"] == [last, row.log_loss["validation"].mean]


def test_a_run_that_was_evaluated_once_is_a_cross(tmp_path):
    once = (Evaluation(epoch=1, step=0, train_loss=0.7, validation_loss=0.9),)
    eight_rows(tmp_path, per_row={"last-layer": {"history": once}})
    figure = draw(load(tmp_path), "learning_curves")
    crosses = {
        panel.get_title(loc="left"): [line.get_xydata()[0].tolist() for line in panel.lines[:2]]
        for panel in figure.axes
        if {line.get_marker() for line in panel.lines[:2]} == {"x"}
    }
    assert crosses == {"last-layer": [[0, 0.7], [0, 0.9]]}
    assert {line.get_marker() for line in figure.legends[0].get_lines()[:2]} == {"x"}


@pytest.mark.parametrize(
    ("seeds", "folds", "said"),
    [
        (1, None, "The line through a point is its 95% interval."),
        (2, None, "Points are means over runs, ticks are single runs. The line through a point"),
        (1, 5, "The line through a point is the 95% interval of test accuracy; it counts"),
    ],
)
def test_the_reports_caption_says_which_intervals_are_drawn(seeds, folds, said):
    caption = jinja2.Template((ROOT / "workflow/report/accuracies.rst").read_text())
    dataset = {"split": {"folds": folds} if folds else {"train": 0.7}}
    config = {"seeds": list(range(seeds)), "dataset": dataset}
    shown = " ".join(caption.render(snakemake={"config": config}).split())
    assert said in shown


def test_long_curves_of_many_runs_are_thinned(tmp_path):
    history = [
        {"epoch": 1, "step": step, "train_loss": 1.0, "validation_loss": 1.0}
        for step in range(figures.CURVE_POINTS)
    ]
    history = msgspec.convert(history, tuple[Evaluation, ...])
    two_rows(tmp_path, *disagreeing(20, 1, 0), history=history)
    figure = draw(load(tmp_path), "learning_curves")
    lines = [line for panel in figure.axes for line in panel.lines if len(line.get_xdata()) > 1]
    assert sum(len(line.get_xdata()) for line in lines) <= figures.CURVE_POINTS
    assert all(line.get_xdata()[-1] == history[-1].step for line in lines)


def test_a_study_without_comparisons_or_losses_is_drawn_to_the_same_bytes(tmp_path):
    right, written = np.zeros((1, 20), bool), {"history": (), "training_time_seconds": 0.0}
    read = study(tmp_path, right={"baseline": right}, written=written)
    shown = [text.get_text() for text in visible_texts(draw(read, "differences"))]
    assert "The configuration states no comparisons." in shown
    assert isinstance(read, compute.Answers)
    assert figures.draw(read) == figures.draw(read)
