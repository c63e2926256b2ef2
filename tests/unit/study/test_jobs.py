"""The jobs of a study, and the files that they read and write."""

import pytest
import yaml
from msgspec.structs import replace

from ablations.study import config, jobs, paths
from ablations.study.jobs import Jobs
from ablations.study.models import HubTokenizer
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
    run = found.run({"row": "medium", "run": "seed-2", "file": "of no account"})
    assert (run.row.id, run.seed) == ("medium", 2)
    assert run.path(paths.METRICS) == "results/runs/medium/seed-2/metrics.json"


def test_every_row_is_trained_on_every_fold_from_one_trunk() -> None:
    split = replace(STUDY.dataset.split, folds=3, train=None)
    found = of(STUDY, "baseline", seeds=(1, 2), dataset=replace(STUDY.dataset, split=split))
    expected = [f"fold-{fold}/seed-{seed}" for seed in (1, 2) for fold in (1, 2, 3)]
    assert [run.name for run in found.runs.values()] == expected
    assert len(found.trunks) == 1
    run = found.run({"row": "baseline", "run": "fold-3/seed-2"})
    assert (run.seed, run.fold, run.options) == (2, 3, "--seed 2 --fold 3")
    assert run.path(paths.METRICS) == "results/runs/baseline/fold-3/seed-2/metrics.json"


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


def test_a_job_reads_the_trunk_and_the_checkpoint_that_its_row_needs() -> None:
    found = of(STUDY, "baseline", "all-layers", "random-weights")
    manifest = "results/checkpoints/gpt2-small-124M/manifest.json"
    (trunk,) = found.trunks
    expected = {
        "baseline": ([manifest], [f"results/trunks/{trunk}.json"]),
        "all-layers": ([manifest], []),
        "random-weights": ([], []),
    }
    for row, (checkpoint, of_trunk) in expected.items():
        wildcards = {"row": row, "run": "seed-123"}
        assert found.checkpoint(wildcards) == checkpoint
        assert found.trunk_of_run(wildcards) == of_trunk
        assert found.model_file(wildcards) == "results/checkpoints/gpt2-small-124M.json"
    assert found.checkpoint({"trunk": trunk}) == [manifest]


def test_a_model_of_another_type_is_needed_for_random_weights_too() -> None:
    """Its config.json says what they are."""
    row = STUDY.row("random-weights")
    shape = replace(row.model.dimensions, type="gpt_neox")
    row = replace(
        row,
        model=replace(row.model, dimensions=shape),
        settings=replace(row.settings, dimensions=shape, trainable_layers="last_block"),
    )
    models = {row.model.name: row.model}
    found = jobs.of_study(replace(STUDY, rows=(row,), models=models, questions=()))
    manifest = "results/checkpoints/gpt2-small-124M/manifest.json"
    assert found.checkpoint({"row": row.id, "run": "seed-123"}) == [manifest]
    assert found.checkpoint({"trunk": next(iter(found.trunks))}) == [manifest]
    assert found.starts_from == [row.model]


def test_each_model_reads_the_tokens_of_its_own_tokenizer() -> None:
    """GPT-2s those of the study's."""
    shape = replace(STUDY.row("medium").model.dimensions, type="gpt_neox")
    other = replace(STUDY.row("medium").model, dimensions=shape, tokenizer="neo")
    rows = [
        replace(row, model=other, settings=replace(row.settings, dimensions=shape))
        if row.id == "medium"
        else row
        for row in map(STUDY.row, ("baseline", "medium"))
    ]
    models = {row.model.name: row.model for row in rows}
    found = jobs.of_study(replace(STUDY, rows=tuple(rows), models=models, questions=()))
    tokens = {
        "baseline": "results/data/tokens/gpt2.safetensors",
        "medium": "results/data/tokens/neo.safetensors",
    }
    for row, file in tokens.items():
        wildcards = {"row": row, "run": "seed-123"}
        assert found.tokens(wildcards) == file
        trunk = found.run(wildcards).trunk
        assert found.tokens({"trunk": trunk}) == file
    assert found.tokens_of_rows() == list(tokens.values())
    assert found.tokenizers == {
        "gpt2": "gpt2",
        "neo": HubTokenizer(repo=other.hub.repo, revision=other.hub.revision, vocab_size=50257),
    }
    assert found.tokenizer_of_gpt2({"model": other.slug}) == []
    manifest = "results/tokenizers/neo/manifest.json"
    assert found.tokenizer({"row": "medium", "run": "seed-123"}) == [manifest]
    assert of(DEMO).tokenizer({"tokenizer": "bytes"}) == []


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
        count += sum(1 for model in found.starts_from if model.pretrain)
        count += len(study.references)
        assert len(work) == count and min(work.values()) >= 0
        starts = count * jobs.needs.JOB_SECONDS
        assert sum(work.values()) == pytest.approx(found.total().seconds - starts)
    # no row starts from what would be pretrained
    assert {rule for rule, _ in of(DEMO, "random-weights").work()} == {"train", "reference"}
