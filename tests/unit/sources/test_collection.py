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

import msgspec
import pytest
import yaml

from ablations.data import tokenizer
from ablations.errors import UserError
from ablations.files import as_json
from ablations.sources import collection, download, manifest
from ablations.study import config, dataset
from commands import ROOT
from hub_server import REVISION, Fault, HubServer
from texts import SPLIT, mirror

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
    return tmp_path / "results" / "data" / "collection.json"


def leftovers(output: Path) -> list[str]:
    """Everything beside the output, hidden files too."""
    beside = (output, output.parent / "source")
    return [path.name for path in output.parent.glob("*") if path not in beside]


def sms(*urls: str, **changes: str) -> dict[str, object]:
    """What the configuration says of the SMS Spam Collection, with another archive."""
    sums = {"sha256": sha256(ARCHIVE), "member_sha256": sha256(MESSAGES)}
    return {"urls": urls, "split": SPLIT, **dataset.PUBLISHED, **sums, **changes}


def parsed(entry: dict[str, object]) -> dataset.Texts:
    return msgspec.convert(entry, dataset.Texts)


def collect(output: Path, *urls: str, **changes: str) -> None:
    collection.collection(parsed(sms(*urls, **changes)), output)


def collected(output: Path) -> bytes:
    """The content of the one file of a collection."""
    (file,) = manifest.read(output)
    content = Path(file.path).read_bytes()
    assert file.sha256 == sha256(content)
    return content


def program(
    module: str, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"ablations.{module}", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_program_tries_sources_in_turn_and_logs_them(server, output, tmp_path):
    server.files["second.zip"] = ARCHIVE
    done = program(
        *("sources.collection", "--log", tmp_path / "log"),
        *("--dataset", as_json(sms(f"{server.url}/first.zip", f"{server.url}/second.zip"))),
        *("--output", output),
        ABLATIONS_MIRROR=str(tmp_path / "nowhere"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert collected(output) == MESSAGES
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
        *("sources.collection", "--log", tmp_path / "log"),
        *("--dataset", as_json(sms(f"{server.url}/gone.zip", f"{server.url}/altered.zip"))),
        *("--output", output),
        ABLATIONS_MIRROR=str(tmp_path / "mirror"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"mirror/sms+spam+collection.zip: {dataset.ARCHIVE} is not the expected" in done.stderr
    assert f"{sha256(ARCHIVE[:1000])} (1000 bytes), expected {sha256(ARCHIVE)}" in done.stderr
    assert f"{server.url}/gone.zip: HTTP 404 Not Found" in done.stderr
    assert f"{sha256(altered)} ({len(altered)} bytes), expected" in done.stderr
    assert "ABLATIONS_MIRROR" in done.stderr
    assert not output.exists() and not leftovers(output)


def test_mirror_folder_is_first_and_needs_no_network(output, tmp_path, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path))
    (tmp_path / "sms+spam+collection.zip").write_bytes(ARCHIVE)
    collect(output, "http://127.0.0.1:9/unreachable.zip")
    assert collected(output) == MESSAGES


def test_mirror_url_is_first(server, output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/all/")
    server.files["all/sms+spam+collection.zip"] = ARCHIVE
    collect(output, f"{server.url}/original.zip")
    assert collected(output) == MESSAGES
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
    assert collected(output) == MESSAGES
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
    assert collected(output) == MESSAGES and not leftovers(output)


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
    assert collected(output) == MESSAGES


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:9/a.zip", "Connection refused"),
        ("http://no-such-host.invalid/a.zip", "not known|resolution|No address"),
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
        collect(output, f"{server.url}/a.zip", sha256=sha256(archive))
    assert reason in str(raised.value)
    assert "sms+spam+collection.zip" in str(raised.value)
    assert not output.exists() and not leftovers(output)


def test_killed_run_is_cleaned_up_by_the_next(server, output):
    server.files["a.zip"] = ARCHIVE
    server.faults.append(Fault("a.zip", "stall"))
    arguments = ["--dataset", as_json(sms(f"{server.url}/a.zip")), "--output", output]
    process = subprocess.Popen(
        [sys.executable, "-m", "ablations.sources.collection", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(LIBRARY)},
    )
    while not server.requests and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not output.exists() and leftovers(output)

    server.faults.clear()
    collect(output, f"{server.url}/a.zip")
    assert collected(output) == MESSAGES and not leftovers(output)


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
        *("sources.collection", "--dataset", as_json(sms("http://127.0.0.1:9/a.zip"))),
        *("--output", tmp_path / "results" / "collection.json"),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "results/collection.json: [Errno" in done.stderr


def test_timeout_that_is_no_number(output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_TIMEOUT", "soon")
    with pytest.raises(UserError, match="ABLATIONS_TIMEOUT is 'soon'; expected a number"):
        collect(output, "http://127.0.0.1:9/a.zip")


def test_the_real_archive_and_vocabulary(tmp_path):
    folder = mirror()
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    done = program(
        *("sources.collection", "--dataset", as_json(config.parse(study).dataset)),
        *("--output", tmp_path / "collection.json"),
        ABLATIONS_MIRROR=str(folder),
    )
    assert done.returncode == 0, done.stderr
    assert len(collected(tmp_path / "collection.json")) == 477_907

    done = program(
        "data.tokenizer", "--output-dir", tmp_path / "tokenizer", ABLATIONS_MIRROR=str(folder)
    )
    assert done.returncode == 0, done.stderr
    for name, expected in tokenizer.VOCABULARY_SHA256.items():
        content = (tmp_path / "tokenizer" / name).read_bytes()
        assert content == (folder / "gpt2-bpe" / name).read_bytes()
        assert sha256(content) == expected
    assert sorted(path.name for path in (tmp_path / "tokenizer").iterdir()) == [
        "encoder.json",
        "vocab.bpe",
    ]


# --- texts of one's own

REVIEWS = b"review,stars\ngood,5\nbad,1\n"
OWN = {"text": "review", "label": "stars"}


def named(output: Path) -> dict[str, tuple[str, bytes]]:
    """By split: what messages call each file, and its content."""
    found = manifest.read(output)
    return {file.split: (file.name, Path(file.path).read_bytes()) for file in found}


def test_files_in_the_working_directory_stay_where_they_are(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("texts").mkdir()
    Path("texts/reviews.csv").write_bytes(REVIEWS)
    given = parsed({"files": "texts/reviews.csv", "split": SPLIT, **OWN})
    collection.collection(given, output)
    (file,) = manifest.read(output)
    assert (file.path, file.split, file.format) == ("texts/reviews.csv", "all", "csv")
    assert not (output.parent / "source").exists()


def test_a_file_by_its_url_and_one_for_each_split(server, output):
    for name in ("train", "validation", "test"):
        server.files[f"{name}.csv"] = REVIEWS + name.encode() + b",3\n"
    single = {"urls": [f"{server.url}/train.csv"], "sha256": sha256(server.files["train.csv"])}
    collection.collection(parsed({**OWN, **single, "split": SPLIT}), output)
    assert named(output) == {"all": ("train.csv", server.files["train.csv"])}
    splits = {
        name: {"urls": [f"{server.url}/{name}.csv"], "sha256": sha256(server.files[f"{name}.csv"])}
        for name in ("train", "validation", "test")
    }
    collection.collection(parsed({**OWN, "files": splits}), output)
    assert named(output) == {name: (f"{name}.csv", server.files[f"{name}.csv"]) for name in splits}


def test_members_of_an_archive(server, output):
    archive = archive_of({"a/train.tsv": REVIEWS, "a/test.tsv": REVIEWS * 2})
    server.files["reviews.zip"] = archive
    files = {"train": "a/train.tsv", "test": "a/test.tsv"}
    split = {"validation": 0.5, "seed": 1}
    given = {"urls": [f"{server.url}/reviews.zip"], "sha256": sha256(archive), "files": files}
    collection.collection(parsed({**OWN, **given, "split": split}), output)
    assert named(output) == {
        "train": ("a/train.tsv", REVIEWS), "test": ("a/test.tsv", REVIEWS * 2)
    }  # fmt: skip


@pytest.fixture
def of_the_hub(server: HubServer, tmp_path: Path, output: Path):
    """Runs the program on a dataset repository of the local hub."""
    files = {"data/train.csv": REVIEWS, "test.csv": REVIEWS * 2}
    server.add_repo("datasets/someone/reviews", REVISION, files)

    def run(revision: str = REVISION, train: str = "data/train.csv", **environment: str):
        given = {"files": {"train": train, "test": "test.csv"}, "repo": "someone/reviews"}
        split = {"validation": 0.5, "seed": 1}
        about = {**OWN, **given, "revision": revision, "split": split}
        return program(
            *("sources.collection", "--dataset", as_json(about), "--output", output),
            HF_ENDPOINT=server.url,
            HF_HOME=str(tmp_path / "hub"),
            **environment,
        )

    return run


def test_files_of_a_dataset_repository_of_the_hub(of_the_hub, server, output):
    done = of_the_hub()
    assert done.returncode == 0, done.stderr
    expected = {"train": ("data/train.csv", REVIEWS), "test": ("test.csv", REVIEWS * 2)}
    assert named(output) == expected
    asked = len(server.requests)
    assert of_the_hub().returncode == 0  # from the user's cache of the hub
    assert len(server.requests) == asked and named(output) == expected


def test_a_mirror_has_a_dataset_repository_too(of_the_hub, server, output, tmp_path):
    (tmp_path / "mirror/someone/reviews/data").mkdir(parents=True)
    (tmp_path / "mirror/someone/reviews/data/train.csv").write_bytes(b"of the mirror")
    assert of_the_hub(ABLATIONS_MIRROR=str(tmp_path / "mirror")).returncode == 0
    assert named(output)["train"] == ("data/train.csv", b"of the mirror")
    assert named(output)["test"] == ("test.csv", REVIEWS * 2)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"revision": "main"}, "someone/reviews has no revision main"),
        ({"train": "train.csv"}, "someone/reviews has no train.csv at revision"),
    ],
)
def test_what_a_dataset_repository_lacks_is_one_message(of_the_hub, output, wrong, reason):
    done = of_the_hub(**wrong)
    assert done.returncode == 1 and reason in done.stderr
    assert "Traceback" not in done.stderr and not output.exists()


# --- the vocabulary


def test_vocabulary_from_its_own_host_where_the_mirror_lacks_it(server, tmp_path, monkeypatch):
    contents = {"vocab.bpe": b"#version\n", "encoder.json": b"{}"}
    monkeypatch.setattr(tokenizer, "VOCABULARY_URL", f"{server.url}/gpt-2/encodings/main")
    monkeypatch.setattr(
        tokenizer, "VOCABULARY_SHA256", {name: sha256(text) for name, text in contents.items()}
    )
    monkeypatch.setenv("ABLATIONS_MIRROR", f"{server.url}/mirror")
    server.files["mirror/gpt2-bpe/vocab.bpe"] = contents["vocab.bpe"]
    server.files["mirror/gpt2-bpe/encoder.json"] = b"altered"
    server.files["gpt-2/encodings/main/encoder.json"] = contents["encoder.json"]
    tokenizer.of_gpt2(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_vocabulary_checksums_are_those_that_tiktoken_pins():
    import inspect

    from tiktoken_ext import openai_public

    source = inspect.getsource(openai_public.gpt2)
    for name, checksum in tokenizer.VOCABULARY_SHA256.items():
        assert checksum in source
        assert f"{tokenizer.VOCABULARY_URL}/{name}" in source
