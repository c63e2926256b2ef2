import hashlib
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ablations import download
from ablations.data import fetch
from ablations.errors import UserError
from hub_server import Fault, HubServer

LIBRARY = Path(__file__).parents[3] / "workflow"
MESSAGES = "".join(f"ham\tmessage {n}, « ça va ? »\n" for n in range(500)).encode()


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = archive_of({"readme": b"about", "SMSSpamCollection": MESSAGES})


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def server() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABLATIONS_MIRROR", raising=False)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "results" / "data" / "collection.tsv"


def leftovers(output: Path) -> list[str]:
    """Everything beside the output, hidden files too."""
    return [path.name for path in output.parent.glob("*") if path != output]


def collect(output: Path, *urls: str) -> None:
    fetch.collection(urls, sha256(ARCHIVE), sha256(MESSAGES), output)


def program(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ablations.data.fetch", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_program_tries_sources_in_turn_and_logs_them(server, output, tmp_path):
    server.files["second.zip"] = ARCHIVE
    done = program(
        *("--log", tmp_path / "log", "collection"),
        *("--url", f"{server.url}/first.zip", "--url", f"{server.url}/second.zip"),
        *("--sha256", sha256(ARCHIVE), "--member-sha256", sha256(MESSAGES)),
        *("--output", output),
        ABLATIONS_MIRROR=str(tmp_path / "nowhere"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert output.read_bytes() == MESSAGES
    assert not leftovers(output)
    log = (tmp_path / "log").read_text()
    steps = ("nowhere/sms+spam+collection.zip: no such file", "/first.zip: HTTP 404 Not Found")
    found = f"from {server.url}/second.zip, {len(ARCHIVE)} bytes"
    assert 0 < log.index(steps[0]) < log.index(steps[1]) < log.index(found)


def test_program_fails_with_every_reason_in_one_message(server, output, tmp_path):
    server.files["altered.zip"] = altered = ARCHIVE[:-1] + b"!"
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "sms+spam+collection.zip").write_bytes(ARCHIVE[:1000])
    done = program(
        *("--log", tmp_path / "log", "collection"),
        *("--url", f"{server.url}/gone.zip", "--url", f"{server.url}/altered.zip"),
        *("--sha256", sha256(ARCHIVE), "--output", output),
        ABLATIONS_MIRROR=str(tmp_path / "mirror"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"mirror/sms+spam+collection.zip: {fetch.ARCHIVE} is not the expected" in done.stderr
    assert f"{sha256(ARCHIVE[:1000])} (1000 bytes), expected {sha256(ARCHIVE)}" in done.stderr
    assert f"{server.url}/gone.zip: HTTP 404 Not Found" in done.stderr
    assert f"{sha256(altered)} ({len(altered)} bytes), expected" in done.stderr
    assert "ABLATIONS_MIRROR" in done.stderr
    assert not output.exists() and not leftovers(output)


def test_mirror_folder_is_first_and_needs_no_network(output, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path))
    (tmp_path / "sms+spam+collection.zip").write_bytes(ARCHIVE)
    collect(output, "http://127.0.0.1:9/unreachable.zip")
    assert output.read_bytes() == MESSAGES


def test_mirror_url_is_first(server, output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/all/")
    server.files["all/sms+spam+collection.zip"] = ARCHIVE
    collect(output, f"{server.url}/original.zip")
    assert output.read_bytes() == MESSAGES
    assert not server.asked_for("original.zip")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("a.zip", "status", times=1, status=429, headers={"Retry-After": "1"}),
        Fault("a.zip", "status", times=1, status=503),
        Fault("a.zip", "drop", times=1),
        Fault("a.zip", "drop", times=1, after=0),
    ],
    ids=["429", "503", "dropped", "dropped at once"],
)
def test_transient_fault_is_tried_again(server, output, fault):
    server.files["a.zip"] = ARCHIVE
    server.faults.append(fault)
    collect(output, f"{server.url}/a.zip")
    assert output.read_bytes() == MESSAGES
    assert len(server.asked_for("a.zip")) == 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("a.zip", "status", status=503), "HTTP 503 Service Unavailable, 2 times"),
        (Fault("a.zip", "status", status=429), "HTTP 429 Too Many Requests, 2 times"),
        (Fault("a.zip", "status", status=403), "HTTP 403 Forbidden"),
        (Fault("a.zip", "status", status=404), "HTTP 404 Not Found"),
        (Fault("a.zip", "hang"), "no answer within 0.3 s"),
        (Fault("a.zip", "stall"), "the connection failed: timed out"),
        (Fault("a.zip", "drop"), "IncompleteRead(100 bytes read"),
        (Fault("a.zip", "truncate"), "(100 bytes), expected"),
        (Fault("a.zip", "corrupt"), f"({len(ARCHIVE)} bytes), expected"),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else "",
)
def test_lasting_fault_leaves_nothing_and_the_next_run_recovers(
    server, output, fault, reason, monkeypatch
):
    if fault.kind in ("hang", "stall"):
        monkeypatch.setenv("ABLATIONS_TIMEOUT", "0.3")
    monkeypatch.setattr(download, "RETRIES", 1)
    server.files["a.zip"] = ARCHIVE
    server.faults.append(fault)
    with pytest.raises(UserError) as raised:
        collect(output, f"{server.url}/a.zip")
    assert reason in str(raised.value)
    assert f"{server.url}/a.zip: " in str(raised.value)
    assert sha256(ARCHIVE) in str(raised.value)
    assert not output.exists() and not leftovers(output)

    server.faults.clear()
    monkeypatch.delenv("ABLATIONS_TIMEOUT", raising=False)
    collect(output, f"{server.url}/a.zip")
    assert output.read_bytes() == MESSAGES and not leftovers(output)


@pytest.mark.parametrize("kind", ["status", "drop"])
@pytest.mark.parametrize("beyond", [0, 1])
def test_transient_fault_is_tried_again_so_often_and_no_more(
    server, output, kind, beyond, monkeypatch
):
    waited: list[float] = []
    monkeypatch.setattr(download.time, "sleep", waited.append)
    server.files["a.zip"] = ARCHIVE
    server.faults.append(Fault("a.zip", kind, times=download.RETRIES + beyond))
    if beyond:
        with pytest.raises(UserError):
            collect(output, f"{server.url}/a.zip")
    else:
        collect(output, f"{server.url}/a.zip")
    assert output.exists() == (not beyond) and not leftovers(output)
    assert len(server.asked_for("a.zip")) == download.RETRIES + 1
    assert len(waited) == download.RETRIES


def test_hanging_host_and_wrong_file_are_passed_over(server, output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_TIMEOUT", "1")
    server.files |= {"wrong.zip": b"<html>not found</html>", "good.zip": ARCHIVE, "slow.zip": b""}
    server.faults.append(Fault("slow.zip", "hang"))
    collect(output, *(f"{server.url}/{name}.zip" for name in ("slow", "wrong", "good")))
    assert output.read_bytes() == MESSAGES


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/a.zip", "Connection refused"),
        ("http://no-such-host.invalid/a.zip", "not known|resolution|No address"),
        ("ftp://127.0.0.1/a.zip", "No connection adapters"),
    ],
)
def test_unreachable(output, url, reason, monkeypatch):
    monkeypatch.setattr(download, "RETRIES", 1)
    with pytest.raises(UserError, match=reason):
        collect(output, url)
    assert not output.exists()


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (archive_of({"readme": b"", "spam.csv": b""}), "SMSSpamCollection; it holds: readme, spam"),
        (archive_of({}), "it holds: nothing"),
        (archive_of({"SMSSpamCollection": b"altered"}), "expected " + sha256(MESSAGES)),
        (b"<html>", "not a zip archive that can be read: File is not a zip file"),
        (ARCHIVE[:-30], "not a zip archive"),
        (ARCHIVE.replace(ARCHIVE[200:210], b"\0" * 10), "not a zip archive"),
    ],
    ids=["no member", "empty", "altered member", "html", "truncated", "damaged inside"],
)
def test_bad_archive_with_the_right_checksum(server, output, archive, reason):
    server.files["a.zip"] = archive
    with pytest.raises(UserError) as raised:
        fetch.collection([f"{server.url}/a.zip"], sha256(archive), sha256(MESSAGES), output=output)
    assert reason in str(raised.value)
    assert "sms+spam+collection.zip" in str(raised.value)
    assert not output.exists() and not leftovers(output)


def test_killed_run_is_cleaned_up_by_the_next(server, output):
    server.files["a.zip"] = ARCHIVE
    server.faults.append(Fault("a.zip", "stall"))
    arguments = ["--url", f"{server.url}/a.zip", "--sha256", sha256(ARCHIVE), "--output", output]
    process = subprocess.Popen(
        [sys.executable, "-m", "ablations.data.fetch", "collection", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
    )
    while not server.requests and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists() and leftovers(output)

    server.faults.clear()
    collect(output, f"{server.url}/a.zip")
    assert output.read_bytes() == MESSAGES and not leftovers(output)


def test_run_that_outlives_its_workflow_takes_nothing_from_the_next(output):
    with download.scratch(output) as ours:
        with pytest.raises(UserError), download.scratch(output):
            (ours / "part").write_bytes(b"of this run")
            raise UserError("the other's download ends badly")
        assert (ours / "part").read_bytes() == b"of this run"
    assert not leftovers(output)


def test_disk_that_cannot_be_written_is_a_message(tmp_path):
    (tmp_path / "results").write_text("a file where a folder should be")
    done = program(
        *("collection", "--url", "http://127.0.0.1:9/a.zip", "--sha256", sha256(ARCHIVE)),
        *("--output", tmp_path / "results" / "collection.tsv"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "results/collection.tsv: [Errno" in done.stderr


def test_timeout_that_is_no_number(output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_TIMEOUT", "soon")
    with pytest.raises(UserError, match="ABLATIONS_TIMEOUT is 'soon'; expected a number"):
        collect(output, "http://127.0.0.1:9/a.zip")


def test_the_real_archive_and_vocabulary(tmp_path):
    shared = Path(__file__).parents[4] / "shared" / "data"
    if not shared.exists():
        pytest.skip("needs ../shared/data")
    done = program(
        *("collection", "--url", "http://127.0.0.1:9/a.zip"),
        *("--sha256", "1587ea43e58e82b14ff1f5425c88e17f8496bfcdb67a583dbff9eefaf9963ce3"),
        *("--member-sha256", "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"),
        *("--output", tmp_path / "collection.tsv"),
        ABLATIONS_MIRROR=str(shared),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "collection.tsv").stat().st_size == 477_907

    done = program(
        "vocabulary", "--output-dir", tmp_path / "tokenizer", ABLATIONS_MIRROR=str(shared)
    )
    assert done.returncode == 0, done.stderr
    for name, expected in fetch.VOCABULARY_SHA256.items():
        content = (tmp_path / "tokenizer" / name).read_bytes()
        assert content == (shared / "gpt2-bpe" / name).read_bytes()
        assert sha256(content) == expected
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == [
        "encoder.json",
        "vocab.bpe",
    ]


def test_vocabulary_from_its_own_host_where_the_mirror_lacks_it(server, tmp_path, monkeypatch):
    contents = {"vocab.bpe": b"#version\n", "encoder.json": b"{}"}
    monkeypatch.setattr(fetch, "VOCABULARY_URL", f"{server.url}/gpt-2/encodings/main")
    monkeypatch.setattr(
        fetch, "VOCABULARY_SHA256", {name: sha256(text) for name, text in contents.items()}
    )
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/mirror")
    server.files["mirror/gpt2-bpe/vocab.bpe"] = contents["vocab.bpe"]
    server.files["mirror/gpt2-bpe/encoder.json"] = b"altered"
    server.files["gpt-2/encodings/main/encoder.json"] = contents["encoder.json"]
    fetch.vocabulary(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_vocabulary_checksums_are_those_that_tiktoken_pins():
    import inspect

    from tiktoken_ext import openai_public

    source = inspect.getsource(openai_public.gpt2)
    for name, checksum in fetch.VOCABULARY_SHA256.items():
        assert checksum in source
        assert f"{fetch.VOCABULARY_URL}/{name}" in source
