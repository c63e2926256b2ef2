"""The layout of a study's folder, as programs and users' targets name it."""

from pathlib import Path

import pytest

from ablations.study import paths


def test_a_programs_file_is_in_the_results_that_it_was_given() -> None:
    results = Path("some/where/results-on-another-disk")
    found = paths.at(results, paths.METRICS, row="baseline", run=paths.run(1, None))
    assert found == results / "runs/baseline/seed-1/metrics.json"
    log = paths.at(results, paths.RUN_LOG, row="baseline", run=paths.run(1, None))
    assert log == Path("some/where/logs/train/baseline/seed-1.log")
    assert paths.at(Path("results"), paths.LOCKS) == Path(".snakemake/locks")


@pytest.mark.parametrize("prefix", ["", "below/a prefix/", "/some/where/"])
def test_a_file_beside_another_is_below_the_same_prefix(prefix: str) -> None:
    for name in ("seed-1", "fold-2/seed-1"):
        run = {"row": "a", "run": name}
        output = prefix + paths.METRICS.format_map(run)
        state = paths.beside(output, paths.METRICS, paths.STATE, run)
        assert state == f"{prefix}results/state/a/{name}.safetensors"
        assert paths.beside(output, paths.METRICS, paths.CACHE, run) == f"{prefix}results/cache"


def test_a_file_that_states_a_value_is_named_without_its_folder_and_ending() -> None:
    trunk = paths.TRUNK_SETTINGS.format(trunk="a.json.b")
    assert paths.stated(trunk) == "trunks/a.json.b.settings"
    assert paths.STATED.format(stated=paths.stated(trunk)) == trunk


@pytest.mark.parametrize(
    ("path", "pattern", "wildcards"),
    [
        ("results/runs/a/seed-1/metrics.json", paths.METRICS, {"row": "a", "run": "seed-1"}),
        ("results/runs/a/seed-1/x.csv", paths.RUN, {"row": "a", "run": "seed-1", "file": "x.csv"}),
        ("results/runs/a", paths.RUN, {"row": "a"}),
        ("results/rows/a.json", paths.ROW, {"row": "a"}),
        ("results/rows/a.b.json", paths.ROW, {"row": "a.b"}),
        ("results/models/a/seed-1", paths.RUN, {}),
        ("elsewhere", paths.RUN, {}),
    ],
)
def test_a_path_tells_its_wildcards_as_far_as_it_follows_the_pattern(
    path: str, pattern: str, wildcards: dict[str, str]
) -> None:
    assert paths.read(path, pattern) == wildcards
