"""A checkpoint from the hub, a mirror or a user's folder: verified, whole or not at all."""

import json
import logging
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs, to_builtins
from safetensors.torch import load, save

import programs
from ablations.data import byte_pairs, tokenizer
from ablations.data.tokenizer import Tokenizer
from ablations.errors import UserError
from ablations.files import contents_sha256, write_json
from ablations.model import checkpoint, fetch, gpt2
from ablations.sources.hub import Repository
from ablations.study import identities, models
from ablations.study.dimensions import Dimensions
from ablations.study.models import Model, ModelFolder
from hub_server import REVISION, Fault, HubServer, sha256

REPO = "someone/tiny"
DIMENSIONS = Dimensions(n_layer=2, n_head=2, n_embd=4, n_positions=8, vocab_size=11)
STATED = to_builtins(DIMENSIONS)
SHAPE = ("n_layer", "n_head", "n_embd", "n_positions")


def tensors(**changes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = gpt2.tensor_shapes(structs.replace(DIMENSIONS, **changes))
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def config(**changes: Any) -> bytes:
    base = STATED | {"model_type": "gpt2", "activation_function": "gelu_new"}
    return json.dumps(base | {"layer_norm_epsilon": 1e-5, "n_inner": None} | changes).encode()


CONFIG, WEIGHTS = config(), save(tensors())


@pytest.fixture
def server(server: HubServer) -> HubServer:
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
    return server


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "checkpoints" / "tiny" / "manifest.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder in the Hugging Face layout."""
    return write(tmp_path / "mine", CONFIG, WEIGHTS)


def write(folder: Path, config: bytes, weights: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_bytes(config)
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def from_hub(
    output: Path, sha256: str | None = None, words: Tokenizer | None = None, **changes: Any
) -> None:
    """`changes`: of the repository, and of what the study states."""
    names = {"name": REPO, "revision": REVISION}
    repo = Repository(**{key: changes.pop(key, value) for key, value in names.items()})
    fetch.fetch_from_hub(repo, sha256, structs.replace(DIMENSIONS, **changes), output, words)


def refused(output: Path, *arguments: Any, **changes: Any) -> str:
    """The message; of results there are those from before."""
    before = {path.name: path.read_bytes() for path in output.parent.glob("*")}
    with pytest.raises(UserError) as raised:
        from_hub(output, *arguments, **changes)
    assert {path.name: path.read_bytes() for path in output.parent.glob("*")} == before
    return str(raised.value)


def check_result(output: Path, content: bytes = WEIGHTS) -> None:
    assert json.loads(output.read_text()) == {
        "sha256": sha256(content),
        "bytes": len(content),
        "dimensions": STATED,
    }
    assert (output.parent / "model.safetensors").read_bytes() == content
    assert sorted(path.name for path in output.parent.iterdir()) == [
        *("config.json", "manifest.json", "model.safetensors")
    ]


# --- from the hub


def test_program_fetches_two_files_and_then_needs_no_network(server, output, tmp_path):
    server._repos[REPO][REVISION]["pytorch_model.bin"] = b"never asked for"
    source = models.Hub(repo=REPO, revision=REVISION, **{k: STATED[k] for k in SHAPE})
    write_json(tmp_path / "model.json", Model("tiny", DIMENSIONS, tokenizer="bytes", hub=source))
    options = ("--output", output, "--log", tmp_path / "log", "--model", tmp_path / "model.json")
    settings = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": server.url}
    done = programs.run("ablations.model.fetch", *options, environment=settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    check_result(output)
    address = f"{server.url}/{REPO}/resolve/{REVISION}/model.safetensors"
    assert f"from {address}, {len(WEIGHTS)} bytes" in (tmp_path / "log").read_text()
    blob = tmp_path / "hf/hub/models--someone--tiny/blobs" / sha256(WEIGHTS)
    assert (output.parent / "model.safetensors").is_symlink()
    assert (output.parent / "model.safetensors").samefile(blob)
    assert not (output.parent / "config.json").is_symlink()
    first, asked = output.read_bytes(), len(server.requests)
    assert not any("pytorch" in request.path for request in server.requests)

    shutil.rmtree(output.parent)
    settings["HF_ENDPOINT"] = "http://127.0.0.1:9"
    assert not programs.run("ablations.model.fetch", *options, environment=settings).returncode
    assert output.read_bytes() == first and len(server.requests) == asked


def test_mirror_by_url_gives_a_real_file(server, output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/all")
    server.files |= {f"all/{REPO}/config.json": CONFIG, f"all/{REPO}/model.safetensors": WEIGHTS}
    server.files |= {f"all/{REPO}/{name}": content for name, content in other_words().items()}
    from_hub(output, sha256(WEIGHTS))
    check_result(output)
    assert not (output.parent / "model.safetensors").is_symlink()
    assert f"{REPO} has its own tokenizer" in refused(output, words=WORDS)
    assert all(request.path.startswith("all/") for request in server.requests)


def test_mirror_is_linked_to_and_on_the_disk_before_the_manifest(
    server, output, tmp_path, monkeypatch
):
    """Or a loss of power could leave the manifest of a file that is empty."""
    stored = write(tmp_path / "mirror" / REPO, CONFIG, WEIGHTS) / "model.safetensors"
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    from_hub(output)
    check_result(output)
    assert synced.index(stored.stat().st_ino) < synced.index(output.stat().st_ino)
    assert (output.parent / "model.safetensors").samefile(stored) and not server.requests


def test_what_a_checkpoint_holds_beside_a_gpt2_is_told(server, output, caplog):
    caplog.set_level(logging.INFO)
    content = save(tensors() | {"lm_head.weight": torch.ones(1), "surplus": torch.ones(1)})
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": content})
    from_hub(output)
    check_result(output, content)
    assert (
        f"{REPO}/model.safetensors: ignored, not part of a GPT-2: lm_head.weight, surplus"
        in caplog.text
    )


def test_hub_with_a_pickle_only(server, output):
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "pytorch_model.bin": b"\x80\x02"})
    message = refused(output)
    assert f"{REPO} has no model.safetensors at revision {REVISION}, which is required" in message
    assert "Its pytorch_model.bin is a pickle, which is never loaded" in message
    assert f"AutoModel.from_pretrained('{REPO}').save_pretrained('converted')" in message
    assert not server.asked_for("pytorch_model.bin")


def test_wrong_size_is_refused_before_the_bulk_is_fetched(server, output):
    message = refused(output, n_layer=12)
    assert f"{REPO}/config.json: n_layer is 2, expected 12" in message
    assert not server.asked_for("model.safetensors", "HEAD")


# --- a user's folder


def take(folder: Path, output: Path, **expected: int) -> None:
    fetch.take_folder(folder, structs.replace(DIMENSIONS, **expected), output)


def test_folder_program(folder, output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json(
        Path("model.json"),
        Model("tiny", DIMENSIONS, tokenizer="bytes", folder=models.ModelFolder(path="mine")),
    )
    relative = ["--model", "model.json", "--output", "results/checkpoints/tiny/manifest.json"]
    fetch.main(fetch.parser().parse_args(relative))
    check_result(output)
    tmp_path.rename(tmp_path.with_name("moved"))  # folder and results move together
    check_result(tmp_path.with_name("moved") / output.relative_to(tmp_path))


def test_a_model_that_comes_from_nowhere_is_a_message(tmp_path, output):
    write_json(tmp_path / "model.json", Model("tiny", DIMENSIONS, tokenizer="bytes"))
    arguments = ("--model", tmp_path / "model.json", "--output", output)
    done = programs.run("ablations.model.fetch", *arguments)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "model.json: tiny names neither a repository nor a folder" in done.stderr
    assert not output.exists()


def test_folder_link_holds_where_results_is_a_link_elsewhere(folder, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    (tmp_path / "disk" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "work" / "results").symlink_to(tmp_path / "disk" / "deep" / "er")
    monkeypatch.chdir(tmp_path / "work")
    take(Path("../mine"), Path("results/checkpoints/tiny/manifest.json"))
    check_result(tmp_path / "disk" / "deep" / "er" / "checkpoints" / "tiny" / "manifest.json")


def test_folder_is_taken_again_after_a_change(folder, output):
    take(folder, output)
    changed = save(tensors() | {"ln_f.bias": torch.ones(4)})
    write(folder, CONFIG, changed)
    take(folder, output)
    check_result(output, changed)


def test_folder_that_is_the_output(folder):
    with pytest.raises(UserError, match="name another as the source"):
        take(folder, folder / "manifest.json")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_layer": 3}, "n_layer is 3, expected 2"),
        ({"n_embd": "4"}, "n_embd: '4' is not allowed; allowed: a whole number above 0"),
        ({"n_head": None}, "n_head: None is not allowed; allowed: a whole number above 0"),
        ({"n_head": True}, "n_head: True is not allowed; allowed: a whole number above 0"),
        ({"n_layer": 0}, "n_layer: 0 is not allowed; allowed: a whole number above 0"),
        ({"n_layer": 2.0}, "n_layer: 2.0 is not allowed; allowed: a whole number above 0"),
        ({"activation_function": "relu"}, 'activation_function is "relu", expected "gelu_new"'),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06, expected 1e-05"),
        ({"n_inner": 8}, "n_inner is 8, expected null or 16"),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            "scale_attn_by_inverse_layer_idx is true, expected false",
        ),
        ({"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn is true, expected false"),
        ({"scale_attn_weights": False}, "scale_attn_weights is false, expected true"),
        ({"auto_map": {"AutoModel": "own.Own"}}, "auto_map names code that comes with the model"),
        ({"add_cross_attention": True}, "add_cross_attention is true, expected false"),
        ({"activation_function": "gelu"}, 'activation_function is "gelu", expected "gelu_new"'),
        ({"model_type": "llama"}, 'model_type is "llama", expected "gpt2"'),
        ({"n_head": 3}, "n_head is 3, expected 2"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_config_that_is_not_the_expected_gpt2(folder, output, changes, reason):
    write(folder, config(**changes), WEIGHTS)
    with pytest.raises(UserError) as raised:
        take(folder, output)
    assert f"{folder}/config.json: {reason}" in str(raised.value)
    assert not output.parent.exists()


def test_config_that_gpt2_allows(folder, output):
    own = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tie_word_embeddings": False}
    own |= {"activation_function": "gelu_pytorch_tanh"}  # another name of gelu_new
    write(
        folder, config(n_inner=16, scale_attn_weights=True, n_ctx=8, bos_token_id=1, **own), WEIGHTS
    )
    take(folder, output)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_config_that_is_no_configuration(folder, output, text):
    write(folder, text, WEIGHTS)
    with pytest.raises(
        UserError, match=r"config\.json (is not readable JSON|holds .* expected keys n_layer)"
    ):
        take(folder, output)


def lying_header(change: Callable[[dict[str, Any]], None]) -> bytes:
    (length,) = struct.unpack("<Q", WEIGHTS[:8])
    header = json.loads(WEIGHTS[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + WEIGHTS[8 + length :]


def far_away(header: dict[str, Any]) -> None:
    header["wte.weight"]["data_offsets"] = [10**9, 10**9 + 176]


def larger_shape(header: dict[str, Any]) -> None:
    header["wte.weight"]["shape"] = [10**6, 4]


def overlapping(header: dict[str, Any]) -> None:
    header["wte.weight"]["data_offsets"] = header["wpe.weight"]["data_offsets"]


BAD_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is truncated or not a safetensors file (0 bytes)"),
    "truncated": (WEIGHTS[:-1], f"is truncated or not a safetensors file ({len(WEIGHTS) - 1}"),
    "header only": (WEIGHTS[:20], "is truncated or not a safetensors file (20 bytes)"),
    "trailing": (WEIGHTS + b"\0", "is truncated or not"),
    "html": (b"<!DOCTYPE html>" * 9, "is truncated or not a safetensors file"),
    "pickle": (pickle.dumps({"a": 1}), "is a pickle, which is never loaded"),
    "torch zip": (b"PK\x03\x04" + bytes(100), "is a pickle, which is never loaded"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "offsets beyond": (lying_header(far_away), "is truncated or not a safetensors"),
    "shape beyond": (lying_header(larger_shape), "is truncated or not a safetensors"),
    "overlapping": (lying_header(overlapping), "is truncated or not a safetensors"),
}


@pytest.mark.parametrize(("content", "reason"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_file_that_is_not_whole_safetensors(folder, output, content, reason):
    write(folder, CONFIG, content)
    with pytest.raises(UserError) as raised:
        take(folder, output)
    assert f"{folder}/model.safetensors {reason}" in str(raised.value) or (
        "git lfs" in reason and reason in str(raised.value)
    )
    assert not output.parent.exists()

    write(folder, CONFIG, WEIGHTS)
    take(folder, output)
    check_result(output)


def without(name: str) -> dict[str, torch.Tensor]:
    return {key: tensor for key, tensor in tensors().items() if key != name}


def with_one(number: float, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    stored = tensors()
    stored["wpe.weight"][3, 1] = number
    return {name: tensor.to(dtype) for name, tensor in stored.items()}


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        (without("ln_f.bias"), "tensor ln_f.bias is missing, expected shape [4]"),
        (
            tensors() | {"h.1.attn.c_attn.weight": torch.ones(12, 4)},
            "tensor h.1.attn.c_attn.weight has shape [12, 4], expected [4, 12]",
        ),
        (
            tensors() | {"wte.weight": torch.ones(11, 4, dtype=torch.int32)},
            "tensor wte.weight holds I32, expected one of F64, F32, F16, BF16",
        ),
        (tensors(n_layer=3), "h.2.attn.c_attn.bias is one too many for 2 layers"),
        (tensors(n_layer=1), "tensor h.1.ln_1.weight is missing"),
        (tensors(n_embd=6), "and 20 more"),
        (with_one(float("nan")), "tensor wpe.weight holds numbers that are not finite"),
        (with_one(float("-inf"), torch.bfloat16), "tensor wpe.weight holds numbers that are not"),
        (with_one(float("nan"), torch.float16), "tensor wpe.weight holds numbers that are not"),
    ],
)
def test_tensors_that_are_not_the_configurations(folder, output, stored, reason):
    write(folder, CONFIG, save(stored))
    with pytest.raises(UserError) as raised:
        take(folder, output)
    assert str(raised.value).startswith(f"{folder}/model.safetensors: tensor ")
    assert reason in str(raised.value)
    assert not output.parent.exists()


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_folder_that_lacks_a_file(folder, output, missing):
    (folder / missing).rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=f"mine holds no {missing}; .*bin is a pickle.*convert"):
        take(folder, output)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(WEIGHTS) - 1), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_is_one_message_or_other_finite_numbers(tmp_path_factory, at, bit, cut):
    damaged = WEIGHTS[:at] if cut else bytearray(WEIGHTS)
    if isinstance(damaged, bytearray):
        damaged[at] ^= 1 << bit
    path = tmp_path_factory.mktemp("damaged") / "model.safetensors"
    path.write_bytes(damaged)
    try:
        fetch.check_tensors(path.parent, "the folder", DIMENSIONS)
    except UserError as error:
        assert str(error).startswith("the folder/model.safetensors")
    else:
        found = load(path.read_bytes())
        assert all(found[name].isfinite().all() for name in tensors())


# --- weights in several files

INDEX = "model.safetensors.index.json"


def shards(stored: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
    """The same tensors in three files and their index, as transformers writes them."""
    names = list(stored)
    parts = {f"model-{n + 1:05}-of-00003.safetensors": names[n::3] for n in range(3)}
    weight_map = {name: file for file, held in parts.items() for name in held}
    content = {file: save({name: stored[name] for name in held}) for file, held in parts.items()}
    index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
    return {INDEX: json.dumps(index).encode(), **content}


def write_shards(folder: Path, content: Mapping[str, bytes]) -> Path:
    write(folder, CONFIG, b"")
    (folder / "model.safetensors").unlink()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def check_shards(output: Path, dtype: torch.dtype = torch.float32) -> None:
    found = dict(checkpoint.read(output.parent, gpt2.tensor_shapes(DIMENSIONS)))
    assert all(torch.equal(found[name], t.to(dtype).float()) for name, t in tensors().items())
    assert not (output.parent / "model.safetensors").exists()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_folder_with_several_files(tmp_path, output, dtype):
    """Prefixed, in another precision, with another head: what a finetuned model's file may hold."""
    stored = {f"transformer.{name}": t.to(dtype) for name, t in tensors().items()}
    take(
        write_shards(tmp_path / "mine", shards(stored | {"score.weight": torch.ones(2, 4)})), output
    )
    check_shards(output, dtype)


def test_hub_or_mirror_with_several_files_each_verified(server, output, tmp_path, monkeypatch):
    held = shards(tensors())
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, **held})
    server.faults.append(Fault("00002-of-00003.safetensors", "corrupt"))
    assert f"{REPO}/model-00002-of-00003.safetensors" in refused(output)
    server.faults.clear()
    assert "remove sha256 from the model's entry" in refused(output, "0" * 64)
    from_hub(output)
    check_shards(output)
    first, asked = output.read_bytes(), len(server.requests)
    for mirror in ("nowhere", write_shards(tmp_path / "mirror" / REPO, held).parents[1]):
        shutil.rmtree(output.parent)
        monkeypatch.setenv("ABLATIONS_MIRROR", str(mirror))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        from_hub(output)
        check_shards(output)
        assert output.read_bytes() == first and len(server.requests) == asked
    assert (output.parent / "model-00001-of-00003.safetensors").resolve().is_relative_to(mirror)


def test_one_file_in_place_of_several_and_back_leaves_nothing_of_the_other(
    folder, tmp_path, output
):
    take(write_shards(tmp_path / "split", shards(tensors())), output)
    before = identity(tmp_path / "split", tmp_path / "cache.json")
    take(folder, output)
    check_result(output)
    take(tmp_path / "split", output)
    check_shards(output)
    last = tmp_path / "split" / "model-00003-of-00003.safetensors"
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    assert identity(tmp_path / "split", tmp_path / "cache.json") != before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model-00002-of-00003.safetensors": None}, "holds no model-00002-of-00003.safetensors"),
        ({"model-00002-of-00003.safetensors": b"{"}, "model-00002-of-00003.safetensors is trunc"),
        ({INDEX: b"{"}, f"{INDEX} is not what it should be"),
        ({INDEX: b'{"weight_map": {}}'}, "names no file in its weight_map"),
        (
            {INDEX: b'{"weight_map": {"a": "../b.safetensors"}}'},
            "names '../b.safetensors'; allowed: names of .safetensors files in its folder",
        ),
        (
            {"model-00003-of-00003.safetensors": save({"a": torch.ones(1)})},
            f"{INDEX}: tensor h.",
        ),
    ],
    ids=["missing", "damaged", "no JSON", "empty", "elsewhere", "others"],
)
def test_several_files_that_are_not_whole(tmp_path, output, change, reason):
    content = shards(tensors()) | change
    write_shards(tmp_path / "mine", {k: v for k, v in content.items() if v is not None})
    with pytest.raises(UserError, match=re.escape(reason)):
        take(tmp_path / "mine", output)
    assert not output.exists()


# --- the tokenizer that a model brings


def other_words() -> dict[str, bytes]:
    """The two files of a tokenizer that has a merge more than bytes."""
    ids = byte_pairs.ids(()) | {"th": 257}
    merges = b"#version: 0.2\nt h\n"
    return {"vocab.json": json.dumps(ids).encode(), "merges.txt": merges}


WORDS = tokenizer.of_merges(())


def test_folder_with_this_study_s_tokenizer_or_none_is_taken_and_with_another_refused(
    folder, output
):
    fetch.take_folder(folder, DIMENSIONS, output, WORDS)
    byte_pairs.write((), folder)
    fetch.take_folder(folder, DIMENSIONS, output, WORDS)
    output.unlink()
    for name, content in other_words().items():
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="mine has its own tokenizer, whose tokens are not"):
        fetch.take_folder(folder, DIMENSIONS, output, WORDS)
    own = tokenizer.of_folder(folder, "own")
    fetch.take_folder(folder, DIMENSIONS, output, own)
    (folder / "vocab.json").unlink()
    (folder / "vocab.txt").write_text("[UNK]")
    with pytest.raises(UserError, match="mine: its tokenizer cannot be read"):
        fetch.take_folder(folder, DIMENSIONS, output, own)


def test_hub_model_with_another_tokenizer_is_refused_before_its_weights_come(
    server, output, tmp_path, caplog
):
    held = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    server.add_repo(REPO, REVISION, held | other_words())
    assert f"{REPO} has its own tokenizer" in refused(output, words=WORDS)
    assert not server.asked_for("model.safetensors")
    for name, content in other_words().items():
        (tmp_path / name).write_bytes(content)
    own = tokenizer.of_folder(tmp_path, "own")
    from_hub(output, words=own)
    check_result(output)

    server.add_repo(REPO, "b" * 40, held | {"spiece.model": b"x"})
    message = refused(output, revision="b" * 40, words=WORDS)
    assert f"{REPO}: its tokenizer cannot be read" in message
    caplog.set_level(logging.INFO)
    server.add_repo(REPO, "c" * 40, held)
    from_hub(output, revision="c" * 40, words=WORDS)
    assert "has no tokenizer" in caplog.text


def test_a_model_in_the_cache_is_taken_where_its_tokenizer_cannot_be_looked_up(
    server, output, caplog
):
    from_hub(output)
    server.faults.append(Fault("tokenizer.json", "status", methods=("HEAD",)))
    from_hub(output, words=WORDS)
    check_result(output)
    assert f"the tokenizer of {REPO} could not be looked up: no source gave" in caplog.text


def test_a_mirror_s_model_needs_no_network_for_its_tokenizer(server, output, tmp_path, monkeypatch):
    mirror = write(tmp_path / "mirror" / REPO, CONFIG, WEIGHTS)
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    from_hub(output, words=WORDS)
    check_result(output)
    for name, content in other_words().items():
        (mirror / name).write_bytes(content)
    assert f"{REPO} has its own tokenizer" in refused(output, words=WORDS)
    assert not server.requests


# --- the identity of a user's folder


def identity(folder: Path, memory: Path) -> str | None:
    return identities.of_model(Model("m", DIMENSIONS, folder=ModelFolder(path=str(folder))), memory)


def test_it_is_of_the_content_and_remembered(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "folders.json"
    first = identity(folder, cache)

    read: list[Path] = []
    original = fetch.files.sha256
    monkeypatch.setattr(fetch.files, "sha256", lambda path: (read.append(path), original(path))[1])
    assert identity(folder, cache) == first
    assert read == []

    (folder / "model.safetensors").touch()
    assert identity(folder, cache) == first
    assert read == [folder / "model.safetensors"]

    write(folder, config(n_ctx=8), WEIGHTS)
    second = identity(folder, cache)
    assert second != first
    state = (folder / "model.safetensors").stat()
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"!")
    os.utime(folder / "model.safetensors", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert identity(folder, cache) not in (first, second)


def test_it_with_a_broken_cache_or_a_missing_file(folder, tmp_path):
    cache = tmp_path / "cache.json"
    first = identity(folder, cache)
    for text in ("", "{", "[]", '{"x": 1}'):
        cache.write_text(text)
        assert identity(folder, cache) == first
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model.safetensors cannot be read: No such file"):
        identity(folder, cache)
    (folder / "model.safetensors").mkdir()
    with pytest.raises(UserError, match=r"model.safetensors cannot be read: "):
        contents_sha256([folder / "model.safetensors"], cache)
