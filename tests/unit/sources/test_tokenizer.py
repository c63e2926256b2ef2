"""A tokenizer's files, as they come and as the manifest lists them."""

import hashlib
import inspect
import json
from typing import Any

from tiktoken_ext import openai_public

import programs
from ablations.sources import tokenizer
from ablations.study.tokenizer_files import GPT2_SHA256
from commands import environment
from hub_server import REVISION, HubServer
from texts import gpt2_bpe


def test_gpt2_s_from_its_own_host_where_the_mirror_lacks_it(tmp_path, monkeypatch):
    content = b"#version\n"
    monkeypatch.setattr(tokenizer, "GPT2_SHA256", hashlib.sha256(content).hexdigest())
    with HubServer() as server:
        monkeypatch.setattr(tokenizer, "GPT2_URL", f"{server.url}/gpt-2/vocab.bpe")
        monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/mirror")
        server.files["mirror/gpt2-bpe/vocab.bpe"] = b"altered"
        server.files["gpt-2/vocab.bpe"] = content
        tokenizer.of_gpt2(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"merges.txt": content}


def test_its_checksum_is_the_one_that_tiktoken_pins():
    source = inspect.getsource(openai_public.gpt2)
    assert GPT2_SHA256 in source and tokenizer.GPT2_URL in source


def test_a_repository_s_files_replace_those_of_another_tokenizer(tmp_path, monkeypatch):
    out = tmp_path / "out"

    def fetched(*options: object, **settings: str) -> Any:
        return programs.run(
            *("ablations.sources.tokenizer", *options, "--output", out / "manifest.json"),
            environment=environment(**settings),
        )

    assert fetched(ABLATIONS_MIRROR=str(gpt2_bpe().parent)).returncode == 0
    assert json.loads((out / "manifest.json").read_text()) == {"merges.txt": GPT2_SHA256}
    held = {"vocab.txt": b"[UNK]\n", "config.json": b"{}", "pytorch_model.bin": b"\x80\x02"}
    with HubServer() as server:
        server.add_repo("someone/bert", REVISION, held)
        server.add_repo("someone/bert", "c" * 40, {"config.json": b"{}"})
        hub = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
        for revision, reason in (
            ("c" * 40, "someone/bert holds no tokenizer; expected tokenizer.json, or vocab.json"),
            ("d" * 40, f"someone/bert has no revision {'d' * 40}"),
        ):
            source = {"repo": "someone/bert", "revision": revision, "vocab_size": 1}
            done = fetched("--hub", json.dumps(source), **hub)
            assert done.returncode == 1 and "Traceback" not in done.stderr
            assert reason in done.stderr
        source["revision"] = REVISION
        done = fetched("--hub", json.dumps(source), **hub)
        assert done.returncode == 0, done.stderr
        assert not server.asked_for("pytorch_model.bin")
    assert {path.name for path in out.iterdir()} == {"vocab.txt", "config.json", "manifest.json"}
    assert json.loads((out / "manifest.json").read_text()) == {
        name: hashlib.sha256(held[name]).hexdigest() for name in ("config.json", "vocab.txt")
    }
    (tmp_path / "mine").mkdir()
    assert "mine holds no tokenizer" in fetched("--folder", tmp_path / "mine").stderr
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "mine" / name).write_text("version https://git-lfs.github.com/spec/v1\noid 0\n")
    message = "mine/vocab.json is a Git LFS pointer and not the file itself; run git lfs pull there"
    assert message in fetched("--folder", tmp_path / "mine").stderr
    (tmp_path / "mine/vocab.json").write_text("{}")
    assert "mine/merges.txt is a Git LFS pointer" in fetched("--folder", tmp_path / "mine").stderr
