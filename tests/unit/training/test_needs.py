from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from ablations.model import cut
from ablations.study import config
from ablations.study.config import Row
from ablations.study.dimensions import Dimensions
from ablations.study.models import Model
from ablations.training import needs as estimate
from ablations.training.needs import Needs
from commands import ROOT

STUDY = config.parse(yaml.safe_load((ROOT / "config.yaml").read_text()))
BASELINE = STUDY.row("baseline")
SIZES = list(STUDY.models.values())  # small to xl


def of_run(row: Row, model: Model | None = None, **changes: Any) -> Needs:
    if model:
        changes["dimensions"] = model.dimensions
    return estimate.of_run(replace(row.settings, **changes))


def of_trunk(row: Row) -> Needs:
    settings = cut.trunk_settings(row.settings, seed=123)
    assert settings
    return estimate.of_trunk(settings)


@pytest.mark.parametrize("layers", ["last_layer", "last_block", "last_two_blocks", "all"])
def test_a_larger_model_needs_more(layers: str) -> None:
    needs = [of_run(BASELINE, model=model, trainable_layers=layers) for model in SIZES]
    memory, minutes = [each.memory_mb for each in needs], [each.minutes for each in needs]
    assert memory == sorted(set(memory))
    assert minutes == sorted(minutes) and minutes[0] < minutes[-1]


def test_training_more_needs_more() -> None:
    layers = ("last_layer", "last_block", "last_two_blocks", "all")
    needs = [of_run(BASELINE, trainable_layers=each) for each in layers]
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
    if cut.trunk_settings(row.settings, seed=123):
        run, trunk = of_run(row), of_trunk(row)
        assert run.memory_mb >= trunk.memory_mb and run.minutes >= trunk.minutes


def test_a_stand_in_needs_little() -> None:
    nano = Dimensions(n_layer=4, n_head=4, n_embd=32, n_positions=256, vocab_size=257)
    needs = estimate.of_pretraining(nano, batch=8, steps=200)
    assert needs.memory_mb < estimate.FIXED_MB + 100
    assert needs.minutes == estimate.FIXED_MINUTES
