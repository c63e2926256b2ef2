"""The hub's cache: damaged, without network, resumed; and what a repository lacks."""

import logging
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants

from ablations.errors import UserError
from ablations.files import sha256
from ablations.sources import hub
from ablations.sources.download import NotThereError
from ablations.sources.hub import Repository
from hub_server import REVISION, Fault, HubServer

REPO = Repository("someone/tiny", REVISION)
FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 1000}


@pytest.fixture
def server(server: HubServer) -> HubServer:
    server.add_repo(REPO.name, REVISION, dict(FILES))
    server.add_branch(REPO.name, "main", REVISION)
    return server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def failed(folder: Path, repo: Repository = REPO, name: str = "config.json", **more: str) -> str:
    with pytest.raises(UserError) as raised:
        hub.fetch(repo, name, folder, **more)
    assert not list(folder.iterdir())
    return str(raised.value)


@pytest.mark.parametrize("name", FILES)
def test_what_is_in_the_cache_needs_no_network_and_is_verified(name, server, folder, monkeypatch):
    first = hub.fetch(REPO, name, folder)
    assert (folder / name).samefile(first.path) and first.sha256 == sha256(first.path)
    asked = len(server.requests)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.fetch(REPO, name, folder) == first
    assert len(server.requests) == asked

    blob = first.path.resolve()
    blob.write_bytes(FILES[name][:-1] + b"!")
    (folder / name).unlink()
    for more in ({}, {"sha256": first.sha256}):
        message = failed(folder, name=name, **more)
        assert f"{name} was damaged" in message and "removed from the cache" in message
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert not blob.exists()
        assert hub.fetch(REPO, name, folder) == first
        blob.write_bytes(b"")
        (folder / name).unlink()


def test_wrong_pin_names_both_sums_and_keeps_the_cache(server, folder):
    message = failed(folder, name="model.safetensors", sha256="0" * 64)
    asked = len(server.requests)
    found = hub.fetch(REPO, "model.safetensors", folder)
    assert f"sha256 is {found.sha256}, expected {'0' * 64}; the found one is the hub's" in message
    assert f"model.safetensors at revision {REVISION} is not the expected file" in message
    assert len(server.requests) == asked


@pytest.mark.parametrize("kind", ["drop", "stall"])
def test_broken_download_resumes(server, folder, kind, tmp_path):
    content = bytes(12 << 20)  # the library resumes by 10 MiB
    server.add_repo(REPO.name, REVISION, {"model.safetensors": content})
    server.faults.append(Fault("model.safetensors", kind, times=1, after=11 << 20))
    assert hub.fetch(REPO, "model.safetensors", folder).path.read_bytes() == content
    ranges = [request.range for request in server.asked_for("model.safetensors")]
    assert ranges == [None, f"bytes={10 << 20}-"]
    assert not list((tmp_path / "hf").rglob("*.incomplete"))


@pytest.mark.parametrize(
    ("repo", "name", "reason"),
    [
        (
            REPO._replace(name="someone/else"),
            "a",
            "the hub has no repository someone/else, or it is",
        ),
        (REPO._replace(revision="f" * 40), "a", f"someone/tiny has no revision {'f' * 40}"),
        (REPO, "a", f"someone/tiny has no a at revision {REVISION}, which is required"),
    ],
)
def test_what_is_missing_is_said(server, folder, repo, name, reason):
    assert reason in failed(folder, repo, name)
    with pytest.raises(UserError, match=reason):
        hub.look_up(repo, name)


def test_without_network_by_choice_what_is_missing_is_not_asked_for(server, folder, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert f"not in the cache {constants.HF_HUB_CACHE}, and HF_HUB_OFFLINE is set" in failed(folder)
    assert not server.requests


def test_a_cache_that_cannot_be_written_is_told_with_what_to_set(
    server, folder, monkeypatch, tmp_path
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file/hub"))
    said = f"the cache {tmp_path}/file/hub cannot be used (Not a directory); name a folder"
    assert said in failed(folder)


@pytest.mark.parametrize("name", ["../mirror", "some..one", "a/b/c"])
def test_repository_that_tries_paths_is_no_part_of_a_mirror(
    server, folder, name, tmp_path, monkeypatch
):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "config.json").write_bytes(b"{}")
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    message = failed(folder, Repository(name, REVISION))
    assert f"{name!r} cannot be a repository of the hub: " in message


def test_those_files_that_a_repository_has_are_linked_into_a_folder(server, folder):
    hub.fetch_present(REPO, ["none", *FILES], folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    server.faults.append(Fault("none", "status", status=403, methods=("HEAD",)))
    with pytest.raises(UserError, match="HTTP 403 Forbidden"):
        hub.fetch_present(REPO, ["none"], folder)


def test_a_mirror_that_has_a_file_is_not_asked_past_for_those_beside_it(
    server, folder, tmp_path, monkeypatch
):
    shutil.copytree(folder, tmp_path / "mirror" / REPO.name)
    (tmp_path / "mirror" / REPO.name / "config.json").write_bytes(b"{1}")
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    config = hub.fetch(REPO, "config.json", folder)
    hub.fetch_present(REPO, FILES, folder, beside=config)
    assert [path.read_bytes() for path in folder.iterdir()] == [b"{1}"] and not server.requests
    hub.fetch_present(REPO, FILES, folder)
    assert len(list(folder.iterdir())) == 2


def test_a_branch_s_commit_and_a_large_file_s_checksum_are_looked_up(server, folder):
    main = REPO._replace(revision="main")
    told = hub.look_up(main, "model.safetensors")
    assert told.commit_hash == REVISION and not server.asked_for("model.safetensors")  # by GET
    found = hub.fetch(REPO, "model.safetensors", folder)
    assert (found.sha256, found.path.stat().st_size) == (told.etag, told.size)
    with pytest.raises(NotThereError):
        hub.look_up(main, "none")


def test_a_token_is_for_the_hub_alone(server, folder, monkeypatch):
    """Neither a mirror gets it nor the host that the hub sends for large files."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/mirror")
    hub.fetch(REPO, "model.safetensors", folder)
    told = {(r.path.split("/")[0], r.authorization) for r in server.requests}
    assert told == {("mirror", None), ("someone", "Bearer hf_secret"), ("cdn", None)}


def test_what_the_library_says_is_in_the_log(server, folder, monkeypatch):
    lines: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: lines.append(record.getMessage()))
    monkeypatch.setattr(logging.getLogger("ablations"), "handlers", [handler])
    fault = Fault("config.json", "status", times=1, status=503, methods=("HEAD",))
    server.faults.append(fault)
    hub.fetch(REPO, "config.json", folder)
    assert any("503" in line for line in lines)
