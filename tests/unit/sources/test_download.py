"""One file from a URL, the hub or a mirror: every fault, what is told of it, and what is left."""

import logging
from pathlib import Path

import pytest
from huggingface_hub import close_session

from ablations.errors import UserError
from ablations.sources import download, hub
from ablations.sources.hub import Repository
from hub_server import REVISION, Fault, HubServer, sha256

FILE = "model.safetensors"
REPO = Repository("someone/tiny", REVISION)
CONTENT = bytes(range(256)) * 40


class Origin:
    """The one place, apart from a mirror, that has the file."""

    def __init__(self, kind: str, server: HubServer, folder: Path) -> None:
        self.kind, self.cache, self.output = kind, folder / "hf/hub", folder / "results" / "output"
        server.files[FILE] = CONTENT
        server.add_repo(REPO.name, REVISION, {FILE: CONTENT})
        self.address = f"{server.url}/{FILE}"
        self.in_mirror = FILE
        if kind == "hub":
            self.address = f"{server.url}/{REPO.name}/resolve/{REVISION}/{FILE}"
            self.in_mirror = f"{REPO.name}/{FILE}"

    def get(self, pin: str = sha256(CONTENT)) -> bytes:
        with download.scratch(self.output) as folder:
            if self.kind == "url":
                found = download.from_urls(FILE, [self.address], pin, folder)
            else:
                found = hub.fetch(REPO, FILE, folder, pin)
            assert (folder / FILE).is_file() or "mirror" in str(found.path)
            assert found.sha256 == sha256(found.path.read_bytes())
            return found.path.read_bytes()

    def left(self) -> list[Path]:
        """Whatever is neither a result nor a whole file of the cache."""
        return [*self.output.parent.iterdir(), *self.cache.rglob("*.incomplete")]


@pytest.fixture
def server(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    return server


@pytest.fixture(params=["url", "hub"])
def origin(request: pytest.FixtureRequest, server: HubServer, tmp_path: Path) -> Origin:
    return Origin(request.param, server, tmp_path)


def status(number: int, **more: object) -> Fault:
    return Fault(FILE, "status", status=number, **more)


HEAD = {"methods": ("HEAD",)}
PASSING = [
    ("url", status(429, times=1, headers={"Retry-After": "1"}), 2),
    ("url", status(503, times=2), 3),
    ("url", Fault(FILE, "drop", times=2), 3),
    ("url", Fault(FILE, "drop", times=1, after=0), 2),
    ("hub", status(429, times=1, headers={"Retry-After": "1"}), 2),
    ("hub", status(503, times=1, **HEAD), 1),
    ("hub", Fault(FILE, "hang", times=1, **HEAD), 1),
    ("hub", Fault(FILE, "drop", times=1), 2),
    ("hub", Fault(FILE, "stall", times=1), 2),
]


def named(value: object) -> str:
    return f"{value.kind}-{value.status}" if isinstance(value, Fault) else ""


@pytest.mark.parametrize(("origin", "fault", "asked"), PASSING, indirect=["origin"], ids=named)
def test_transient_fault_is_tried_again(origin, fault, asked, server):
    server.faults.append(fault)
    assert origin.get() == CONTENT and not origin.left()
    assert len(server.asked_for(FILE)) == asked


BUSY, CORRUPT, SHORT = "HTTP 503 Service Unavailable", CONTENT[:-1] + b"\xfe", CONTENT[:100]
DAMAGED = (
    f"{FILE} was damaged on its way or in the cache: its sha256 is {sha256(CORRUPT)}, expected"
    f" {sha256(CONTENT)}; it was removed from the cache, so that the next run downloads it again"
)
LASTING = [
    ("url", status(503), f"{BUSY}, 3 times", 3),
    ("url", status(429), "HTTP 429 Too Many Requests, 3 times", 3),
    ("url", Fault(FILE, "stall"), "the connection failed: timed out, 3 times", 3),
    ("url", Fault(FILE, "drop"), "IncompleteRead(100 bytes read", 3),
    # what would fail again is asked for once
    *[("url", status(number), f"HTTP {number} ", 1) for number in (400, 401, 403, 404, 410, 501)],
    ("url", Fault(FILE, "hang"), "no answer within 0.3 s", 1),
    ("url", Fault(FILE, "truncate"), f"its sha256 is {sha256(SHORT)} (100 bytes), expected", 1),
    ("url", Fault(FILE, "corrupt"), f"its sha256 is {sha256(CORRUPT)} (10240 bytes), expected", 1),
    ("hub", status(403), "HTTP 403 Forbidden", 1),
    ("hub", status(404), "HTTP 404 Not Found", 1),
    ("hub", status(503), BUSY, 1),
    ("hub", status(429, **HEAD), "HTTP 429 Too Many Requests", 0),
    ("hub", Fault(FILE, "hang", **HEAD), "timed out", 0),
    ("hub", Fault(FILE, "stall"), "timed out", 6),
    ("hub", Fault(FILE, "drop", after=0), "peer closed connection", 6),
    ("hub", Fault(FILE, "truncate"), "should be of size 10240 but has size 100", 1),
    ("hub", Fault(FILE, "corrupt"), DAMAGED, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("origin", "fault", "reason", "asked"), LASTING, indirect=["origin"], ids=named
)
def test_lasting_fault_leaves_nothing_and_the_next_run_recovers(
    origin, fault, reason, asked, server
):
    server.faults.append(fault)
    with pytest.raises(UserError) as raised:
        origin.get()
    first, told, last = str(raised.value).splitlines()
    assert first == f"no source gave {origin.in_mirror}:"
    assert told.startswith(f"  {origin.address}: ") and reason in told
    assert sha256(CONTENT) in last and "ABLATIONS_MIRROR" in last
    assert len(server.asked_for(FILE)) == asked and not origin.left()

    server.faults.clear()
    assert origin.get() == CONTENT and not origin.left()


def test_unreachable_host_is_told(origin, server, monkeypatch):
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(server.__class__, "url", nowhere)
    server.be_the_hub(origin.cache, monkeypatch)
    origin.address = f"{nowhere}/{FILE}"
    with pytest.raises(UserError, match=f"{nowhere}/.*Connection refused"):
        origin.get()
    if origin.kind == "url":
        origin.address = f"http://no-such-host.invalid/{FILE}"
        with pytest.raises(UserError, match=r"not known|resolution|No address"):
            origin.get()
        origin.address = FILE
        with pytest.raises(UserError, match=rf"{FILE}: Invalid URL .*: No scheme supplied"):
            origin.get()
    assert not origin.left()


def test_a_proxy_that_refuses_is_named_without_its_password(origin, server, monkeypatch):
    somewhere = "http://somewhere.invalid"
    monkeypatch.setattr(server.__class__, "url", somewhere)
    server.be_the_hub(origin.cache, monkeypatch)
    origin.address = f"{somewhere}/{FILE}"
    monkeypatch.setenv("HTTP_PROXY", "http://me:secret@127.0.0.1:9")
    close_session()  # which has read the environment
    with pytest.raises(UserError) as raised:
        origin.get()
    close_session()
    (reason,) = (line for line in str(raised.value).splitlines() if somewhere in line)
    assert "Connection refused" in reason and "secret" not in reason
    assert reason.endswith("(by the proxy 127.0.0.1:9, as HTTP_PROXY says)")


@pytest.mark.parametrize("by_url", [False, True])
def test_mirror_is_first_and_what_it_lacks_comes_from_the_origin(
    origin, by_url, server, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    mirror, address = tmp_path / "mirror" / origin.in_mirror, f"mirror/{origin.in_mirror}"
    mirror.parent.mkdir(parents=True)
    monkeypatch.setenv(
        "ABLATIONS_MIRROR", f"{server.url}/mirror/" if by_url else str(tmp_path / "mirror")
    )
    assert origin.get() == CONTENT
    reason = "HTTP 404 Not Found" if by_url else "no such file"
    assert f"{address}: {reason}" in caplog.text

    mirror.write_bytes(CONTENT[:-1])
    server.files[address] = CONTENT[:-1]
    assert origin.get() == CONTENT
    assert f"{address}: {FILE} is not the expected file: its sha256 is" in caplog.text

    mirror.write_bytes(CONTENT)
    server.files[address] = CONTENT
    server.requests.clear()
    assert origin.get() == CONTENT and not origin.left()
    assert [request.path for request in server.requests] == ([address] if by_url else [])


def test_what_a_mirror_has_is_taken_unverified_where_nothing_is_pinned(
    server, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror" / REPO.name).mkdir(parents=True)
    (tmp_path / "mirror" / REPO.name / FILE).write_bytes(b"any")
    assert hub.fetch(REPO, FILE, tmp_path).sha256 == sha256(b"any")
    assert f"{FILE}: not verified, as no sha256 is pinned; its sha256 is" in caplog.text


def test_every_source_s_reason_is_in_one_message(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path))
    (tmp_path / FILE).write_bytes(b"short")
    server.files["altered"] = b"altered"
    (tmp_path / "folder").mkdir()
    urls = [f"{server.url}/{name}" for name in ("gone", "altered")]
    with pytest.raises(UserError) as raised:
        download.from_urls(FILE, urls, "0" * 64, tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())
    wrong = f"{FILE} is not the expected file: its sha256 is"
    assert str(raised.value).splitlines() == [
        f"no source gave {FILE}:",
        f"  {tmp_path}/{FILE}: {wrong} {sha256(b'short')} (5 bytes), expected {'0' * 64}",
        f"  {server.url}/gone: HTTP 404 Not Found",
        f"  {server.url}/altered: {wrong} {sha256(b'altered')} (7 bytes), expected {'0' * 64}",
        f"Run the same command again once one of them works; or put the file (sha256 {'0' * 64})"
        f" into a folder as {FILE}, and name that folder as mirror in the config or in the"
        " environment variable ABLATIONS_MIRROR.",
    ]


def test_hanging_host_and_wrong_file_are_passed_over(server, tmp_path):
    server.files |= {"wrong": b"<html>not found</html>", "good": CONTENT, "slow": b""}
    server.faults.append(Fault("slow", "hang"))
    urls = [f"{server.url}/{name}" for name in ("slow", "wrong", "good")]
    found = download.from_urls(FILE, urls, sha256(CONTENT), tmp_path)
    assert found == (tmp_path / FILE, sha256(CONTENT)) and found.path.read_bytes() == CONTENT


def test_run_that_outlives_its_workflow_takes_nothing_from_the_next(tmp_path):
    output = tmp_path / "output"
    with download.scratch(output) as ours:
        with pytest.raises(UserError), download.scratch(output):
            (ours / "part").write_bytes(b"of this run")
            raise UserError("the other's download ends badly")
        assert (ours / "part").read_bytes() == b"of this run"
    assert not list(tmp_path.iterdir())
