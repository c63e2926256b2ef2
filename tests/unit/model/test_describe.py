"""The lines that a user pastes: what they say, and that the workflow accepts them."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import yaml
from msgspec import structs
from safetensors.torch import save

from ablations import files
from ablations.data import byte_pairs
from ablations.errors import UserError
from ablations.model import checkpoint, fetch, gpt2
from ablations.model import describe as program
from ablations.study import config
from ablations.study.dimensions import Dimensions
from ablations.study.models import HubTokenizer
from hub_server import REVISION, HubServer
from synthetic_runs import configuration

REPO = "someone/tiny-gpt2"
SHAPE = {"n_layer": 2, "n_head": 2, "n_embd": 4, "n_positions": 8, "vocab_size": 50300}
TENSORS = {
    name: torch.ones(shape) for name, shape in gpt2.tensor_shapes(Dimensions(**SHAPE)).items()
}
WEIGHTS, CONFIG = save(TENSORS), json.dumps(SHAPE | {"model_type": "gpt2"}).encode()


Lines = Callable[..., dict[str, Any]]


@pytest.fixture
def server(server: HubServer) -> HubServer:
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    server.add_branch(REPO, "main", REVISION)
    return server


@pytest.fixture
def describe(server: HubServer, capsys: pytest.CaptureFixture[str]) -> Lines:
    """What the program prints, read."""

    def describe(*arguments: object) -> dict[str, Any]:
        program.main(program.parser().parse_args(list(map(str, arguments))))
        return yaml.safe_load(capsys.readouterr().out)

    return describe


def failed(describe: Lines, *arguments: object) -> str:
    with pytest.raises(UserError) as raised:
        describe(*arguments)
    return str(raised.value)


@pytest.mark.parametrize("revision", [[], ["--revision", "main"], ["--revision", REVISION]])
def test_a_repository_s_lines_pin_its_commit_and_its_weights(server, tmp_path, describe, revision):
    models = describe(REPO, *revision)["models"]
    sha256 = hashlib.sha256(WEIGHTS).hexdigest()
    source = {"repo": REPO, "revision": REVISION, "sha256": sha256}
    assert models == {"tiny-gpt2": source | SHAPE}
    assert not server.asked_for("model.safetensors")  # by GET

    made = configuration(comparisons=[])
    made["models"], made["tokenizer"] = models, "bytes"
    made["rows"] = [made["rows"][0] | {"model": "tiny-gpt2", "context_length": 4}]
    model = config.parse(made).models["tiny-gpt2"]
    assert model.dimensions == Dimensions(**SHAPE)
    files.write_json(tmp_path / "model.json", structs.replace(model, tokenizer="bytes"))
    output = tmp_path / "tiny/manifest.json"
    options = ["--model", str(tmp_path / "model.json"), "--output", str(output)]
    fetch.main(fetch.parser().parse_args(options))
    assert checkpoint.read_manifest(output.parent).sha256 == sha256


def test_gpt2_s_own_number_of_tokens_is_not_said_and_several_files_have_no_sha256(server, describe):
    shape = SHAPE | {"vocab_size": 50257}
    index = b'{"weight_map": {"a": "b.safetensors"}}'
    held = {"config.json": json.dumps(shape).encode(), "model.safetensors.index.json": index}
    server.add_repo(REPO, REVISION, held)
    del shape["vocab_size"]
    expected = {"repo": REPO, "revision": REVISION} | shape
    assert describe(REPO)["models"] == {"tiny-gpt2": expected}


def test_a_folder_s_line_is_its_path(describe, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_bytes(CONFIG)
    message = failed(describe, tmp_path / "mine")
    assert "mine holds no model.safetensors; expected a folder" in message
    (tmp_path / "mine/model.safetensors").write_bytes(WEIGHTS)
    assert describe(tmp_path / "mine")["models"] == {"mine": {"path": str(tmp_path / "mine")}}
    message = failed(describe, tmp_path / "mine", "--revision", "main")
    assert "is a folder, and has no revision" in message


def test_a_tokenizer_that_is_not_gpt2_s_is_named_too(server, tmp_path, describe):
    ids = {**byte_pairs.ids(()), "th": 257, "[PAD]": 50299}
    words = {"vocab.json": json.dumps(ids).encode(), "merges.txt": b"#version: 0.2\nt h\n"}
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": WEIGHTS, **words})
    lines = describe(REPO)
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
    lines = describe(own)
    assert lines == {"tokenizer": {"path": str(own)}, "models": {"own": {"path": str(own)}}}

    held = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "spiece.model": b"x"}
    server.add_repo(REPO, "b" * 40, held)
    message = failed(describe, REPO, "--revision", "b" * 40)
    assert "holds a SentencePiece model alone; expected tokenizer.json, which" in message


def test_what_cannot_be_taken_says_why(server, describe):
    assert "the hub has no repository someone/else" in failed(describe, "someone/else")
    assert f"{REPO} has no revision v9" in failed(describe, REPO, "--revision", "v9")
    assert "cannot be a repository of the hub" in failed(describe, "a/b/c")
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "pytorch_model.bin": b"\x80\x02"})
    message = failed(describe, REPO)
    assert "has no model.safetensors" in message and "which is never loaded" in message
