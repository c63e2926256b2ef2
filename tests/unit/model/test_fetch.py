"""A checkpoint from the hub, a mirror or a user's folder: verified, whole or not at all."""

import hashlib
import json
import os
import pickle
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from safetensors.torch import load, save

import programs
from ablations.data import vocabulary
from ablations.errors import UserError
from ablations.files import contents_sha256, write_json
from ablations.model import checkpoint, fetch
from ablations.study import models
from ablations.study.dimensions import Dimensions
from ablations.study.folder import path_sha256
from ablations.study.models import Model
from hub_server import REVISION, Fault, HubServer

LIBRARY = Path(__file__).parents[3] / "workflow"
REPO = "someone/tiny"
DIMENSIONS = Dimensions(n_layer=2, n_head=2, n_embd=4, n_positions=8, vocab_size=11)
STATED = structs.asdict(DIMENSIONS)


def tensors(**changes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    shapes = checkpoint.tensor_shapes(structs.replace(DIMENSIONS, **changes))
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def config(**changes: Any) -> bytes:
    base = STATED | {"model_type": "gpt2", "activation_function": "gelu_new"}
    return json.dumps(base | {"layer_norm_epsilon": 1e-5, "n_inner": None} | changes).encode()


CONFIG, WEIGHTS = config(), save(tensors())


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# changes to a model's settings
UNPINNED: Mapping[str, Any] = {}
PINNED = {"sha256": sha256(WEIGHTS)}


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": WEIGHTS})
        yield server


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


class Hub:
    """Runs the program against one server, with a separate hub cache."""

    def __init__(self, tmp_path: Path, output: Path, url: str):
        self.cache = tmp_path / "hf" / "hub" / "models--someone--tiny"
        self.output = output
        self.model = tmp_path / "model.json"
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("HF_")},
            **{"PYTHONPATH": str(LIBRARY), "HF_HOME": str(tmp_path / "hf"), "HF_ENDPOINT": url},
            **{"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"},
        }
        self.environment.pop("ABLATIONS_MIRROR", None)

    def command(self, model: Mapping[str, Any] = UNPINNED, *arguments: str) -> list[str]:
        """`model`: what its settings say other than the server's repository."""
        source = {"repo": REPO, "revision": REVISION, **STATED, **model}
        shape = {name: source[name] for name in STATED}
        del source["vocab_size"]
        write_json(self.model, Model("tiny", Dimensions(**shape), hub=models.Hub(**source)))
        return [
            *(sys.executable, "-m", "ablations.model.fetch", "--model", str(self.model)),
            *("--output", str(self.output), *arguments),
        ]

    def run(
        self, model: Mapping[str, Any], *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        command = self.command(model, *arguments)[2:]
        return programs.run(*command, environment=self.environment | environment)

    def succeed(
        self,
        model: Mapping[str, Any] = UNPINNED,
        *arguments: str,
        content: bytes = WEIGHTS,
        **environment: str,
    ) -> str:
        """Runs, checks the result, and returns what the program logged."""
        done = self.run(model, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        check_result(self.output, content)
        return done.stderr

    def fail(self, model: Mapping[str, Any] = UNPINNED, **environment: str) -> str:
        """Runs, checks that no result is left, and returns the message."""
        done = self.run(model, **environment)
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert not self.output.exists()
        assert [path.name for path in self.output.parent.glob("*")] == []
        print(done.stderr)
        return done.stderr.partition("error: ")[2]

    def incomplete(self) -> list[Path]:
        return [path for path in self.cache.rglob("*") if "incomplete" in path.name]


@pytest.fixture
def hub(tmp_path: Path, output: Path, server: HubServer) -> Hub:
    return Hub(tmp_path, output, server.url)


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


def test_hub_fetches_two_files_and_then_needs_no_network(hub, server, tmp_path):
    server._repos[REPO][REVISION]["pytorch_model.bin"] = b"never asked for"
    hub.succeed(PINNED, "--log", str(tmp_path / "log"))
    assert (
        f"{server.url}/{REPO}/resolve/{REVISION}/model.safetensors"
        in (tmp_path / "log").read_text()
    )
    assert (hub.output.parent / "model.safetensors").is_symlink()
    assert (hub.output.parent / "model.safetensors").samefile(hub.cache / "blobs" / sha256(WEIGHTS))
    assert not (hub.output.parent / "config.json").is_symlink()
    first, asked = hub.output.read_bytes(), len(server.requests)
    assert not any("pytorch" in request.path for request in server.requests)

    shutil.rmtree(hub.output.parent)
    hub.succeed()  # verified by the name that the hub's checksum gave the cached file
    assert len(server.requests) == asked
    hub.succeed(PINNED, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    assert hub.output.read_bytes() == first


def test_mirror_is_first_and_the_hub_gives_what_it_lacks(hub, server, tmp_path):
    write(tmp_path / "mirror" / REPO, CONFIG, WEIGHTS)
    log = hub.succeed(ABLATIONS_MIRROR=str(tmp_path / "mirror"), HF_ENDPOINT="http://127.0.0.1:9")
    assert "model.safetensors: not verified, as no sha256 is pinned" in log
    assert (hub.output.parent / "model.safetensors").samefile(
        tmp_path / "mirror" / REPO / "model.safetensors"
    )

    (tmp_path / "mirror" / REPO / "model.safetensors").write_bytes(WEIGHTS[:-1])
    log = hub.succeed(PINNED, ABLATIONS_MIRROR=str(tmp_path / "mirror"))
    assert f"({len(WEIGHTS) - 1} bytes), expected {sha256(WEIGHTS)}" in log
    assert server.asked_for("model.safetensors") and not server.asked_for("config.json")
    assert "cache" not in hub.output.read_text() and "mirror" not in hub.output.read_text()


def test_weights_reach_the_disk_before_their_manifest(output, tmp_path, monkeypatch):
    """Or a loss of power could leave the manifest of a file that is empty."""
    stored = write(tmp_path / "mirror" / REPO, CONFIG, WEIGHTS) / "model.safetensors"
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    fetch.fetch_from_hub(REPO, REVISION, None, DIMENSIONS, output)
    assert synced.index(stored.stat().st_ino) < synced.index(output.stat().st_ino)


def test_mirror_by_url_gives_a_real_file(hub, server):
    server.files |= {f"all/{REPO}/config.json": CONFIG, f"all/{REPO}/model.safetensors": WEIGHTS}
    mirror = {"ABLATIONS_MIRROR": f"{server.url}/all", "HF_ENDPOINT": "http://127.0.0.1:9"}
    hub.succeed(PINNED, **mirror)
    assert not (hub.output.parent / "model.safetensors").is_symlink()


@pytest.mark.parametrize("kind", ["drop", "stall"])
def test_broken_download_resumes(hub, server, kind):
    content = save(tensors() | {"surplus": torch.zeros(3_000_000)})  # the library resumes by 10 MiB
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "model.safetensors": content})
    server.faults.append(Fault("model.safetensors", kind, times=1, after=11 << 20))
    log = hub.succeed({"sha256": sha256(content)}, content=content)
    assert [request.range for request in server.asked_for("model.safetensors")] == [
        *(None, f"bytes={10 << 20}-")
    ]
    assert "Trying to resume" in log
    assert "ignored, not part of a GPT-2: surplus" in log
    assert not hub.incomplete()


def test_busy_hub_is_asked_again(hub, server):
    now = {"Retry-After": "0"}
    server.faults += [
        Fault("config.json", "status", times=1, methods=("HEAD",), status=503, headers=now),
        Fault("model.safetensors", "status", times=1, status=429, headers=now),
    ]
    log = hub.succeed()
    assert "huggingface_hub" in log and "429" in log and "503" in log


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        (Fault("model.safetensors", "corrupt"), ["damaged", sha256(WEIGHTS), "removed from"]),
        (Fault("config.json", "corrupt"), ["config.json was damaged", "removed from the cache"]),
        (Fault("model.safetensors", "truncate"), [str(len(WEIGHTS)), "100"]),
        (Fault("model.safetensors", "status", status=403), ["HTTP 403 Forbidden"]),
        (Fault("model.safetensors", "status", status=404), ["HTTP 404 Not Found"]),
        (Fault("model.safetensors", "status", status=503), ["HTTP 503 Service Unavailable"]),
        (Fault("model.safetensors", "drop", after=0), ["peer closed", "Protocol"]),
    ],
    ids=["corrupt", "corrupt config", "truncate", "403", "404", "503", "drop"],
)
def test_lasting_fault_leaves_nothing_and_the_next_run_recovers(hub, server, fault, reasons):
    server.faults.append(fault)
    message = hub.fail(PINNED)
    for reason in [f"{REPO}/{fault.file}", f"{server.url}/{REPO}/resolve", *reasons]:
        assert reason in message
    assert not hub.incomplete()

    server.faults.clear()
    hub.succeed(PINNED)


@pytest.mark.slow  # for the library's pauses between its attempts
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("config.json", "hang", methods=("HEAD",)), "timed out"),
        (Fault("model.safetensors", "stall"), "timed out"),
        (Fault("model.safetensors", "status", status=429, methods=("HEAD",)), "429 Too Many"),
        (None, "Connection refused"),
    ],
    ids=["hang", "stall", "429", "no network"],
)
def test_fault_that_outlasts_every_attempt_is_told(hub, server, fault, reason):
    """The last is no network, and nothing in the cache."""
    nowhere = {} if fault else {"HF_ENDPOINT": "http://127.0.0.1:9"}
    server.faults += [fault] if fault else []
    message = hub.fail(**nowhere)
    assert f"{REPO}/" in message and reason in message and "ABLATIONS_MIRROR" in message

    server.faults.clear()
    hub.succeed()


def test_damaged_cache_is_found_removed_and_fetched_again(hub, server):
    hub.succeed()
    blob = hub.cache / "blobs" / sha256(WEIGHTS)
    blob.write_bytes(WEIGHTS[:-1] + b"!")
    shutil.rmtree(hub.output.parent)
    assert "damaged" in hub.fail(HF_HUB_OFFLINE="1")
    assert not blob.exists()
    hub.succeed()


def test_wrong_pin_names_both_sums_and_keeps_the_cache(hub, server):
    message = hub.fail({"sha256": "0" * 64})
    assert "model.safetensors at revision" in message
    assert f"sha256 is {sha256(WEIGHTS)}, expected {'0' * 64}" in message
    asked = len(server.requests)
    hub.succeed(PINNED)
    assert len(server.requests) == asked


@pytest.mark.parametrize(
    ("model", "environment", "reason"),
    [
        ({"repo": "someone/else"}, {}, "the hub has no repository someone/else"),
        ({"revision": "f" * 40}, {}, f"{REPO} has no revision {'f' * 40}"),
        ({}, {"HF_HUB_OFFLINE": "1"}, "and HF_HUB_OFFLINE is set"),
    ],
)
def test_hub_says_what_is_missing(hub, model, environment, reason):
    message = hub.fail(model, **environment)
    assert reason in message
    assert "ABLATIONS_MIRROR" in message


def test_repository_that_tries_paths(hub, tmp_path):
    write(tmp_path / "mirror", CONFIG, WEIGHTS)
    message = hub.fail({"repo": "../mirror"}, ABLATIONS_MIRROR=str(tmp_path / "mirror"))
    assert "model.json is not what it should be" in message and "$.hub.repo" in message
    message = hub.fail({"repo": "some..one"}, ABLATIONS_MIRROR=str(tmp_path / "mirror"))
    assert "'some..one' cannot be a repository of the hub: " in message


def test_repository_that_tries_paths_is_refused_without_the_settings_check(
    output, tmp_path, monkeypatch
):
    write(tmp_path / "mirror", CONFIG, WEIGHTS)
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(
        UserError, match=r"'\.\./mirror' cannot be a repository of the hub: Repo id"
    ):
        fetch.fetch_from_hub("../mirror", REVISION, None, DIMENSIONS, output)
    assert not list(output.parent.iterdir())


def test_hub_with_a_pickle_only(hub, server):
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, "pytorch_model.bin": b"\x80\x02"})
    message = hub.fail()
    assert f"{REPO} has no model.safetensors at revision {REVISION}, which is required" in message
    assert "Its pytorch_model.bin is a pickle, which is never loaded" in message
    assert f"AutoModel.from_pretrained('{REPO}').save_pretrained('converted')" in message
    assert not server.asked_for("pytorch_model.bin")


def test_wrong_size_is_refused_before_the_bulk_is_fetched(hub, server):
    message = hub.fail({"n_layer": 12})
    assert f"{REPO}/config.json: n_layer is 2, expected 12" in message
    assert not server.asked_for("model.safetensors")


def test_killed_run_is_recovered_by_the_next(hub, server):
    server.faults.append(Fault("model.safetensors", "stall"))
    process = subprocess.Popen(
        hub.command(), env=hub.environment | {"HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    )
    while not server.asked_for("model.safetensors") and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not hub.output.exists()
    [orphan] = hub.incomplete()
    other = hub.cache / "blobs" / "other.01234567.incomplete"
    other.write_bytes(b"someone else's download, under way")
    an_hour_ago = time.time() - 3600
    os.utime(orphan, (an_hour_ago, an_hour_ago))

    server.faults.clear()
    hub.succeed()
    assert hub.incomplete() == [other]


# --- a user's folder


def take(folder: Path, output: Path, **expected: int) -> None:
    fetch.take_folder(folder, structs.replace(DIMENSIONS, **expected), output)


def test_folder_program(folder, output, tmp_path):
    write_json(
        tmp_path / "model.json", Model("tiny", DIMENSIONS, folder=models.Folder(path="mine"))
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "ablations.model.fetch", "--model", "model.json"),
            *("--output", "results/checkpoints/tiny/manifest.json", "--log", "log"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    check_result(output)
    tmp_path.rename(tmp_path.with_name("moved"))  # folder and results move together
    check_result(tmp_path.with_name("moved") / output.relative_to(tmp_path))


def test_a_model_that_comes_from_nowhere_is_a_message(tmp_path, output):
    write_json(tmp_path / "model.json", Model("tiny", DIMENSIONS))
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


def test_heads_must_divide_the_width(folder, output):
    write(folder, config(n_head=3), WEIGHTS)
    with pytest.raises(
        UserError, match="n_embd: 4 is out of range; allowed: a multiple of n_head, which is 3"
    ):
        take(folder, output, n_head=3)


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
    ids=[
        "missing",
        "transposed",
        "integers",
        "a layer more",
        "a layer less",
        "all",
        "nan",
        "inf",
        "half",
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
        fetch.check_tensors([path], "the file", DIMENSIONS)
    except UserError as error:
        assert str(error).startswith("the file")
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
    found = dict(checkpoint.read(output.parent, tensors()))
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


def test_hub_with_several_files_each_verified(hub, server):
    server.add_repo(REPO, REVISION, {"config.json": CONFIG, **shards(tensors())})
    assert hub.run(UNPINNED).returncode == 0
    check_shards(hub.output)
    first, asked = hub.output.read_bytes(), len(server.requests)
    shutil.rmtree(hub.output.parent)
    assert hub.run(UNPINNED, HF_HUB_OFFLINE="1").returncode == 0
    assert hub.output.read_bytes() == first and len(server.requests) == asked

    shutil.rmtree(hub.output.parent)
    shutil.rmtree(hub.cache)
    server.faults.append(Fault("00002-of-00003.safetensors", "corrupt"))
    assert f"{REPO}/model-00002-of-00003.safetensors" in hub.fail()
    server.faults.clear()
    assert "remove sha256 from the model's entry" in hub.fail({"sha256": "0" * 64})


def test_mirror_with_several_files(hub, tmp_path):
    write_shards(tmp_path / "mirror" / REPO, shards(tensors()))
    nowhere = {"ABLATIONS_MIRROR": str(tmp_path / "mirror"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    assert hub.run(UNPINNED, HF_HUB_OFFLINE="1", **nowhere).returncode == 0
    check_shards(hub.output)


def test_one_file_in_place_of_several_and_back_leaves_nothing_of_the_other(
    folder, tmp_path, output
):
    take(write_shards(tmp_path / "split", shards(tensors())), output)
    identity = path_sha256(tmp_path / "split", tmp_path / "cache.json")
    take(folder, output)
    check_result(output)
    take(tmp_path / "split", output)
    check_shards(output)
    last = tmp_path / "split" / "model-00003-of-00003.safetensors"
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    assert path_sha256(tmp_path / "split", tmp_path / "cache.json") != identity


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
    ids = vocabulary.of_bytes().ids | {"th": 257}
    merges = b"#version: 0.2\nt h\n"
    return {"vocab.json": json.dumps(ids).encode(), "merges.txt": merges}


WORDS = vocabulary.of_bytes()


def test_folder_with_this_study_s_tokenizer_or_none_is_taken_and_with_another_refused(
    folder, output
):
    fetch.take_folder(folder, DIMENSIONS, output, WORDS)
    vocabulary.write(WORDS, folder)
    fetch.take_folder(folder, DIMENSIONS, output, WORDS)
    output.unlink()
    for name, content in other_words().items():
        (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="mine has its own tokenizer, whose tokens are not"):
        fetch.take_folder(folder, DIMENSIONS, output, WORDS)
    own = vocabulary.read(folder / "vocab.json", folder / "merges.txt")
    fetch.take_folder(folder, DIMENSIONS, output, own)
    (folder / "vocab.json").unlink()
    (folder / "vocab.txt").write_text("[UNK]")
    with pytest.raises(UserError, match=r"vocab\.txt belongs to a WordPiece tokenizer"):
        fetch.take_folder(folder, DIMENSIONS, output, own)


def test_hub_model_with_another_tokenizer_is_refused_before_its_weights_come(hub, server, tmp_path):
    held = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    server.add_repo(REPO, REVISION, held | other_words())
    done = hub.run(UNPINNED, "--vocabulary")
    assert done.returncode == 1 and f"{REPO} has its own tokenizer" in done.stderr
    assert not server.asked_for("model.safetensors")
    for name, content in other_words().items():
        (tmp_path / name).write_bytes(content)
    hub.succeed(UNPINNED, "--vocabulary", *(str(tmp_path / name) for name in other_words()))

    server.add_repo(REPO, "b" * 40, held | {"spiece.model": b"x"})
    done = hub.run({"revision": "b" * 40}, "--vocabulary")
    assert f"{REPO}/spiece.model belongs to a SentencePiece tokenizer" in done.stderr
    server.add_repo(REPO, "c" * 40, held)
    log = hub.succeed({"revision": "c" * 40}, "--vocabulary")
    assert "has no tokenizer" in log


def test_a_mirror_s_model_needs_no_network_for_its_tokenizer(hub, tmp_path):
    mirror = write(tmp_path / "mirror" / REPO, CONFIG, WEIGHTS)
    nowhere = {"ABLATIONS_MIRROR": str(tmp_path / "mirror"), "HF_ENDPOINT": "http://127.0.0.1:9"}
    hub.succeed(UNPINNED, "--vocabulary", **nowhere)
    for name, content in other_words().items():
        (mirror / name).write_bytes(content)
    done = hub.run(UNPINNED, "--vocabulary", **nowhere)
    assert f"{REPO} has its own tokenizer" in done.stderr


# --- the identity of a user's folder


def test_path_sha256_is_of_the_content_and_remembered(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "folders.json"
    first = path_sha256(folder, cache)

    read: list[Path] = []
    original = fetch.files.sha256
    monkeypatch.setattr(fetch.files, "sha256", lambda path: (read.append(path), original(path))[1])
    assert path_sha256(folder, cache) == first
    assert read == []

    (folder / "model.safetensors").touch()
    assert path_sha256(folder, cache) == first
    assert read == [folder / "model.safetensors"]

    write(folder, config(n_ctx=8), WEIGHTS)
    second = path_sha256(folder, cache)
    assert second != first
    state = (folder / "model.safetensors").stat()
    (folder / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"!")
    os.utime(folder / "model.safetensors", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path_sha256(folder, cache) not in (first, second)


def test_path_sha256_with_a_broken_cache_or_a_missing_file(folder, tmp_path):
    cache = tmp_path / "cache.json"
    first = path_sha256(folder, cache)
    for text in ("", "{", "[]", '{"x": 1}'):
        cache.write_text(text)
        assert path_sha256(folder, cache) == first
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"model.safetensors cannot be read: No such file"):
        path_sha256(folder, cache)
    (folder / "model.safetensors").mkdir()
    with pytest.raises(UserError, match=r"model.safetensors cannot be read: "):
        contents_sha256([folder / "model.safetensors"], cache)


def test_import_is_cheap():
    code = (
        "import sys, ablations.model.fetch; print({'torch', 'huggingface_hub'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "set()\n", done.stderr
