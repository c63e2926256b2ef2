"""The table as it is read: how wide, in which words, of how much of the study, as LaTeX."""

import csv
import io
import re
import time

import numpy as np
import pytest

from ablations.answers import formats
from ablations.answers.scores import Measured
from ablations.answers.written import interpretation, numbers, table, terminal
from ablations.answers.written.notes import notes
from ablations.study import config, extends
from commands import ROOT
from synthetic_runs import configuration, disagreeing, eight_rows, load, study, two_rows, write

EXTENDED = ROOT / "studies/extended/config.yaml"


def nineteen_rows(folder, seeds):
    extended = config.parse(extends.whole(EXTENDED) | {"seeds": list(range(seeds))})
    draw = np.random.default_rng(0)
    right = {row.id: draw.random((seeds, 300)) < row.published.test for row in extended.rows}
    write(folder, extended, right)


def changes(grid):
    return {line[1]: line[2] for line in grid.lines if line[0]}


def by_heading(grid):
    return [dict(zip(grid.headings, line, strict=True)) for line in grid.lines]


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- the first table


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("study", ["eight", "nineteen"])
def test_the_first_table_fits_a_screen_with_nothing_shortened(tmp_path, study, seeds):
    if study == "eight":
        eight_rows(tmp_path, seeds=range(seeds))
    else:
        nineteen_rows(tmp_path, seeds)
    grid = table.compact(load(tmp_path))
    assert grid.headings == ("#", "Row", "Change", "Test (95% interval)", "Val.", "Train", "Time")
    assert max(map(len, grid.markdown().splitlines())) <= 120
    assert not any("…" in cell for line in grid.lines for cell in line)
    assert re.fullmatch(r"\d\d\.\d\d% \(\d\d\.\d–\d\d\.\d\)", grid.lines[0][3])


def test_long_names_are_shortened_and_what_was_measured_is_not(tmp_path):
    settings = {"trainable_layers": "lora", "context_length": "model_context_length", "epochs": 7}
    results = study(tmp_path, {"id": 100 * "a", "weight_decay": 0.5} | settings, texts=30)
    written = table.compact(results).markdown().splitlines()
    assert {len(line) for line in written} <= {119, 120}  # no space is left before an ellipsis
    assert written[3].count("…") == 2 and "100.00% (88.6–100.0)" in written[3]


def test_what_a_row_changes_is_said_in_words(tmp_path):
    nineteen_rows(tmp_path, 1)
    assert changes(table.compact(load(tmp_path))) == {
        "baseline": "(the baseline)",
        "first-token": "first token",
        "last-layer": "last layer",
        "last-two-blocks": "last two blocks",
        "all-layers": "all layers",
        "medium": "gpt2-medium",
        "large": "gpt2-large",
        "xl": "gpt2-xl",
        "xl-all-layers": "gpt2-xl, all layers",
        "random-weights": "random weights, all layers",
        "lora": "lora (rank 16, alpha 16)",
        "xl-lora": "gpt2-xl, lora (rank 16, alpha 8)",
        "full-context": "context length (1024)",
        "no-padding": "no padding",
        "no-padding-accumulated": "no padding, 8 batches accumulated",
        "flexible-token": "last token before the padding",
        "no-causal-mask": "no causal mask",
        "ignore-index": "ignore_index 50256 (no effect)",
        "average-embeddings": "average over all positions",
    }


@pytest.mark.parametrize(
    ("baseline", "row", "expected"),
    [
        ({}, {"learning_rate": 1e-4, "epochs": 10}, "epochs 10, learning_rate 0.0001"),
        ({}, {"context_length": 64}, "context length 64"),
        (
            {"context_length": 64},
            {"context_length": "longest_training_example"},
            "longest train ex. (120)",
        ),
        ({"trainable_layers": "lora"}, {"lora_rank": 4}, "lora (rank 4, alpha 8)"),
        ({"trainable_layers": "lora"}, {"trainable_layers": "all"}, "all layers"),
        ({"causal_mask": False}, {"causal_mask": True}, "causal mask"),
        ({"accumulation_steps": 2}, {"accumulation_steps": 1}, "no accumulation"),
        ({"average_embeddings": True}, {"average_embeddings": False}, "one position"),
        (  # an average reads no token
            {},
            {"average_embeddings": True, "trainable_token": "first"},
            "average over all positions",
        ),
        (
            {"average_embeddings": True},
            {"average_embeddings": False, "trainable_token": "first"},
            "first token, one position",
        ),
        ({"weights": "random"}, {"weights": "pretrained"}, "pretrained weights"),
        ({}, {}, "nothing"),
        ({"model": "m (one)"}, {"model": "m (two)"}, "m (two)"),
    ],
)
def test_what_any_row_changes(tmp_path, baseline, row, expected):
    made = configuration()
    model = made["models"]["gpt2-small (124M)"]
    models = made["models"] | {"m (one)": model, "m (two)": model}
    rows = [made["rows"][0] | baseline, {"id": "row"} | row]
    results = study(tmp_path, rows=rows, models=models)
    assert changes(table.compact(results))["row"] == expected


# --- every column


def test_a_column_of_times_has_one_unit():
    def column(*seconds):
        found = [Measured.of(each) for each in seconds]
        return list(map(formats.times(found), found))

    assert column(23.4, 3.0) == ["23.4 s", "3.0 s"]
    assert column(23.4, 6000.0) == ["0.39 min", "100.00 min"]
    assert column(0.034, 3.0) == ["0.03 s", "3.00 s"]


def test_published_times_are_in_the_unit_of_the_measured_ones(tmp_path):
    eight_rows(tmp_path, training_time_seconds=4.2)
    results = load(tmp_path)
    first = by_heading(table.full(results))[0]
    assert first["Training time (published)"] == "4.2 s (23.4 s, V100)"
    below = "\n".join(interpretation.measured_and_published(results))
    assert "23.4 s (V100)" in below and " min" not in below


# --- classes and losses


def classes(folder, names="abc", seeds=(1, 2), messages=90, wrong=()):
    """One row, every answer right but those to `wrong`, (seed, message)."""
    right = np.ones((len(seeds), messages), bool)
    for seed, index in wrong:
        right[seed, index] = False
    return study(folder, right={"baseline": right}, seeds=seeds, written={"classes": names})


def only(grid):
    (line,) = by_heading(grid)
    return line


def test_recall_of_each_class_macro_f1_log_loss_and_the_worst_seed(tmp_path):
    found = only(table.by_class(classes(tmp_path, wrong=[(1, 0), (1, 3), (1, 6)])))
    assert found["Recall of a"] == "95.00 ± 7.07%" and found["Recall of c"] == "100.00 ± 0.00%"
    assert found["Macro-F1"] == "98.33 ± 2.36%"
    # where right, log(1 + 2 / e²); where wrong, 2 more
    assert found["Log-loss"] == "0.273 ± 0.047"
    assert found["Worst run's test acc"] == "96.67% (seed 2)"


def test_two_classes_need_no_macro_f1_and_many_are_summed_up(tmp_path):
    found = only(table.by_class(classes(tmp_path / "two", "ab", seeds=[1])))
    assert "Macro-F1" not in found and "Worst run's test acc" not in found
    wrong = [(0, 6), (1, 6), (0, 1)]
    found = only(table.by_class(classes(tmp_path / "eight", "abcdefgh", wrong=wrong)))
    assert found["Lowest recall"] == "90.91% (g)" and "Recall of a" not in found


def test_a_class_that_the_test_set_lacks(tmp_path):
    results = classes(tmp_path, messages=2)
    assert only(table.by_class(results))["Recall of c"] == "–"
    (row,) = read_csv(numbers.rows(results))
    assert (row["recall_a"], row["recall_c"], row["macro_f1"]) == ("1.0", "", "1.0")


def test_of_many_classes_the_first_are_named(tmp_path):
    (data, *_) = notes(classes(tmp_path, [f"c{n}" for n in range(12)]))
    assert "; 12 classes (c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, 2 more); texts: " in data


HOSTILE = ('=cmd|"x"', "*bold* <b>", "50% & $x_1$ \\\\ [#], _y_")


def test_hostile_class_names_stay_names(tmp_path):
    results = classes(tmp_path, HOSTILE, wrong=[(0, 1)])
    rows = read_csv(numbers.classes(results))
    assert [row["class"] for row in rows] == [*HOSTILE, *HOSTILE]
    assert rows[1] == {
        "row": "1",
        "id": "baseline",
        "fold": "",
        "seed": "1",
        "class": HOSTILE[1],
        "texts": "30",
        "recall": "0.966667",
        "precision": "1.0",
        "f1": "0.983051",
        f"predicted_{HOSTILE[0]}": "0",
        f"predicted_{HOSTILE[1]}": "29",
        f"predicted_{HOSTILE[2]}": "1",
    }
    assert read_csv(numbers.rows(results))[0][f"recall_{HOSTILE[1]}"] == "0.983333"
    written = table.by_class(results).markdown()
    assert r"Recall of \*bold\* \<b\>" in written
    assert r"Recall of 50% \& $x_1$ \\\\ \[\#\], \_y\_" in written
    columns = {len(re.findall(r"(?<!\\)\|", line)) for line in written.splitlines()}
    assert columns == {1 + len(table.by_class(results).headings)}


# --- the notes


@pytest.mark.parametrize(("seeds", "said"), [((124,), "seed 124"), ((1, 2), "seed 1, 2")])
def test_a_row_that_always_answers_the_same_is_named(tmp_path, seeds, said):
    right = np.ones((len(seeds), 20), bool)
    right[:, ::2] = False  # the ham, taken for spam
    results = study(tmp_path, {"id": "variant", "epochs": 1}, right={"variant": right}, seeds=seeds)
    assert f"Row variant answers spam for every test text ({said})." in notes(results)


def test_a_row_that_once_answers_the_same_is_named_with_its_seed(tmp_path):
    right = np.ones((3, 20), bool)
    right[1, 1::2] = False
    two_rows(tmp_path, np.ones((3, 20), bool), right)
    assert "Row variant answers ham for every test text (seed 101)." in notes(load(tmp_path))


def test_a_test_set_of_one_message(tmp_path):
    two_rows(tmp_path, np.ones((3, 1), bool), np.zeros((3, 1), bool))
    results = load(tmp_path)
    assert "for every test text" not in table.markdown(results)
    assert len(numbers.rows(results).splitlines()) == 3


# --- so far


def test_so_far_without_the_baseline_no_change_is_named(tmp_path):
    two_rows(tmp_path, *disagreeing(20, 1, 0))
    (tmp_path / "rows/baseline.json").unlink()
    grid = table.compact(load(tmp_path, so_far=True))
    assert [line[:3] for line in grid.lines] == [("1", "baseline", "–"), ("2", "variant", "–")]


# --- for a paper


def test_latex_names_stand_ins_and_takes_any_text(tmp_path):
    title = "50% of $x_1$ & {y}~^#\\ <é>"
    results = study(tmp_path, title=title, written={"notes": ["Stand-in_data."]})
    assert "\n\nStand-in_data.\n\n" in terminal.summary(results)
    assert (
        r"\caption{50\% of \$x\_1\$ \& \{y\}\textasciitilde{}\textasciicircum{}\#"
        r"\textbackslash{} \textless{}é\textgreater{}. Stand-in\_data. Change: "
    ) in table.tex(results)


def test_latex_draws_no_signs_together() -> None:
    assert formats.latex('a--b---c, "!`') == "a-{}-b-{}-{}-c, ''!{}`"


# --- many rows


def test_a_hundred_rows_are_written_within_seconds(tmp_path):
    rows = [configuration()["rows"][0], *({"id": f"row-{i}", "epochs": i} for i in range(1, 100))]
    made = configuration(seeds=[1], rows=rows, comparisons=[])
    draw = np.random.default_rng(0)
    write(tmp_path, config.parse(made), {row["id"]: draw.random((1, 1000)) < 0.9 for row in rows})
    results = load(tmp_path)
    begin = time.monotonic()
    errors, markdown = numbers.errors(results), table.markdown(results)
    assert time.monotonic() - begin < 20
    assert len(errors.splitlines()) == 1001 and "row-99" in markdown
    assert max(map(len, notes(results))) < 1000


def test_the_id_of_a_grid_s_row_keeps_the_end_that_tells_it_from_others(tmp_path):
    made = configuration()
    made["rows"].append(
        {"id": "sweep", "grid": {"learning_rate": [1e-4, 2e-4], "weight_decay": [0.01, 0.15]}}
    )
    results = study(tmp_path, rows=made["rows"], texts=30)
    written = table.compact(results)
    assert [line[1] for line in written.lines] == [row.id for row in results.rows]
    assert max(map(len, written.markdown().splitlines())) <= 120


def test_an_id_that_does_not_fit_keeps_both_ends(tmp_path):
    values = {"context_length": [64, 128], "learning_rate": [1e-4, 2e-4], "epochs": [3, 10]}
    values |= {"trainable_token": ["first", "last"], "trainable_layers": ["last_layer", "all"]}
    results = study(tmp_path, {"id": "sweep", "grid": values}, texts=30)
    written = table.compact(results)
    assert max(map(len, written.markdown().splitlines())) <= 120
    for line, row in zip(written.lines[1:], results.rows[1:], strict=True):
        start, end = line[1].split("…")
        assert row.id.startswith(start) and start.startswith("sweep-token-")
        assert row.id.endswith(f"-{end}") and re.fullmatch(r"epochs-\d+-lr-\de-4", end)
