from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from msgspec.structs import replace

import runs
from ablations.model import build
from ablations.study import config, cut, extends, jobs
from ablations.study import needs as estimate
from ablations.study.config import Row
from ablations.study.dimensions import Dimensions
from ablations.study.jobs import Total
from ablations.study.models import Hub, Model, Pretrain, Recipe
from ablations.study.needs import Needs
from ablations.training import resume
from ablations.training.resume import Progress, State
from commands import ROOT
from texts import SMS, file, gpt2, read_splits, run_split, sms_collection

STUDY = config.parse(yaml.safe_load((ROOT / "config.yaml").read_text()))
EXTENDED = extends.read_study(ROOT / "studies/extended")
BASELINE = STUDY.row("baseline")
SIZES = list(STUDY.models.values())  # small to xl


def of_run(row: Row, model: Model | None = None, **changes: Any) -> Needs:
    if model:
        changes["dimensions"] = model.dimensions
    return estimate.of_run(replace(row.settings, **changes))


def of_trunk(row: Row) -> Needs:
    settings = cut.trunk(row.settings, seed=123)
    assert settings
    return estimate.of_trunk(settings)


LAYERS = ("last_layer", "last_block", "last_two_blocks", "all")


def test_a_larger_model_and_training_more_need_more() -> None:
    found = {
        (model.name, layers): of_run(BASELINE, model=model, trainable_layers=layers)
        for model in SIZES
        for layers in LAYERS
    }
    growing = [[found[model.name, layers] for model in SIZES] for layers in LAYERS]
    growing.append([found[SIZES[0].name, layers] for layers in LAYERS])
    for needs in growing:
        memory, minutes = [each.memory_mb for each in needs], [each.minutes for each in needs]
        assert memory == sorted(set(memory))
        assert minutes == sorted(minutes) and minutes[0] < minutes[-1]


def test_all_layers_of_gpt2_small_by_hand() -> None:
    """124 M weights of 20 bytes each, 8 × 120 tokens in 12 blocks of 16 × 768 floats."""
    weights = (50257 + 1024) * 768 + 12 * 12 * 768**2
    activations = 12 * 8 * 120 * 16 * 768 * 4
    needs = of_run(BASELINE, trainable_layers="all")
    assert needs.memory_mb == 4000 + round((20 * weights + activations) / 1e6)


@pytest.mark.parametrize("length", ["model_context_length", 1024])
def test_longer_inputs_need_more_and_the_first_token_least(length: str | int) -> None:
    usual, longer = of_run(BASELINE), of_run(BASELINE, context_length=length)
    first = of_run(BASELINE, context_length=length, trainable_token="first")
    assert first.memory_mb < usual.memory_mb < longer.memory_mb
    assert first.minutes < usual.minutes < longer.minutes


def test_more_epochs_take_longer_in_the_same_memory() -> None:
    usual = of_run(BASELINE, trainable_layers="all")
    training = replace(BASELINE.settings.training, epochs=50)
    longer = of_run(BASELINE, trainable_layers="all", training=training)
    assert longer.minutes > usual.minutes
    assert longer.memory_mb == usual.memory_mb


@pytest.mark.parametrize("id", [row.id for row in STUDY.rows])
def test_a_run_can_do_its_trunks_work_too(id: str) -> None:
    """As it must where the cache was emptied."""
    row = STUDY.row(id)
    if cut.trunk(row.settings, seed=123):
        run, trunk = of_run(row), of_trunk(row)
        assert run.memory_mb >= trunk.memory_mb and run.minutes >= trunk.minutes


def test_a_stand_in_needs_little() -> None:
    nano = Dimensions(n_layer=4, n_head=4, n_embd=32, n_positions=256, vocab_size=257)
    recipe = Recipe(steps=200, batch_size=8, learning_rate=1e-3, seed=1)
    made = Pretrain(pretrain=recipe, n_layer=4, n_head=4, n_embd=32, n_positions=256)
    needs = estimate.of_pretraining(Model("nano", nano, pretrain=made))
    assert needs.memory_mb < estimate.FIXED_MB + 100
    assert needs.minutes == estimate.FIXED_MINUTES


# --- other models than GPT-2

PYTHIA = Dimensions(
    **{"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 2048, "vocab_size": 50304},
    type="gpt_neox",
    block_weights=7_087_872,
)


def test_another_model_is_counted_by_its_block() -> None:
    all_layers = of_run(BASELINE, Model("pythia", PYTHIA), trainable_layers="all")
    weights = 50304 * 768 + 12 * 7_087_872
    activations = 12 * 8 * 120 * (4 * 768 + 7_087_872 // 768) * 4
    assert all_layers.memory_mb == 4000 + round((20 * weights + activations) / 1e6)
    larger = replace(PYTHIA, block_weights=2 * 7_087_872)
    twice = of_run(BASELINE, Model("pythia", larger))
    assert twice.seconds > 1.9 * of_run(BASELINE, Model("pythia", PYTHIA)).seconds


def test_the_last_block_of_another_model_is_computed_at_every_position() -> None:
    row = replace(BASELINE.settings, dimensions=PYTHIA)
    every = replace(row, average_embeddings=True)
    found = [estimate.training_seconds(each, estimate.BALANCED) for each in (row, every)]
    assert found[0] == found[1] > estimate.training_seconds(BASELINE.settings, estimate.BALANCED)


def test_a_download_is_as_large_as_its_entry_says_or_as_float32() -> None:
    stated = {"n_layer": 12, "n_head": 12, "n_embd": 768, "type": "gpt_neox"}
    source = Hub(repo="a/b", revision="c", **stated)
    weights = 4 * (50304 * 768 + 12 * 7_087_872)
    assert estimate.file_bytes(Model("pythia", PYTHIA, hub=source)) == weights
    source = replace(source, bytes=375_000_000)
    assert estimate.file_bytes(Model("pythia", PYTHIA, hub=source)) == 375_000_000


# --- in all, before a study starts

# docs/performance.md: seconds of a run, and the peak memory of its largest job
MEASURED = {
    "baseline": (145, 0.85),
    "first-token": (9.7, 0.72),
    "last-layer": (130, 0.86),
    "all-layers": (2145, 2.66),
    "medium": (504, 1.88),
    "large": (1123, 3.59),
    "random-weights": (2106, 2.69),
    "full-context": (1271, 0.91),
}


@pytest.mark.parametrize("id", MEASURED)
def test_an_estimate_is_near_what_was_measured(id: str) -> None:
    """Its trunk reads every message, the run's time counts those that the timed part reads."""
    seconds, gigabytes = MEASURED[id]
    needs = of_run(STUDY.row(id))
    assert seconds < needs.seconds < 1.6 * seconds
    assert gigabytes * 0.95 < needs.resident_mb / 1000 < 1.7 * gigabytes
    assert needs.resident_mb < needs.memory_mb


def test_what_the_later_rows_spare_is_counted() -> None:
    seconds = {row.id: of_run(row).seconds for row in EXTENDED.rows}
    assert seconds["flexible-token"] < seconds["baseline"] / 2.5
    assert seconds["no-padding-accumulated"] < seconds["no-padding"] < seconds["baseline"]
    assert seconds["no-causal-mask"] == seconds["ignore-index"] == seconds["baseline"]
    assert seconds["baseline"] < seconds["last-two-blocks"] < seconds["average-embeddings"]
    assert seconds["average-embeddings"] < seconds["lora"] < seconds["all-layers"]
    assert seconds["xl"] > 10 * seconds["baseline"]
    memory = {row.id: of_run(row).memory_mb for row in EXTENDED.rows}
    assert memory["lora"] < memory["all-layers"]
    assert memory["xl-lora"] < memory["xl-all-layers"] / 1.5


def test_a_smaller_part_of_a_batch_at_a_time_needs_less_memory_and_as_long() -> None:
    row = STUDY.row("all-layers")
    less = of_run(row, training=replace(row.settings.training, micro_batch=2))
    assert less.memory_mb < of_run(row).memory_mb
    assert less.seconds == of_run(row).seconds


def test_rows_and_seeds_that_share_hidden_states_pay_for_them_once() -> None:
    def of_study(ids: list[str], seeds: tuple[int, ...] = (123,)) -> Total:
        rows = tuple(EXTENDED.row(id) for id in ids)
        return jobs.of_study(replace(EXTENDED, rows=rows, seeds=seeds, questions=())).total()

    one, shared = of_study(["baseline"]), of_study(["baseline", "last-layer", "ignore-index"])
    assert one.seconds < shared.seconds < 1.3 * one.seconds
    assert shared.hidden_states_bytes == one.hidden_states_bytes
    ten = of_study(["baseline"], tuple(range(10)))
    assert one.seconds < ten.seconds < 2.5 * one.seconds
    assert ten.hidden_states_bytes == one.hidden_states_bytes == 4 * 1494 * 120 * 768
    apart = of_study(["baseline", "no-causal-mask"])
    assert apart.hidden_states_bytes == 2 * one.hidden_states_bytes
    assert of_study(["random-weights"]).download_bytes == 0
    assert one.download_bytes == pytest.approx(548_105_171, rel=0.01)


@pytest.mark.parametrize(
    ("balance", "expected"), [(True, estimate.BALANCED), (False, estimate.ALL)]
)
def test_the_collections_messages_are_those_that_are_assumed(
    tmp_path: Path, balance: bool, expected: estimate.Size
) -> None:
    whole = file(sms_collection(tmp_path), format="tsv")
    done = run_split(tmp_path / "data", whole, dataset=SMS | {"balance": balance})
    assert done.returncode == 0, done.stderr
    lengths = {
        split: [len(ids) for ids in gpt2().encode(texts)]
        for split, (_, texts) in read_splits(tmp_path / "data/texts.csv").items()
    }
    every = [length for found in lengths.values() for length in found]
    average = round(sum(every) / len(every))
    assert estimate.Size(len(every), max(lengths["train"]), average) == expected


def test_all_messages_need_more_of_everything() -> None:
    texts = replace(STUDY.dataset, balance=False)
    unbalanced = replace(STUDY, dataset=texts)
    fewer, all_ = (jobs.of_study(each).total() for each in (STUDY, unbalanced))
    assert all_.seconds > 5 * fewer.seconds
    rows, width = (BASELINE,), BASELINE.model.dimensions.n_embd
    baseline = jobs.of_study(replace(STUDY, dataset=texts, rows=rows, questions=())).total()
    assert baseline.hidden_states_bytes == 4 * 5572 * 257 * width
    assert not (jobs.of_study(STUDY).assumed or jobs.of_study(unbalanced).assumed)
    of_bytes = replace(BASELINE, model=replace(BASELINE.model, tokenizer="bytes"))
    assert jobs.of_study(replace(STUDY, rows=(of_bytes,), questions=())).assumed


@pytest.mark.parametrize("layers", ["all", "last_block"])
def test_what_is_saved_of_a_run_takes_the_estimated_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layers: str
) -> None:
    """At most: the second state is written before it replaces the first one."""
    small = Dimensions(n_layer=3, n_head=2, n_embd=64, n_positions=64, vocab_size=257)
    settings = replace(BASELINE.settings, dimensions=small, trainable_layers=layers)
    settings = replace(settings, weights="random")
    tail = build.tail(settings, None, 123, classes=2)
    optimizer = torch.optim.AdamW(tail.parameters())
    for each in tail.parameters():
        each.grad = torch.ones_like(each)
    optimizer.step()
    used, write = [], resume.save_file

    def written(*arguments: Any) -> None:
        write(*arguments)
        used.append(sum(file.stat().st_size for file in tmp_path.iterdir()))

    monkeypatch.setattr(resume, "save_file", written)
    identity = runs.identity(settings)
    for _ in range(2):
        State(tmp_path / "state", identity).save(tail, optimizer, Progress(steps=1))
    rows = (replace(BASELINE, settings=settings),)
    needs = jobs.of_study(replace(STUDY, rows=rows, questions=())).total()
    assert needs.state_bytes == pytest.approx(used[1], rel=0.05)
    assert needs.state_bytes > 1.9 * used[0]


def test_the_largest_saved_state_is_the_one_that_trains_most() -> None:
    needs = jobs.of_study(EXTENDED).total()
    weights = (50257 + 1024) * 1600 + 48 * 12 * 1600**2
    assert (needs.state_bytes, needs.state_of) == (2 * 12 * weights, "xl-all-layers")
    lora = jobs.of_study(replace(EXTENDED, rows=(EXTENDED.row("xl-lora"),), questions=()))
    assert lora.total().state_bytes == 0


def test_a_trunks_work_is_its_blocks_and_not_the_embeddings() -> None:
    block = 120 * (24 * 1600**2 + 2 * 120 * 1600) / estimate.OPERATIONS_PER_SECOND
    assert of_trunk(EXTENDED.row("xl")).seconds == pytest.approx(47 * 1494 * block)


def test_the_cost_of_every_row_is_counted() -> None:
    text = (ROOT / "docs/performance.md").read_text()
    counted = text.split("## Counted")[1].split("## ")[0]
    names = {
        name.split()[0]
        for line in counted.splitlines()
        if line.startswith("| ")
        for name in line.split("|")[1].split(",")
    }
    assert {row.id for row in EXTENDED.rows} <= names


def test_the_counts_of_xl_are_those_that_are_estimated() -> None:
    """In passes of a message through a block; the documentation leaves out what is not timed."""
    text = (ROOT / "docs/performance.md").read_text()
    block = 120 * (24 * 1600**2 + 2 * 120 * 1600) / estimate.OPERATIONS_PER_SECOND
    for id, passes in (("xl-all-layers", 3), ("xl-lora", 2)):
        run = 5 * 1040 * passes + 18 * 80
        assert f"| {id} (L = 48) | {48 * run:,} |" in text
        seconds = of_run(EXTENDED.row(id)).seconds
        assert seconds == pytest.approx(47 * (run + 1494) * block, rel=0.02)
    assert f"| xl (L = 48) | {5200 * 50 + 1440 * 48:,} | {1085 * 47:,} |" in text
