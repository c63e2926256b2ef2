"""A tokenizer's files, as they come and as the manifest lists them."""

import inspect
import json
from pathlib import Path

import pytest
from tiktoken_ext import openai_public

from ablations.errors import UserError
from ablations.sources import tokenizer
from ablations.study.tokenizer_files import GPT2_SHA256
from hub_server import REVISION, sha256
from texts import gpt2_bpe


def test_gpt2_s_from_its_own_host_where_the_mirror_lacks_it(tmp_path, monkeypatch, server):
    content = b"#version\n"
    monkeypatch.setattr(tokenizer, "GPT2_SHA256", sha256(content))
    monkeypatch.setattr(tokenizer, "GPT2_URL", f"{server.url}/gpt-2/vocab.bpe")
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/mirror")
    server.files["mirror/gpt2-bpe/vocab.bpe"] = b"altered"
    server.files["gpt-2/vocab.bpe"] = content
    tokenizer.of_gpt2(tmp_path / "out")
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert found == {"merges.txt": content}


def test_its_checksum_is_the_one_that_tiktoken_pins():
    source = inspect.getsource(openai_public.gpt2)
    assert GPT2_SHA256 in source and tokenizer.GPT2_URL in source


def fetched(folder: Path, *options: object) -> dict[str, str]:
    """Fetches a tokenizer into FOLDER/out; the manifest."""
    arguments = [*options, "--output", folder / "out/manifest.json"]
    tokenizer.main(tokenizer.parser().parse_args(list(map(str, arguments))))
    found: dict[str, str] = json.loads((folder / "out/manifest.json").read_text())
    return found


def test_a_repository_s_files_replace_those_of_another_tokenizer(tmp_path, monkeypatch, server):
    with monkeypatch.context() as patched:
        patched.setenv("ABLATIONS_MIRROR", str(gpt2_bpe().parent))
        assert fetched(tmp_path) == {"merges.txt": GPT2_SHA256}
    held = {"vocab.txt": b"[UNK]\n", "config.json": b"{}", "pytorch_model.bin": b"\x80\x02"}
    server.add_repo("someone/bert", REVISION, held)
    server.add_repo("someone/bert", "c" * 40, {"config.json": b"{}"})
    for revision, reason in (
        ("c" * 40, "someone/bert holds no tokenizer; expected tokenizer.json, or vocab.json"),
        ("d" * 40, f"someone/bert has no revision {'d' * 40}"),
    ):
        source = {"repo": "someone/bert", "revision": revision, "vocab_size": 1}
        with pytest.raises(UserError, match=reason):
            fetched(tmp_path, "--hub", json.dumps(source))
    source["revision"] = REVISION
    assert fetched(tmp_path, "--hub", json.dumps(source)) == {
        name: sha256(held[name]) for name in ("config.json", "vocab.txt")
    }
    assert not server.asked_for("pytorch_model.bin")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"vocab.txt", "config.json", "manifest.json"}


def test_a_folder_that_holds_none_or_pointers_is_refused(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(UserError, match="mine holds no tokenizer"):
        fetched(tmp_path, "--folder", mine)
    for name in ("vocab.json", "merges.txt"):
        (mine / name).write_text("version https://git-lfs.github.com/spec/v1\noid 0\n")
    message = (
        r"mine/vocab\.json is a Git LFS pointer and not the file itself; run git lfs pull there"
    )
    with pytest.raises(UserError, match=message):
        fetched(tmp_path, "--folder", mine)
    (mine / "vocab.json").write_text("{}")
    with pytest.raises(UserError, match=r"mine/merges\.txt is a Git LFS pointer"):
        fetched(tmp_path, "--folder", mine)
