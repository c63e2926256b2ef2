"""The lines that a user pastes: what they say, and that the workflow accepts them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save

import programs
from ablations import files
from ablations.data import vocabulary
from ablations.model import checkpoint
from ablations.study import config
from ablations.study.dimensions import Dimensions
from ablations.study.models import HubTokenizer
from commands import environment
from hub_server import REVISION, HubServer
from synthetic_runs import configuration

REPO = "someone/tiny-gpt2"
SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 4, "n_positions": 8, "vocab_size": 50300}
TENSORS = {
    name: torch.ones(shape) for name, shape in checkpoint.tensor_shapes(Dimensions(**SHAPE)).items()
}
WEIGHTS, CONFIG = save(TENSORS), json.dumps(SHAPE | {"model_type": "gpt2"}).encode()


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
        server.add_branch(REPO, "main", REVISION)
        yield server


def describe(tmp_path: Path, server: HubServer, *arguments: object) -> CompletedProcess[str]:
    hub = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
    return programs.run(
        "ablations.model.describe", *map(str, arguments), environment=environment(**hub)
    )


def parsed(done: CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["models"]


def failed(done: CompletedProcess[str]) -> str:
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""
    return done.stderr.partition("error: ")[2]


@pytest.mark.parametrize("revision", [[], ["--revision", "main"], ["--revision", REVISION]])
def test_a_repository_s_lines_pin_its_commit_and_its_weights(server, tmp_path, revision):
    models = parsed(describe(tmp_path, server, REPO, *revision))
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    source = {"repo": REPO, "revision": REVISION, "sha256": sha256}
    assert models == {"tiny-gpt2": source | SHAPE}
    assert not server.asked_for("model.safetensors")  # by GET

    made = configuration(comparisons=[])
    made["models"], made["tokenizer"] = models, "gpt2"
    made["rows"] = [made["rows"][0] | {"model": "tiny-gpt2", "context_length": 4}]
    model = config.parse(made).models["tiny-gpt2"]
    assert model.dimensions == Dimensions(**SHAPE)
    files.write_json(tmp_path / "model.json", model)
    output = tmp_path / "tiny/manifest.json"
    hub = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
    done = programs.run(
        *("ablations.model.fetch", "--model", tmp_path / "model.json", "--output", output),
        environment=environment(**hub),
    )
    assert done.returncode == 0, done.stderr
    assert checkpoint.read_manifest(output.parent).sha256 == sha256


def test_gpt2_s_own_number_of_tokens_is_not_said_and_several_files_have_no_sha256(server, tmp_path):
    shape = SHAPE | {"vocab_size": 50257}
    index = b'{"weight_map": {"a": "b.safetensors"}}'
    held = {"config.json": json.dumps(shape).encode(), "model.safetensors.index.json": index}
    server.add_repo(REPO, REVISION, held)
    del shape["vocab_size"]
    expected = {"repo": REPO, "revision": REVISION} | shape
    assert parsed(describe(tmp_path, server, REPO)) == {"tiny-gpt2": expected}


def test_a_folder_s_line_is_its_path(server, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_bytes(CONFIG)
    message = failed(describe(tmp_path, server, tmp_path / "mine"))
    assert "mine holds no model.safetensors; expected a folder" in message
    (tmp_path / "mine/model.safetensors").write_bytes(WEIGHTS)
    models = parsed(describe(tmp_path, server, tmp_path / "mine"))
    assert models == {"mine": {"path": str(tmp_path / "mine")}}
    message = failed(describe(tmp_path, server, tmp_path / "mine", "--revision", "main"))
    assert "is a folder, and has no revision" in message


def test_a_tokenizer_that_is_not_gpt2_s_is_named_too(server, tmp_path):
    ids = {**vocabulary.of_bytes().ids, "th": 257, "[PAD]": 50299}
    words = {"vocab.json": json.dumps(ids).encode(), "merges.txt": b"#version: 0.2\nt h\n"}
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": WEIGHTS, **words})
    done = describe(tmp_path, server, REPO)
    assert done.returncode == 0, done.stderr
    lines = yaml.safe_load(done.stdout)
    stated = {"repo": REPO, "revision": REVISION, "vocab_size": 50300}
    assert lines["tokenizer"] == stated
    study = configuration() | lines
    for row in study["rows"]:
        row["model"] = "tiny-gpt2"
    assert config.parse(study).tokenizer == HubTokenizer(**stated)

    own = tmp_path / "own"
    own.mkdir()
    for name, content in {"config.json": CONFIG, "model.safetensors": WEIGHTS, **words}.items():
        (own / name).write_bytes(content)
    lines = yaml.safe_load(describe(tmp_path, server, own).stdout)
    assert lines == {"tokenizer": {"path": str(own)}, "models": {"own": {"path": str(own)}}}

    held = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "vocab.txt": b"[UNK]"}
    server.add_repo(REPO, "b" * 40, held)
    message = failed(describe(tmp_path, server, REPO, "--revision", "b" * 40))
    assert f"{REPO}/vocab.txt belongs to a WordPiece tokenizer" in message


def test_what_cannot_be_taken_says_why(server, tmp_path):
    assert "the hub has no repository someone/else" in failed(
        describe(tmp_path, server, "someone/else")
    )
    assert f"{REPO} has no revision v9" in failed(
        describe(tmp_path, server, REPO, "--revision", "v9")
    )
    assert "cannot be a repository of the hub" in failed(describe(tmp_path, server, "a/b/c"))
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "pytorch_model.bin": b"\x80\x02"})
    message = failed(describe(tmp_path, server, REPO))
    assert "has no model.safetensors" in message and "which is never loaded" in message
    other = json.dumps(SHAPE | {"model_type": "llama"}).encode()
    server.add_repo(REPO, "a" * 40, {"config.json": other, "model.safetensors": WEIGHTS})
    message = failed(describe(tmp_path, server, REPO, "--revision", "a" * 40))
    assert 'config.json: model_type is "llama", expected "gpt2"' in message
