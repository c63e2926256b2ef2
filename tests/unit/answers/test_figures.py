import itertools
import json

import jinja2
import matplotlib
import msgspec
import numpy as np
import pytest

from ablations.answers import statistics
from ablations.answers.written import accuracy_and_time, figures
from ablations.study import config
from ablations.training.metrics import Evaluation
from commands import ROOT
from synthetic_runs import configuration, disagreeing, eight_rows, load, two_rows, write

NAMES = ["accuracies", "accuracy_and_time", "differences", "learning_curves"]
LONG = "a-row-with-a-name-that-goes-on-and-on-and-on-until-nobody-can-read-it-any-more"
NOTE = "Stand-in models: nano-small, nano-medium and nano-large are not GPT-2. " * 2


def many_rows(folder, rows, seeds, prefix="row", notes=()):
    made = configuration(seeds=list(range(seeds)))
    layers = list(accuracy_and_time.LAYER_MARKERS)
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
        for draw in figures.FIGURES:
            figure = draw(read)
            figure.draw_without_rendering()
            yield draw.__name__, figure


def draw_one(read, name):
    with matplotlib.rc_context(figures.STYLE):
        figure = getattr(figures, name)(read)
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


@pytest.mark.parametrize(
    ("rows", "seeds", "prefix", "notes"),
    [(3, 5, LONG, [NOTE]), (8, 1, "row", []), (30, 1, LONG, [NOTE])],
    ids=["3 long", "8", "30 long"],
)
def test_no_text_is_clipped(tmp_path, rows, seeds, prefix, notes):
    for name, figure in drawn(many_rows(tmp_path, rows, seeds, prefix, notes)):
        assert clipped(figure) == [], name


def clipped(figure):
    width, height = figure.get_size_inches() * figure.dpi
    boxes = [(text.get_text(), text.get_window_extent()) for text in visible_texts(figure)]
    return [
        text
        for text, box in boxes
        if box.x0 <= -1 or box.y0 <= -1 or box.x1 >= width + 1 or box.y1 >= height + 1
    ]


@pytest.fixture(scope="module")
def of_a_grid(tmp_path_factory):
    """The figures of a grid of 96 rows, and of two rows whose ids differ only in the middle."""
    made = configuration()
    made["rows"] = [
        {key: value for key, value in made["rows"][0].items() if key != "published"},
        {
            "id": "sweep",
            "grid": {
                "trainable_token": ["first", "last"],
                "trainable_layers": ["last_layer", "last_block"],
                "context_length": [64, "longest_training_example"],
                "batch_size": [4, 16],
                "learning_rate": [1e-4, 5e-5, 25e-6],
                "epochs": [3, 10],
            },
        },
        *({"id": f"{45 * 'a'}-{epochs}-{45 * 'z'}", "epochs": epochs} for epochs in (6, 7)),
    ]
    one, other = (row["id"] for row in made["rows"][2:])
    pairs = [("baseline", "sweep"), ("baseline", one), (one, other), (other, one)]
    made["comparisons"] = [
        {"id": f"q{n}", "question": "?", "baseline": baseline, "variant": variant}
        for n, (baseline, variant) in enumerate(pairs)
    ]
    study = config.parse(made)
    assert len(study.rows) == 99
    folder = tmp_path_factory.mktemp("grid")
    draw = np.random.default_rng(0)
    write(folder, study, {row.id: draw.random((1, 50)) < 0.9 for row in study.rows})
    return dict(drawn(load(folder)))


def row_labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_every_row_of_a_grid_has_a_label_of_its_own(of_a_grid):
    rows, compared = row_labels(of_a_grid["accuracies"]), row_labels(of_a_grid["differences"])
    titles = [axes.get_title(loc="left") for axes in of_a_grid["learning_curves"].axes]
    assert len(set(rows)) == len(set(titles)) == len(titles) == 99
    assert len(set(compared)) == len(compared) == 99
    named = [text.get_text() for text in of_a_grid["accuracy_and_time"].axes[0].texts]
    named = [name for name in named if name]  # others are lines to points
    assert len(set(named)) == len(named)


def test_a_label_that_is_cut_has_the_rows_number_and_both_ends_of_its_id(of_a_grid):
    shown = row_labels(of_a_grid["accuracies"])
    assert shown[13] == "#14 sweep-token-first-…\nepochs-3-batch-4-lr-1e-4"
    assert shown[98] == f"#99 {23 * 'a'}…\n{28 * 'z'}"
    compared = row_labels(of_a_grid["differences"])
    assert compared[12] == f"{shown[13]}\nagainst baseline (confounded)"
    assert compared[97] == f"{shown[98]}\nagainst {shown[97]}"


def test_no_text_of_a_grids_figures_is_clipped(of_a_grid):
    for name, figure in of_a_grid.items():
        assert clipped(figure) == [], name


def test_labels_of_a_grid_do_not_run_into_each_other(of_a_grid):
    shown = of_a_grid["differences"].axes[0].get_yticklabels()
    assert max(label.get_text().count("\n") for label in shown) == 3
    for upper, lower in itertools.pairwise(label.get_window_extent() for label in shown):
        assert upper.y0 >= lower.y1
    titles = [axes._left_title.get_window_extent() for axes in of_a_grid["learning_curves"].axes]
    for left, right in itertools.combinations(titles[1:97], 2):
        assert not left.overlaps(right)


@pytest.mark.parametrize(
    ("id", "label"),
    [
        ("sweep-token-first-layers-all", "sweep-token-first-layers-all"),
        ("sweep-token-last-layers-last-block", "sweep-token-last-layers-\nlast-block"),
        (f"a-{54 * 'b'}", f"a-{26 * 'b'}\n{28 * 'b'}"),
        (f"{28 * 'a'}-{27 * 'b'}", f"{28 * 'a'}\n-{27 * 'b'}"),
    ],
)
def test_an_id_that_two_lines_hold_is_whole(tmp_path, id, label):
    rows = [configuration()["rows"][0], {"id": id, "epochs": 6}]
    study = config.parse(configuration(rows=rows, comparisons=[]))
    write(tmp_path, study, {row.id: np.ones((1, 20), bool) for row in study.rows})
    assert row_labels(draw_one(load(tmp_path), "accuracies")) == ["baseline", label]


def test_row_labels_do_not_run_into_each_other(tmp_path):
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.accuracies(many_rows(tmp_path, 30, 1, LONG))
        figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert len(boxes) == 30
    for upper, lower in itertools.pairwise(boxes):
        assert upper.y0 >= lower.y1


def names_beside_points(read):
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.accuracy_and_time(read)
        figure.draw_without_rendering()
    return figure, [text for text in figure.axes[0].texts if text.get_text()]


@pytest.mark.parametrize(("rows", "prefix"), [(8, LONG), (19, "row"), (24, "some-row")])
def test_every_rows_name_is_beside_its_point_and_overlaps_nothing(tmp_path, rows, prefix):
    read = many_rows(tmp_path, rows, 1, prefix)
    figure, names = names_beside_points(read)
    assert len({name.get_text() for name in names}) == rows
    boxes = [name.get_window_extent() for name in names]
    markers = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    assert len(markers) == rows
    points = figure.axes[0].transData.transform([line.get_xydata()[0] for line in markers])
    inside = figure.axes[0].get_window_extent()
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
        assert not any(box.contains(*point) for point in points)
        assert inside.contains(box.x0, box.y0) and inside.contains(box.x1, box.y1)


@pytest.mark.parametrize("longest", [20, 6000, 60 * 60 * 40])
def test_times_below_the_axis_do_not_run_into_each_other(tmp_path, longest):
    per_row = {
        row: {"training_time_seconds": longest if row == "large" else 0.9 if row == "medium" else 5}
        for row in ("baseline", "first-token", "last-layer", "all-layers", "medium", "large")
    }
    eight_rows(tmp_path, per_row=per_row)
    figure = figures.accuracy_and_time(load(tmp_path))
    figure.draw_without_rendering()
    labels = [text for text in figure.axes[0].get_xticklabels() if text.get_text()]
    boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.x0)
    assert len(boxes) >= 3
    assert all(one.x1 + 3 < other.x0 for one, other in itertools.pairwise(boxes))


def test_a_line_leads_from_a_name_to_its_point_where_another_is_as_near(tmp_path):
    read = many_rows(tmp_path, 19, 1, "some-row")
    figure, names = names_beside_points(read)
    lines = [text for text in figure.axes[0].texts if not text.get_text()]
    assert lines
    for line in lines:
        # ends in points, so that they are right in a file of another resolution
        assert line.anncoords == "offset points"
        assert (line.xy, line.xyann) in [(name.xy, name.xyann) for name in names]
    led = {line.xy for line in lines}
    figure.draw_without_rendering()
    points = {name.xy: figure.axes[0].transData.transform(name.xy) for name in names}
    for name in names:
        box = name.get_window_extent().padded(1)
        near = {xy for xy, point in points.items() if box.padded(4).contains(*point)}
        assert near <= {name.xy} or name.xy in led


def test_letters_are_legible_where_a_figure_is_as_wide_as_a_papers_text(tmp_path):
    for _, figure in drawn(many_rows(tmp_path, 4, 1)):
        smallest = min(text.get_fontsize() for text in visible_texts(figure))
        assert smallest * 5.5 / figure.get_size_inches()[0] >= 6  # points


def test_a_panel_names_the_messages_that_its_accuracies_are_over(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    titles = [axes.get_title() for axes in draw_one(load(tmp_path), "accuracies").axes]
    assert titles == ["Training\n1,040 messages", "Validation\n149 messages", "Test\n20 messages"]


def test_titles_of_panels_do_not_run_into_each_other(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0), changed={"batch_size": 1})
    figure = dict(drawn(load(tmp_path)))["accuracies"]
    titles = [axes.title for axes in figure.axes]
    assert titles[0].get_text() == "Training\n1,040 to 1,045 messages"
    for left, right in itertools.pairwise(title.get_window_extent() for title in titles):
        assert left.x1 < right.x0


def test_of_a_hundred_rows_the_front_is_named_and_the_figure_says_so(tmp_path):
    read = many_rows(tmp_path, 100, 1)
    figure, names = names_beside_points(read)
    time = {row.id: row.runs[0].metrics.training_time_seconds for row in read.rows}
    accuracy = {row.id: row.right.mean() for row in read.rows}
    front = {
        id
        for id in time
        if not any(
            (time[other] < time[id] and accuracy[other] >= accuracy[id])
            or (time[other] == time[id] and accuracy[other] > accuracy[id])
            for other in time
        )
    }
    assert {name.get_text() for name in names} == front | {"baseline"}
    assert any("Named: the baseline" in text.get_text() for text in visible_texts(figure))


def test_standins_are_named_in_one_line_of_every_figure(tmp_path):
    notes = ["Stand-in data: the messages are generated.", f"Stand-in models: {NOTE}"]
    two_rows(tmp_path, *disagreeing(20, 1, 0), notes=notes)
    for _, figure in drawn(load(tmp_path)):
        heading = figure.get_suptitle().splitlines()
        named = "Stand-in data and stand-in models: not GPT-2, not the published study."
        assert heading[1:] == [named]


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


def test_nothing_published_is_shown_beside_standins(tmp_path):
    keys = {"train": 1.0, "validation": 1.0, "device": "V100"}
    both = {"published": [{"test": 0.9, **keys}, {"test": 0.8, **keys}]}
    two_rows(tmp_path, *disagreeing(20, 1, 0), comparison=both, notes=["Stand-in data."])
    figure = dict(drawn(load(tmp_path)))
    for name in ("accuracies", "differences"):
        assert "published" not in legend(figure[name])
        assert all(line.get_marker() != "D" for axes in figure[name].axes for line in axes.lines)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_forest_plot_shows_what_was_computed(tmp_path):
    two_rows(tmp_path, *disagreeing(300, 20, 2))
    read = load(tmp_path)
    (comparison,) = read.comparisons
    axes = draw_one(read, "differences").axes[0]
    intervals = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    assert [100 * comparison.overall.low, 100 * comparison.overall.high] in [
        list(each) for each in intervals
    ]
    (point,) = [line for line in axes.lines if line.get_marker() == "o"]
    assert point.get_markerfacecolor() == figures.MEASURED  # decided
    two_rows(tmp_path, *disagreeing(300, 5, 6))
    (point,) = [
        line
        for line in draw_one(load(tmp_path), "differences").axes[0].lines
        if line.get_marker() == "o"
    ]
    assert point.get_markerfacecolor() == "white"  # not decided


def test_each_answer_has_its_line_of_the_forest_plot_on_one_axis(tmp_path):
    eight_rows(tmp_path)
    read = load(tmp_path)
    with matplotlib.rc_context(figures.STYLE):
        small = [figures.one_difference(read, found).axes[0] for found in read.comparisons]
    whole = draw_one(read, "differences").axes[0]
    assert {axes.get_xlim() for axes in small} == {whole.get_xlim()}
    for axes, comparison in zip(small, read.comparisons, strict=True):
        overall = comparison.overall
        assert [100 * overall.low, 100 * overall.high] in [
            list(line.get_xdata()) for line in axes.lines
        ]
        shown = [line for line in axes.lines if line.get_marker() in "oD"]
        expected = [overall.difference, comparison.published_difference]
        assert [line.get_xdata()[0] for line in shown] == pytest.approx(
            [100 * each for each in expected if each is not None]
        )


def hollow_points(figure):
    points = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    return [point.get_markerfacecolor() == "white" for point in points]


@pytest.mark.parametrize(
    ("differing", "why"),
    [
        ({"device": "a CPU"}, "another device"),
        ({"threads": 2}, "another number of threads"),
        ({"shared_device": True}, "device shared with other jobs"),
    ],
)
def test_a_time_that_does_not_compare_is_marked_at_its_row(tmp_path, differing, why):
    read = many_rows(tmp_path, 4, 1)
    figure = draw_one(read, "accuracy_and_time")
    assert hollow_points(figure) == [False] * 4
    assert not any("not comparable" in entry for entry in legend(figure))
    path = tmp_path / "runs/row-2/seed-0/metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | differing))
    figure = draw_one(load(tmp_path), "accuracy_and_time")
    assert hollow_points(figure) == [False, False, True, False]
    assert f"time not comparable: {why}" in legend(figure)


def test_curves_end_with_the_loss_over_all_messages(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    read = load(tmp_path)
    figure = draw_one(read, "learning_curves")
    for row, panel in zip(read.rows, figure.axes, strict=True):
        ends = {
            line.get_marker(): line.get_xydata()[0].tolist()
            for line in panel.lines
            if len(line.get_xdata()) == 1
        }
        (run,) = row.runs
        last = 5 * 130 - 1  # five epochs of 130 batches, counted from 0
        assert ends["o"] == [last, run.log_loss["train"]]
        assert ends["s"] == [last, run.log_loss["validation"]]
    assert "all training messages, after the last step" in legend(figure)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_intervals_count_training_from_three_seeds_on_and_two_seeds_have_none(tmp_path, seeds):
    read = many_rows(tmp_path, 2, seeds)
    figure = dict(drawn(read))
    panels = [figure["accuracies"].axes[split] for split in range(3)]
    drawn_in = [[line for line in panel.lines if line.get_linestyle() == "-"] for panel in panels]
    assert list(map(len, drawn_in)) == {1: [2, 2, 2], 2: [0, 0, 0], 3: [0, 0, 2]}[seeds]
    axes = figure["accuracy_and_time"].axes[0]
    upright = [line for line in axes.lines if line.get_color() == accuracy_and_time.FAINT]
    assert len(upright) == (0 if seeds == 2 else 2)
    noise = statistics.run_noise(np.stack([row.right for row in read.rows]))
    for row, across, up in zip(read.rows, drawn_in[2], upright, strict=False):
        expected = statistics.mean_accuracy_interval(row.right, noise)
        assert across.get_xdata() == pytest.approx([100 * float(end) for end in expected])
        assert up.get_ydata() == pytest.approx(across.get_xdata())
        if seeds == 1:
            across = drawn_in[0][read.rows.index(row)]
            (run,) = row.runs
            expected = statistics.wilson(run.metrics.accuracy.train, 1040)  # whole batches
            assert across.get_xdata() == pytest.approx([100 * float(end) for end in expected])


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        (1, "The line through a point is its 95% interval."),
        (2, "Points are means over seeds, ticks are single seeds."),
        (3, "The line through a point is the 95% interval of test accuracy; it counts"),
    ],
)
def test_the_reports_caption_says_which_intervals_are_drawn(seeds, said):
    caption = jinja2.Template((ROOT / "workflow/report/accuracies.rst").read_text())
    shown = caption.render(snakemake={"config": {"seeds": list(range(seeds))}})
    assert said in shown and ("interval" in shown) == (seeds != 2)


def test_long_curves_of_many_runs_are_thinned(tmp_path):
    history = [
        {"epoch": 1, "step": step, "train_loss": 1.0, "validation_loss": 1.0}
        for step in range(figures.CURVE_POINTS)
    ]
    history = msgspec.convert(history, tuple[Evaluation, ...])
    two_rows(tmp_path, *disagreeing(20, 1, 0), history=history)
    figure = draw_one(load(tmp_path), "learning_curves")
    lines = [line for panel in figure.axes for line in panel.lines if len(line.get_xdata()) > 1]
    assert sum(len(line.get_xdata()) for line in lines) <= figures.CURVE_POINTS
    assert all(line.get_xdata()[-1] == history[-1].step for line in lines)


def test_a_study_without_comparisons_or_losses_can_be_drawn(tmp_path):
    read = many_rows(tmp_path, 1, 1)
    shown = [text.get_text() for text in visible_texts(draw_one(read, "differences"))]
    assert "The configuration states no comparisons." in shown
    two_rows(tmp_path, *disagreeing(20, 20, 0), history=(), training_time_seconds=0.0)
    assert [name for name, _ in drawn(load(tmp_path))]


def test_the_same_study_gives_the_same_bytes(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0, seeds=2))
    for format in ("svg", "png"):
        assert figures.draw(load(tmp_path), format) == figures.draw(load(tmp_path), format)
