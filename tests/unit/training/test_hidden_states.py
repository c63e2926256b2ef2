"""The cache of hidden states: what is shared, what is computed again, what is refused."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from msgspec import structs

import runs
from ablations.data import tokens
from ablations.data.sequences import Sequences, sequences
from ablations.errors import UserError
from ablations.machine import device
from ablations.model import gpt2
from ablations.model.layers import Reading
from ablations.study import cut
from ablations.study.dimensions import Dimensions
from ablations.training import hidden_states, inputs
from ablations.training.forward import HiddenStates
from ablations.training.hidden_states import Cache, Frozen, TrunkManifest, frozen

DIMENSIONS = Dimensions(n_layer=4, n_head=2, n_embd=8, n_positions=12, vocab_size=257)
ROW: dict[str, Any] = {"weights": "pretrained", "layers": "last_block", "context_length": 12}
MACHINE = device.current("float32", 1)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Messages of many lengths, one of them twice; and a checkpoint."""
    draw = np.random.default_rng(1)
    ids = {
        split: [draw.integers(0, 256, draw.integers(1, 12)).astype(np.int32) for _ in range(count)]
        for split, count in {"train": 9, "validation": 3, "test": 4}.items()
    }
    ids["train"][6] = ids["train"][2]
    runs.write_tokens(tmp_path, ids, {split: np.arange(len(i)) % 2 for split, i in ids.items()})
    runs.write_checkpoint(tmp_path, DIMENSIONS)
    return tmp_path


def read(study: Path, **changes: Any) -> Sequences:
    row = runs.settings_of(dimensions=DIMENSIONS, **(ROW | changes))
    return sequences(tokens.read(study / "tokens.safetensors"), row.input)


def trunk(code: str = "code", sha256: str = "a", **changes: Any) -> Frozen:
    found = cut.trunk(runs.settings_of(dimensions=DIMENSIONS, **(ROW | changes)), seed=1)
    assert found
    manifest = TrunkManifest(checkpoint_sha256=sha256, sequences="", code=code)
    return frozen(found, manifest, None, MACHINE)


def outputs(
    study: Path, folder: str = "cache", cache_gb: float = 1, **changes: Any
) -> HiddenStates:
    layers, found = trunk(**changes), read(study, **changes)
    return Cache(study / folder, cache_gb).outputs(layers, study / "checkpoint", found, MACHINE)


def entries(study: Path, folder: str = "cache") -> set[Path]:
    return {path for path in (study / folder).iterdir() if path.is_dir()}


def same(ours: HiddenStates, theirs: HiddenStates) -> bool:
    return torch.equal(ours.inputs.values[:], theirs.inputs.values[:])


READINGS = [
    {},
    {"token": "flexible"},
    {"token": "first"},
    {"causal_mask": False},
    {"context_length": "variable", "batch_size": 1, "causal_mask": False},
    {"average_embeddings": True},
]


@pytest.mark.parametrize("changes", READINGS, ids=str)
def test_hidden_states_are_the_trunk_s_outputs(study: Path, changes: dict[str, Any]) -> None:
    """Of each message alone, with all its tokens."""
    found = outputs(study, **changes)
    layers = gpt2.layers(DIMENSIONS, study / "checkpoint", stop=cut.LAST_BLOCK)
    wanted, last = read(study, **changes), np.arange(12, 16)
    for text, number in enumerate(wanted.of_text):
        ids = torch.from_numpy(wanted.ids[slice(*wanted.offsets[number : number + 2])])
        with torch.no_grad():
            expected = layers(ids[None].long(), Reading(changes.get("causal_mask", True)))
        states, _ = found.inputs.read(torch.tensor([text]))
        torch.testing.assert_close(states, expected)
        if text in last:
            of_last, _ = found.inputs.only(last).read(torch.tensor([text - last[0]]))
            assert torch.equal(of_last, states)


def test_messages_that_stand_twice_are_computed_once(study: Path) -> None:
    found = outputs(study).inputs
    assert len(found) == 16 and len(found.values) == 15
    twice, _ = found.read(torch.tensor([2, 6]))
    assert torch.equal(twice[0], twice[1])


def test_a_second_trunk_reads_what_the_first_computed(study: Path) -> None:
    first = outputs(study)
    runs.write_checkpoint(study, DIMENSIONS, seed=4)  # would show if anything were computed again
    assert same(outputs(study), first)


def test_rows_that_read_the_same_share_it_without_being_told(study: Path) -> None:
    """Flexible and unpadded texts are the same where nothing is cut."""
    layer, block = (trunk(layers=layers) for layers in ("last_layer", "last_block"))
    assert layer == block
    outputs(study, token="flexible", context_length=11)
    before = entries(study)
    outputs(study, context_length="variable", batch_size=1)
    assert entries(study) == before


def test_a_deeper_trunk_starts_from_a_shallower_one(study: Path) -> None:
    expected = outputs(study, "other")
    outputs(study, layers="last_two_blocks")
    layers = gpt2.layers(DIMENSIONS, study / "checkpoint")
    with torch.no_grad():
        layers[0].token.weight.zero_()  # gone: only the last layer of the trunk is needed now
    gpt2.write(study / "checkpoint", gpt2.checkpoint_tensors(layers, DIMENSIONS), DIMENSIONS)
    assert same(outputs(study), expected)


@pytest.mark.parametrize("deleted", [hidden_states.ARRAY, hidden_states.RECORD])
def test_a_shallower_entry_that_a_peer_is_deleting_is_left_alone(study: Path, deleted: str) -> None:
    expected = outputs(study, "other")
    outputs(study, layers="last_two_blocks")
    shallow = entries(study)
    for entry in shallow:
        (entry / deleted).unlink()
    assert same(outputs(study), expected)
    assert shallow < entries(study)


OTHERS: list[dict[str, Any]] = [
    {},
    {"weights": "random"},
    {"token": "first"},
    {"context_length": 7},
    {"layers": "last_two_blocks"},
    {"causal_mask": False},
]


def test_what_the_hidden_states_depend_on_names_another_entry(study: Path) -> None:
    cache = Cache(study / "cache", 1)
    names = {cache._entry(trunk(**changes), read(study, **changes)) for changes in OTHERS}
    for layers in (trunk(code="other code"), trunk(sha256="another checkpoint")):
        names.add(cache._entry(layers, read(study)))
    assert len(names) == 8


@pytest.mark.parametrize("field", Frozen.__struct_fields__)
def test_nothing_that_decides_them_is_missing_in_an_entry_s_name(study: Path, field: str) -> None:
    cache, found, layers = Cache(study / "cache", 1), read(study), trunk()
    value = getattr(layers, field)
    other = not value if isinstance(value, bool) else f"another {value}"
    changed = structs.replace(layers, **{field: other})
    assert cache._entry(layers, found) != cache._entry(changed, found)


def test_other_threads_or_another_processor_are_part_of_what_decides_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They round, and take, otherwise."""
    found = [trunk()]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    found.append(trunk())
    monkeypatch.setattr(device, "_processor", lambda: "CPU (another)")
    found.append(trunk())
    assert len(set(found)) == 3


def test_a_run_without_its_trunk_is_told_which(study: Path) -> None:
    runs.row(study, dimensions=DIMENSIONS, **ROW)
    with pytest.raises(UserError, match=r"--trunk is missing: row baseline reads what nano\.pre"):
        runs.train(study, "--trunk")
    assert not (study / "cache").exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much is mapped")
def test_little_of_what_is_read_stays_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "KEPT_BYTES", 4 * 2**20)
    states = np.random.default_rng(1).standard_normal((64, 1024, 256), dtype=np.float32)
    np.save(tmp_path / "states.npy", states.reshape(-1, 256))  # 1 MiB a message

    def mapped() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssFile:")[1].split()[0]) * 1024

    before = mapped()
    read = inputs.Mapped(tmp_path / "states.npy", 1024)
    for _ in range(2):
        for start in range(0, len(read), 8):
            found = read[torch.arange(start, start + 8)]
            assert torch.equal(found, torch.from_numpy(states[start : start + 8]))
    assert mapped() - before < 20 * 2**20
    assert torch.equal(read[:], torch.from_numpy(states))
    assert mapped() - before >= 32 * 2**20  # or the measurement says nothing


@pytest.mark.parametrize("damage", ["deleted", "half written"])
def test_missing_bulk_is_computed_again(study: Path, damage: str) -> None:
    expected = outputs(study).inputs.values[:].clone()
    for entry in entries(study):
        if damage == "half written":  # what a job that was killed leaves behind
            shutil.copytree(entry, entry.with_suffix(".partial"))
        shutil.rmtree(entry)
    assert torch.equal(outputs(study).inputs.values[:], expected)
    assert not list((study / "cache").glob("*.partial"))


def test_the_least_recently_used_goes_first(study: Path) -> None:
    by_length, sizes = {}, {}
    for age, length in ((300, 5), (100, 6), (200, 7)):
        before = entries(study) if by_length else set()
        outputs(study, context_length=length)
        by_length[length] = entries(study) - before
        for entry in by_length[length]:
            os.utime(entry, (1_000_000 - age, 1_000_000 - age))
        files = [file for entry in by_length[length] for file in entry.iterdir()]
        sizes[length] = sum(file.stat().st_size for file in files)
    found = read(study, context_length=8)
    room = sizes[6] + 4 * len(found.ids) * DIMENSIONS.n_embd + 1000
    outputs(study, context_length=8, cache_gb=room / 1e9)
    kept = {length: [entry.exists() for entry in found] for length, found in by_length.items()}
    assert kept == {5: [False], 6: [True], 7: [False]}
    assert len(entries(study)) == 2


def test_what_is_not_the_caches_own_is_never_deleted(study: Path) -> None:
    """`cache_dir` may be any folder of the user's."""
    (study / "cache/thesis").mkdir(parents=True)
    (study / "cache/thesis/all.txt").write_text("x" * 100_000)
    outputs(study, cache_gb=0)
    assert (study / "cache/thesis/all.txt").exists()
    assert entries(study) == {study / "cache/thesis"}


def test_hidden_states_beyond_the_limit_are_refused_with_the_numbers(study: Path) -> None:
    with pytest.raises(UserError) as refused:
        outputs(study, cache_gb=1e-7)
    message = str(refused.value)
    assert "0.0 GB" in message and "cache_gb: 1e-07" in message and "cache_gb: 0" in message
    assert not entries(study)
