"""The cache of hidden states: what is shared, what is computed again, what is refused."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ablations import cut, device, hidden_states, model, tokens
from ablations.cut import Dimensions
from ablations.errors import UserError
from ablations.hidden_states import Trunk

DIMENSIONS = Dimensions(n_layer=4, n_head=2, n_embd=8, n_positions=12, vocab_size=257)
ROW = {
    "model": "tiny",
    "dimensions": vars(DIMENSIONS),
    "weights": "pretrained",
    "trainable_token": "last",
    "trainable_layers": "last_block",
    "context_length": "model_context_length",
    "training": {"precision": "float32"},
}


@pytest.fixture
def tokens_file(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    ids = {
        split: [draw.integers(0, 256, draw.integers(1, 12)).astype(np.int32) for _ in range(count)]
        for split, count in {"train": 9, "validation": 3, "test": 4}.items()
    }
    labels = {split: np.arange(len(messages)) % 2 for split, messages in ids.items()}
    path = tmp_path / "tokens.safetensors"
    tokens.write(path, tokens.Tokens("bytes", 257, 256, "0" * 64, ids, labels))
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    write_weights(folder, seed=3)
    record = {
        "sha256": "a" * 64,
        "bytes": (folder / "model.safetensors").stat().st_size,
        "dimensions": vars(DIMENSIONS),
    }
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder / "manifest.json"


def write_weights(folder: Path, seed: int) -> None:
    layers = model.random_layers(DIMENSIONS, seed, 0, DIMENSIONS.n_layer + 2)
    save_file(model.checkpoint_tensors(layers, DIMENSIONS), folder / "model.safetensors")


def trunk(checkpoint: Path, tokens_file: Path, cache: Path, **changes: object) -> Trunk:
    settings = cut.trunk_settings(ROW | changes, seed=1)
    assert settings
    manifest = checkpoint if settings["weights"] == "pretrained" else None
    return Trunk(settings, manifest, tokens_file, device.current("float32", 1), cache)


def ids_of(tokens_file: Path, **changes: object) -> dict[str, torch.Tensor]:
    return hidden_states.token_ids(tokens.read(tokens_file), ROW | changes)


def same(ours: hidden_states.Outputs, theirs: hidden_states.Outputs) -> bool:
    return all(torch.equal(ours.splits[split][:], theirs.splits[split][:]) for split in ours.splits)


def test_hidden_states_are_the_trunk_s_outputs(checkpoint, tokens_file, tmp_path):
    ids = ids_of(tokens_file)
    found = trunk(checkpoint, tokens_file, tmp_path / "cache").outputs(ids, cache_gb=1)
    layers = model.pretrained_layers(DIMENSIONS, checkpoint.parent, 0, DIMENSIONS.n_layer)
    with torch.no_grad():
        for split, split_ids in ids.items():
            torch.testing.assert_close(found.splits[split][:], layers(split_ids))
    assert found.splits["train"].shape == (9, 12, 8)


def test_a_second_trunk_reads_what_the_first_computed(checkpoint, tokens_file, tmp_path):
    ids, cache = ids_of(tokens_file), tmp_path / "cache"
    first = trunk(checkpoint, tokens_file, cache).outputs(ids, cache_gb=1)
    write_weights(checkpoint.parent, seed=4)  # would show if anything were computed again
    assert same(trunk(checkpoint, tokens_file, cache).outputs(ids, cache_gb=1), first)


def test_last_layer_shares_the_trunk_of_last_block(checkpoint, tokens_file, tmp_path):
    block = trunk(checkpoint, tokens_file, tmp_path)
    layer = trunk(checkpoint, tokens_file, tmp_path, trainable_layers="last_layer")
    assert layer.entry(4) == block.entry(4)
    assert cut.trunk_name(layer.settings, "tiny") == cut.trunk_name(block.settings, "tiny")


def test_a_deeper_trunk_starts_from_a_shallower_one(checkpoint, tokens_file, tmp_path):
    ids, cache = ids_of(tokens_file), tmp_path / "cache"
    expected = trunk(checkpoint, tokens_file, tmp_path / "other").outputs(ids, cache_gb=1)
    shallow = trunk(checkpoint, tokens_file, cache, trainable_layers="last_two_blocks")
    shallow.outputs(ids, cache_gb=1)
    layers = model.pretrained_layers(DIMENSIONS, checkpoint.parent, 0, DIMENSIONS.n_layer + 2)
    with torch.no_grad():
        layers[0].token.weight.zero_()  # gone: only the last layer of the trunk is needed now
    save_file(model.checkpoint_tensors(layers, DIMENSIONS), checkpoint.parent / "model.safetensors")
    assert same(trunk(checkpoint, tokens_file, cache).outputs(ids, cache_gb=1), expected)


@pytest.mark.parametrize("deleted", ["test.npy", hidden_states.RECORD])
def test_a_shallower_entry_that_a_peer_is_deleting_is_left_alone(
    deleted, checkpoint, tokens_file, tmp_path
):
    ids, cache = ids_of(tokens_file), tmp_path / "cache"
    expected = trunk(checkpoint, tokens_file, tmp_path / "other").outputs(ids, cache_gb=1)
    shallow = trunk(checkpoint, tokens_file, cache, trainable_layers="last_two_blocks")
    shallow.outputs(ids, cache_gb=1)
    (shallow.entry(3) / deleted).unlink()
    assert same(trunk(checkpoint, tokens_file, cache).outputs(ids, cache_gb=1), expected)
    assert shallow.entry(3).exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "random"},
        {"trainable_token": "first"},
        {"context_length": 7},
        {"trainable_layers": "last_two_blocks"},
    ],
    ids=str,
)
def test_what_the_hidden_states_depend_on_names_another_entry(
    changes, checkpoint, tokens_file, tmp_path
):
    ours, other = (trunk(checkpoint, tokens_file, tmp_path, **c) for c in ({}, changes))
    depth = other.settings["depth"]
    assert ours.entry(ours.settings["depth"]) != other.entry(depth)
    assert cut.trunk_name(ours.settings, "tiny") != cut.trunk_name(other.settings, "tiny")


def test_another_checkpoint_or_other_tokens_name_another_entry(checkpoint, tokens_file, tmp_path):
    first = trunk(checkpoint, tokens_file, tmp_path).entry(4)
    record = json.loads(checkpoint.read_text())
    checkpoint.write_text(json.dumps(record | {"sha256": "b" * 64}))
    second = trunk(checkpoint, tokens_file, tmp_path).entry(4)
    read = tokens.read(tokens_file)
    read.ids["test"].reverse()
    tokens.write(tokens_file, read)
    assert len({first, second, trunk(checkpoint, tokens_file, tmp_path).entry(4)}) == 3


def test_other_code_threads_or_processor_names_another_entry(
    checkpoint, tokens_file, tmp_path, monkeypatch
):
    """An edit of the model makes the trunk stale; the others round, and take, otherwise."""
    first = trunk(checkpoint, tokens_file, tmp_path)
    edited = tmp_path / "edited"
    shutil.copytree(Path(hidden_states.__file__).parent, edited)
    monkeypatch.setattr(hidden_states, "__file__", str(edited / "hidden_states.py"))
    assert trunk(checkpoint, tokens_file, tmp_path).entry(4) == first.entry(4)
    (edited / "model.py").write_text((edited / "model.py").read_text() + "# edited\n")
    other_code = trunk(checkpoint, tokens_file, tmp_path)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    other_threads = trunk(checkpoint, tokens_file, tmp_path)
    monkeypatch.setattr(device, "_processor", lambda: "CPU (another)")
    other_processor = trunk(checkpoint, tokens_file, tmp_path)
    others = (other_code, other_threads, other_processor)
    assert len({each.entry(4) for each in (first, *others)}) == 4
    assert all(each.identity == first.identity for each in others)


def test_the_first_token_s_trunk_has_one_position_whatever_the_context(tokens_file):
    ids = ids_of(tokens_file, trainable_token="first")
    assert {split_ids.shape[1] for split_ids in ids.values()} == {1}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux says how much is mapped")
def test_little_of_what_is_read_stays_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(hidden_states, "KEPT_BYTES", 4 * 2**20)
    states = np.random.default_rng(1).standard_normal((64, 1024, 256), dtype=np.float32)
    np.save(tmp_path / "train.npy", states)  # 1 MiB a message

    def mapped() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssFile:")[1].split()[0]) * 1024

    before = mapped()
    read = hidden_states.Mapped(tmp_path / "train.npy")
    for _ in range(2):
        for start in range(0, len(read), 8):
            found = read[torch.arange(start, start + 8)]
            assert torch.equal(found, torch.from_numpy(states[start : start + 8]))
    assert mapped() - before < 20 * 2**20
    assert torch.equal(read[:], torch.from_numpy(states))
    assert mapped() - before >= 32 * 2**20  # or the measurement says nothing


@pytest.mark.parametrize("damage", ["deleted", "half written"])
def test_missing_bulk_is_computed_again(damage, checkpoint, tokens_file, tmp_path):
    ids, cache = ids_of(tokens_file), tmp_path / "cache"
    ours = trunk(checkpoint, tokens_file, cache)
    first = ours.outputs(ids, cache_gb=1)
    expected = {split: states[:].clone() for split, states in first.splits.items()}
    entry = ours.entry(4)
    if damage == "half written":  # what a job that was killed leaves behind
        shutil.copytree(entry, entry.with_suffix(".partial"))
    shutil.rmtree(entry)
    again = trunk(checkpoint, tokens_file, cache).outputs(ids, cache_gb=1)
    assert all(torch.equal(again.splits[split][:], expected[split]) for split in expected)
    assert not entry.with_suffix(".partial").exists()


def test_the_least_recently_used_goes_first(checkpoint, tokens_file, tmp_path):
    cache, sizes = tmp_path / "cache", []
    entries = []
    for age, length in ((300, 5), (100, 6), (200, 7)):
        ours = trunk(checkpoint, tokens_file, cache, context_length=length)
        ours.outputs(ids_of(tokens_file, context_length=length), cache_gb=1)
        entry = ours.entry(4)
        entries.append(entry)
        sizes.append(sum(file.stat().st_size for file in entry.iterdir()))
        os.utime(entry, (1_000_000 - age, 1_000_000 - age))
    ours = trunk(checkpoint, tokens_file, cache, context_length=8)
    ids = ids_of(tokens_file, context_length=8)
    room = sizes[1] + sum(4 * split.numel() * DIMENSIONS.n_embd for split in ids.values()) + 1000
    ours.outputs(ids, cache_gb=room / 1e9)
    assert [entry.exists() for entry in entries] == [False, True, False]
    assert ours.entry(4).exists()


def test_hidden_states_beyond_the_limit_are_refused_with_the_numbers(
    checkpoint, tokens_file, tmp_path
):
    with pytest.raises(UserError) as refused:
        trunk(checkpoint, tokens_file, tmp_path / "cache").outputs(ids_of(tokens_file), 1e-7)
    message = str(refused.value)
    assert "tiny" in message and "cache_gb: 1e-07" in message and "cache_gb: 0" in message
    assert not any(path.is_dir() for path in (tmp_path / "cache").iterdir())
