"""The page that readers open: what it shows, and that it needs and runs nothing else."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from ablations.answers.written import figures, page, table
from ablations.study import config
from shown import Shown
from synthetic_runs import configuration, eight_rows, load, program, study, write

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NAMES = [figure.__name__ for figure in figures.FIGURES]
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'/>"
FIGURES = dict.fromkeys(NAMES, SVG)
SECTIONS = ["summary", "table", "answers", "curves", "errors", "made"]


def made(read):
    return page.page(read, FIGURES, [SVG] * len(read.comparisons))


@pytest.fixture(scope="module")
def eight(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    eight_rows(folder)
    read = load(folder)
    text = made(read)
    return read, text, Shown(text)


def test_table_answers_and_what_they_rest_on_are_there_in_this_order(eight):
    read, text, shown = eight
    assert shown.attribute("id", "section") == SECTIONS
    assert shown.texts["h1"] == [read.outline.title.replace("GPT-2", "GPT‑2")]
    compared = read.comparisons
    for number, comparison in enumerate(compared, start=1):
        assert f"{number}. {comparison.question.question}" in shown.texts["h3"]
        assert comparison.question.question in shown.texts["a"]
        assert f"{comparison.variant.id} against {comparison.baseline.id}" in shown.text
    summary = text.partition('id="table"')[0]
    for verdict in {comparison.verdict for comparison in compared}:
        assert summary.count(f"</span> {verdict}</b>") == sum(
            comparison.verdict == verdict for comparison in compared
        )
    outcomes = [comparison.outcome for comparison in compared if comparison.outcome]
    assert outcomes and all(f"</span> {outcome}</b>" in summary for outcome in outcomes)
    assert [row.id for row in read.rows] == shown.texts["th"][len(table.compact(read).headings) :][
        : len(read.rows)
    ]
    first = read.rows[0].runs[0].metrics
    for fact in (first.device, first.dataset_sha256, first.versions["torch"], "123"):
        assert fact in text.partition('id="made"')[2]


def test_it_loads_nothing_and_runs_its_own_script_only(eight):
    _, text, shown = eight
    loaded = [
        value
        for name in ("src", "srcset", "data", "poster", "action", "href")
        for value in shown.attribute(name)
        if not value.startswith(("data:image/svg+xml;base64,", "#"))
    ]
    assert loaded == [] and "url(" not in text and "@import" not in text
    assert not [
        name
        for _, found in shown.elements
        for name in found
        if name.startswith(("on", "http")) and name != "http-equiv"
    ]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [found["content"] for _, found in shown.elements if "http-equiv" in found]
    allowed = dict(part.split(maxsplit=1) for part in policy.split(";"))
    assert allowed["script-src"] == f"'sha256-{digest}'"
    assert allowed["default-src"] == "'none'"


def test_the_messages_most_often_wrong_come_first(tmp_path):
    parsed = config.parse(configuration(seeds=[1, 2]))
    right = {row.id: np.ones((2, 40), bool) for row in parsed.rows}
    for row in parsed.rows:
        right[row.id][:, 7] = False
    right["baseline"][0, 4] = False  # with one of two seeds
    right["large"][:, 5] = False
    write(tmp_path, parsed, right, seen=(5,))
    shown = Shown(made(load(tmp_path)))
    order = [int(text.split(",")[0].split()[1]) for text in shown.texts["blockquote"]]
    assert order == [7, 5, 4]
    assert "3 of 40 test texts are wrong in at least one row." in shown.text
    assert "Labelled spam, predicted as ham by 8 of 8 rows." in shown.text
    assert (
        "Labelled spam, predicted as ham by 1 of 8 rows: large. The same text is in the training"
        " set."
    ) in shown.text
    assert "Labelled ham, predicted as spam by 1 of 8 rows: baseline." in shown.text


def test_several_classes_have_a_confusion_matrix_for_each_row(tmp_path):
    parsed = config.parse(configuration(seeds=[1]))
    right = {row.id: np.ones((1, 30), bool) for row in parsed.rows}
    right["baseline"][0, [0, 3, 4]] = False  # two of class 0, one of class 1; taken for the next
    write(tmp_path, parsed, right, classes=("no", "yes", "maybe"))
    text = made(load(tmp_path))
    matrices = re.findall(r'<table class="confusion">.*?</table>', text, re.DOTALL)
    assert len(matrices) == len(parsed.rows)
    cells = re.findall(r"<td.*?>(.*?)</td>", matrices[0])
    assert cells == ["8", "2", "0", "0", "9", "1", "0", "0", "10"]


def numbered(count):
    """So many rows beside the baseline, each compared with it."""
    rows = [{"id": f"row-{n}", "epochs": n} for n in range(1, count + 1)]
    asked = [
        {"id": row["id"], "question": "?", "baseline": "baseline", "variant": row["id"]}
        for row in rows
    ]
    return {"rows": [configuration()["rows"][0], *rows], "comparisons": asked}


def test_many_comparisons_are_counted_and_folded(tmp_path):
    right = np.ones((1, 50), bool)
    right[0, :20] = False
    text = made(study(tmp_path, **numbered(30), texts=50, right={"row-3": right}))
    summary = text.partition('id="summary"')[2].partition('id="table"')[0]
    assert "30 comparisons: 29 × no detectable difference, 1 × worse" in summary
    assert "<details>" in summary


def test_a_study_without_comparisons_has_a_page(tmp_path):
    shown = Shown(made(study(tmp_path)))
    assert "no comparisons" in shown.text
    assert "Every row is right on every test text." in shown.text


def test_a_page_of_what_is_finished_says_what_is_missing(tmp_path):
    eight_rows(tmp_path, seeds=(1, 2))
    whole = Shown(made(load(tmp_path)))
    assert "Provisional" not in whole.text
    for run in ("large/seed-1", "large/seed-2", "baseline/seed-2"):
        (tmp_path / "runs" / run / "metrics.json").unlink()
    shown = Shown(made(load(tmp_path, so_far=True)))
    assert "Provisional: 3 runs are missing." in shown.text
    assert "large (seed 1, 2: not finished)" in shown.text
    assert "is not finished." in shown.text and "6 rows, 2 seeds" in shown.text
    assert "random-weights against all-layers" in shown.text
    assert "large against baseline" not in shown.text


PROBE = """<iframe src="index.html" style="width: 375px; height: 800px; border: 0"></iframe>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const table = page.querySelector("table[data-sortable]");
  const rows = () => [...table.tBodies[0].rows];
  const headed = (name) => [...table.tHead.rows[0].cells]
    .find((found) => found.innerText.startsWith(name));
  const cells = (heading) => rows().map((row) => row.cells[heading.cellIndex].innerText);
  const heading = headed("Test");
  const seen = {width: page.documentElement.scrollWidth, before: cells(heading)};
  seen.right = Math.max(...["Row", "Test"].flatMap((name) => rows()
    .map((row) => row.cells[headed(name).cellIndex].getBoundingClientRect().right)));
  for (const order of ["ascending", "descending"]) {
    heading.querySelector("button").click();
    seen[order] = cells(heading);
    seen[order + "-said"] = heading.getAttribute("aria-sort");
  }
  const rates = ["0.001", "5e-05", "1e-3", "0.0001", "2e-05", "–", "1", "0.5"];
  const time = headed("Time");
  rows().forEach((row, index) => (row.cells[time.cellIndex].textContent = rates[index]));
  time.querySelector("button").click();
  seen.rates = cells(time);
  const widths = (images) => [...page.querySelectorAll(images)].map((image) => image.naturalWidth);
  seen.figures = widths("img:not(.forest)");
  seen.forests = widths("img.forest");
  document.title = JSON.stringify(seen);
});
</script>"""


def test_long_ids_and_changes_are_whole(tmp_path):
    id = "a-row-with-a-name-that-is-far-too-long-for-the-first-table-of-table-md"
    changed = {"id": id, "learning_rate": 3e-4, "weight_decay": 0.3, "trainable_token": "first"}
    read = study(tmp_path, changed)
    assert id not in table.compact(read).markdown()
    first = made(read).partition("Every column")[0]
    assert id in first and "first token, learning_rate 0.0003, weight_decay 0.3" in first


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_in_a_browser_it_sorts_fits_a_phone_and_logs_no_error(tmp_path):
    eight_rows(tmp_path)
    done = program(tmp_path, tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "probe.html").write_text(PROBE)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--enable-logging=stderr", "--v=0"]
    command += ["--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "probe.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    seen = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", done.stdout)[1]))
    assert seen["width"] <= 375
    assert seen["right"] <= 375  # names and test accuracies, without scrolling
    assert seen["rates"] == ["2e-05", "5e-05", "0.0001", "0.001", "1e-3", "0.5", "1", "–"]
    assert min(seen["figures"]) > 500
    assert min(seen["forests"]) > 250  # one line each
    assert seen["ascending"] == sorted(seen["before"], key=lambda cell: float(cell.split("%")[0]))
    assert sorted(seen["descending"]) == sorted(seen["before"])
    assert [cell.split("%")[0] for cell in seen["descending"]] == [
        cell.split("%")[0] for cell in reversed(seen["ascending"])
    ]
    assert seen["ascending-said"] == "ascending" and seen["descending-said"] == "descending"


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_wide_table_is_printed_on_landscape_pages(tmp_path):
    eight_rows(tmp_path)
    (tmp_path / "index.html").write_text(made(load(tmp_path)))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000"]
    command += [f"--print-to-pdf={tmp_path / 'page.pdf'}", (tmp_path / "index.html").as_uri()]
    subprocess.run(command, capture_output=True, timeout=120, check=True)
    boxes = re.findall(
        rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", (tmp_path / "page.pdf").read_bytes()
    )
    landscape = [float(width) > float(height) for width, height in boxes]
    assert True in landscape and not landscape[0] and not landscape[-1]


@pytest.mark.slow
def test_a_hundred_rows_make_a_page_of_a_few_megabytes(tmp_path):
    draw = np.random.default_rng(0)
    right = {f"row-{n}": draw.random((1, 300)) < 0.9 for n in range(1, 100)}
    study(tmp_path, **numbered(99), texts=300, right=right)
    done = program(tmp_path, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/index.html").stat().st_size < 5_000_000
