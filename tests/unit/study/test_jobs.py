"""The jobs of a study, and which targets of a user name none of them."""

from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace

from ablations.study import config, jobs, paths, targets
from ablations.study.jobs import Jobs
from commands import ROOT

STUDY = config.parse(yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")))
DEMO = config.parse(yaml.safe_load((ROOT / "demo/config.yaml").read_text(encoding="utf-8")))


def of(study: config.Study, *rows: str, **changes: object) -> Jobs:
    chosen = tuple(row for row in study.rows if row.id in rows or not rows)
    return jobs.of_study(replace(study, rows=chosen, questions=(), **changes))


def test_every_row_is_trained_with_every_seed() -> None:
    found = of(STUDY, seeds=(1, 2))
    expected = [(row.id, seed) for row in STUDY.rows for seed in (1, 2)]
    assert [(run.row.id, run.seed) for run in found.runs.values()] == expected
    run = found.run({"row": "medium", "seed": "2", "file": "of no account"})
    assert (run.row.id, run.seed) == ("medium", 2)
    assert run.path(paths.METRICS) == "results/runs/medium/seed-2/metrics.json"


def test_rows_and_seeds_share_the_trunks_of_pretrained_weights() -> None:
    found = of(STUDY, "baseline", "last-layer", "all-layers", seeds=(1, 2))
    trunks = {(run.row.id, run.seed): run.trunk for run in found.runs.values()}
    (name,) = found.trunks
    for seed in (1, 2):
        assert trunks["baseline", seed] == trunks["last-layer", seed] == name
        assert trunks["all-layers", seed] is None


def test_a_trunk_of_random_weights_is_of_one_seed() -> None:
    row = STUDY.row("baseline")
    drawn = replace(row, settings=replace(row.settings, weights="random"))
    found = jobs.of_study(replace(STUDY, rows=(drawn,), seeds=(1, 2), questions=()))
    assert len(found.trunks) == 2 and found.starts_from == []


def test_models_that_start_from_a_checkpoint_are_named_once() -> None:
    names = [model.name for model in of(STUDY).starts_from]
    assert names == ["gpt2-small (124M)", "gpt2-medium (355M)", "gpt2-large (774M)"]


def test_the_files_of_a_kept_model_end_with_its_manifest() -> None:
    assert of(STUDY).kept_files() == []
    kept = replace(STUDY.row("baseline"), save_model=True)
    found = jobs.of_study(replace(STUDY, rows=(kept,), questions=())).kept_files()
    assert found[-1] == "results/models/baseline/seed-123/manifest.json"
    assert "results/models/baseline/seed-123/model.safetensors" in found


def test_every_file_that_states_a_value_is_named_by_it() -> None:
    found = of(DEMO, "baseline")
    (trunk,) = found.trunks
    assert found.stated() == {
        "results/rows/baseline.json": DEMO.row("baseline").settings,
        f"results/trunks/{trunk}.settings.json": found.trunks[trunk],
        **{f"results/checkpoints/{slug}.json": model for slug, model in found.models.items()},
    }


def test_the_work_of_all_jobs_is_the_study_s() -> None:
    """But for their starts."""
    for study in (STUDY, DEMO):
        found = of(study)
        work = found.work()
        count = len(found.runs) + len(found.trunks)
        count += sum(1 for model in found.models.values() if model.pretrain)
        assert len(work) == count and min(work.values()) >= 0
        starts = count * jobs.needs.JOB_SECONDS
        assert sum(work.values()) == pytest.approx(found.total().seconds - starts)


KEPT = replace(
    STUDY, rows=(STUDY.row("baseline"), replace(STUDY.row("large"), save_model=True)), questions=()
)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "results/runs/basline/seed-123/metrics.json",
            "names no row: 'basline' (did you mean baseline?); allowed: baseline, large",
        ),
        ("results/runs/basline", "names no row: 'basline'"),
        ("results/rows/lrage.json", "names no row: 'lrage' (did you mean large?)"),
        ("results/runs/baseline/seed-9/metrics.json", "names no seed: '9'; allowed: 123"),
        ("./results//rows/basline.json", "names no row: 'basline'"),
        ("{here}/results/rows/basline.json", "names no row: 'basline'"),
        (
            "{here}/results/rows/baseline.json",
            "is an absolute path; allowed: results/rows/baseline.json, relative to",
        ),
        (
            "results/models/baseline/seed-123/manifest.json",
            "the row baseline keeps no model; to keep it, set save_model: true in the row",
        ),
        ("results/runs/baseline/seed-123/trained.safetensors", "the row baseline keeps no model"),
    ],
)
def test_a_target_that_is_of_no_run_says_which_was_meant(target: str, message: str) -> None:
    target = target.format(here=Path.cwd())
    (said,) = targets.misnamed(target, jobs.of_study(KEPT))
    assert said.startswith(target) and message in said


@pytest.mark.parametrize(
    "target",
    [
        "results/runs/large/seed-123/trained.safetensors",
        "results/models/large/seed-123/manifest.json",
        "./results/rows/baseline.json",
        "results/table.md",
        "results/runs",
        "--cores",
        "",
    ],
)
def test_any_other_target_is_snakemakes_business(target: str) -> None:
    assert not list(targets.misnamed(target, jobs.of_study(KEPT)))


def test_a_study_below_the_folder_it_runs_in_is_told_where_its_results_go(tmp_path: Path) -> None:
    (said,) = targets.elsewhere(tmp_path / "my study/config.yaml", tmp_path)
    assert said.endswith("add: --directory 'my study'")
    assert not list(targets.elsewhere(tmp_path / "config.yaml", tmp_path))
    assert not list(targets.elsewhere(tmp_path / "config.yaml", tmp_path / "mine"))
