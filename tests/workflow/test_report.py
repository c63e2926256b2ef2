"""The report: one page that needs nothing else, of a finished study that is made up here."""

import base64
import html
import json
import re
import shutil
import subprocess

import pytest

from ablations.answers import write
from commands import snakemake
from shown import Shown
from synthetic_runs import configuration, eight_rows, load

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
ENTRIES = {
    "Answers": ["table, answers and figures"],
    "Figures": ["accuracies", "accuracy and time", "differences", "learning curves"],
    "Numbers": ["comparisons", "errors", "table"],
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    results = folder / "results"
    eight_rows(results)
    for name, content in write.files(load(results)).items():
        (results / name).parent.mkdir(exist_ok=True)
        (results / name).write_bytes(content)
    snakemake(folder, "--report", "results/report.html")
    return results / "report.html"


def embedded(report, name):
    """One of the data sets that the page carries."""
    text = re.search(rf'<script id="{name}">(.*?)</script>', report.read_text(), re.DOTALL)[1]
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


def content(entry):
    """What an entry shows, from its data: address."""
    return base64.b64decode(entry["data_uri"].partition("base64,")[2]).decode()


def test_every_answer_figure_and_number_is_in_the_page_with_a_caption(report):
    results = embedded(report, "results")
    listed = {
        category: sorted(
            label for path in paths["Other"] for label in results[path]["labels"].values()
        )
        for category, paths in embedded(report, "categories").items()
    }
    assert listed == ENTRIES
    assert all(entry["caption"].startswith("<p>") for entry in results.values())
    captions = " ".join(" ".join(entry["caption"] for entry in results.values()).split())
    assert (
        "orange, where there is any, is published" in captions
        and "the texts most often wrong" in captions
    )
    shown = html.unescape("".join(map(content, results.values())))
    for comparison in configuration()["comparisons"]:
        assert comparison["question"] in shown
    assert configuration()["title"] in report.read_text()


def test_the_rule_graph_is_in_the_page(report):
    graph = json.dumps(embedded(report, "rulegraph"))
    for rule in ("collection", "tokens", "trunk", "train", "answers"):
        assert f'"{rule}"' in graph


def test_the_page_and_what_it_shows_load_nothing(report):
    results = embedded(report, "results").values()
    pages = [
        content(entry) for entry in results if entry["mime_type"] in ("text/html", "image/svg+xml")
    ]
    assert len(pages) == 5
    for text in [report.read_text(), *pages]:
        assert Shown(text).loaded() == []


PROBE = """<script>
const seen = {errors: []};
addEventListener("error", event => seen.errors.push(event.message));
const click = found => found.dispatchEvent(new MouseEvent("click", {bubbles: true}));
const named = text =>
  [...document.querySelectorAll("nav a")].find(link => link.innerText.trim() === text);
const steps = [
  () => click(named("Figures")),
  () => click(document.querySelector("table [iconname=eye]")),
  () => {
    seen.widths = [...document.querySelectorAll("img")].map(image => image.naturalWidth);
    seen.loaded = performance.getEntriesByType("resource").map(entry => entry.name);
    seen.loaded = seen.loaded.filter(name => !name.startsWith("data:"));
    document.title = JSON.stringify(seen);
  },
];
addEventListener("load", () => steps.forEach((step, turn) => setTimeout(step, 500 * (turn + 1))));
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_a_figure_and_loads_nothing(report, tmp_path):
    probed = tmp_path / "report.html"
    probed.write_text(report.read_text().replace("<head>", f"<head>{PROBE}", 1))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    seen = json.loads(html.unescape(re.search(r"<title>(.*?)</title>", done.stdout)[1]))
    assert seen["errors"] == seen["loaded"] == []
    assert max(seen["widths"]) > 500
