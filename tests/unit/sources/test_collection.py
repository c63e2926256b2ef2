"""The files that hold a study's texts, wherever they are: each under its own name, or none."""

import io
import os
import signal
import time
import zipfile
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import pytest
import yaml

import programs
from ablations.errors import UserError
from ablations.files import as_json
from ablations.sources import collection, manifest
from ablations.study import config, dataset
from commands import ROOT
from hub_server import REVISION, Fault, HubServer, sha256
from texts import SPLIT, mirror

MESSAGES = "".join(f"ham\tmessage {n}, « ça va ? »\n" for n in range(500)).encode()
REVIEWS = b"review,stars\ngood,5\nbad,1\n"
OWN = {"text": "review", "label": "stars"}
HALVED = {"validation": 0.5, "seed": 1}


def archive_of(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


ARCHIVE = archive_of({"readme": b"about", "SMSSpamCollection": MESSAGES})


@pytest.fixture
def server(server: HubServer) -> HubServer:
    server.files["a.zip"] = ARCHIVE
    files = {"data/train.csv": REVIEWS, "test.csv": REVIEWS * 2}
    server.add_repo("datasets/someone/reviews", REVISION, files)
    return server


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


def reviews(**changes: object) -> dict[str, object]:
    """What it says of a dataset repository of the hub."""
    given = {"repo": "someone/reviews", "revision": REVISION, "split": HALVED}
    return {**OWN, **given, "files": {"train": "data/train.csv", "test": "test.csv"}, **changes}


def collected(given: dict[str, object], output: Path) -> dict[str, tuple[str, bytes]]:
    """By split: what messages call each fetched file, and its content."""
    collection.collection(msgspec.convert(given, dataset.Texts), output)
    found = manifest.read(output)
    held = {file.split: (file.name, Path(file.path).read_bytes()) for file in found}
    assert [file.sha256 for file in found] == [sha256(content) for _, content in held.values()]
    assert not leftovers(output)
    return held


def program(given: dict[str, object], output: Path, **environment: str) -> CompletedProcess[str]:
    arguments = ("--dataset", as_json(given), "--output", output)
    return programs.run(
        "ablations.sources.collection", *arguments, environment=os.environ | environment
    )


def test_program_says_nothing_but_in_its_log_or_why_it_failed(server, output, tmp_path):
    arguments = ("--dataset", as_json(sms(f"{server.url}/a.zip")), "--output", output)
    log = tmp_path / "log"
    done = programs.run("ablations.sources.collection", *arguments, "--log", log)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert f"from {server.url}/a.zip, {len(ARCHIVE)} bytes" in log.read_text()

    done = program(sms(f"{server.url}/b.zip"), tmp_path / "log" / "collection.json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "log/collection.json: [Errno" in done.stderr  # a file where a folder should be


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
        collected(sms(f"{server.url}/a.zip", sha256=sha256(archive)), output)
    assert reason in str(raised.value)
    assert "sms+spam+collection.zip" in str(raised.value)
    assert not output.exists() and not leftovers(output)


@pytest.mark.parametrize("file", ["a.zip", "data/train.csv"])
def test_killed_run_is_cleaned_up_by_the_next(server, output, tmp_path, file):
    """Of a URL, and of the hub, whose cache keeps what another process may be downloading."""
    given = sms(f"{server.url}/a.zip") if file == "a.zip" else reviews()
    server.faults.append(Fault(file, "stall"))

    def under_way() -> None:
        end = time.monotonic() + 120  # of a program that ended before it asked
        while not server.asked_for(file) and time.monotonic() < end:
            os.sched_yield()

    settings = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
    done = programs.run_and_signal(
        *(under_way, signal.SIGKILL, "ablations.sources.collection"),
        *("--dataset", as_json(given), "--output", output),
        environment=os.environ | settings,
    )
    assert done.returncode == -signal.SIGKILL
    assert not output.exists() and leftovers(output)
    orphans = list((tmp_path / "hf").rglob("*.incomplete"))
    assert len(orphans) == (file != "a.zip")
    for orphan in orphans:
        orphan.with_name("other.01234567.incomplete").write_bytes(b"someone else's")
        an_hour_ago = time.time() - 3600
        os.utime(orphan, (an_hour_ago, an_hour_ago))

    server.faults.clear()
    assert collected(given, output)
    assert [path.name for path in (tmp_path / "hf").rglob("*.incomplete")] == [
        "other.01234567.incomplete" for _ in orphans
    ]


def test_the_real_archive(output, monkeypatch):
    monkeypatch.setenv("ABLATIONS_MIRROR", str(mirror()))
    study = config.parse(yaml.safe_load((ROOT / "config.yaml").read_text()))
    collection.collection(study.dataset, output)
    (file,) = manifest.read(output)
    assert Path(file.path).stat().st_size == 477_907


def test_files_in_the_working_directory_stay_where_they_are(output, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("texts").mkdir()
    Path("texts/reviews.csv").write_bytes(REVIEWS)
    collected({"files": "texts/reviews.csv", "split": SPLIT, **OWN}, output)
    (file,) = manifest.read(output)
    assert (file.path, file.split, file.format) == ("texts/reviews.csv", "all", "csv")
    assert not (output.parent / "source").exists()


def test_a_file_by_its_url_one_for_each_split_and_members_of_an_archive(server, output):
    for name in ("train", "validation", "test"):
        server.files[f"{name}.csv"] = REVIEWS + name.encode() + b",3\n"
    splits = {
        name: {"urls": [f"{server.url}/{name}.csv"], "sha256": sha256(server.files[f"{name}.csv"])}
        for name in ("train", "validation", "test")
    }
    train = ("train.csv", server.files["train.csv"])
    assert collected({**OWN, **splits["train"], "split": SPLIT}, output) == {"all": train}
    expected = {name: (f"{name}.csv", server.files[f"{name}.csv"]) for name in splits}
    assert collected({**OWN, "files": splits}, output) == expected

    server.files["a.zip"] = archive_of({"a/train.tsv": REVIEWS, "a/test.tsv": REVIEWS * 2})
    given = {"urls": [f"{server.url}/a.zip"], "sha256": sha256(server.files["a.zip"])}
    given |= {"files": {"train": "a/train.tsv", "test": "a/test.tsv"}}
    expected = {"train": ("a/train.tsv", REVIEWS), "test": ("a/test.tsv", REVIEWS * 2)}
    assert collected({**OWN, **given, "split": HALVED}, output) == expected


def test_files_of_a_dataset_repository_of_the_hub_or_its_mirror(
    server, output, tmp_path, monkeypatch
):
    expected = {"train": ("data/train.csv", REVIEWS), "test": ("test.csv", REVIEWS * 2)}
    given = reviews()
    assert collected(given, output) == expected
    asked = len(server.requests)
    assert collected(given, output) == expected  # from the user's cache of the hub
    assert len(server.requests) == asked

    (tmp_path / "mirror/someone/reviews/data").mkdir(parents=True)
    (tmp_path / "mirror/someone/reviews/data/train.csv").write_bytes(b"of the mirror")
    monkeypatch.setenv("ABLATIONS_MIRROR", str(tmp_path / "mirror"))
    assert collected(given, output) == expected | {"train": ("data/train.csv", b"of the mirror")}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"revision": "main"}, "someone/reviews has no revision main"),
        (
            {"files": {"train": "train.csv", "test": "test.csv"}},
            "someone/reviews has no train.csv at revision",
        ),
    ],
)
def test_what_a_dataset_repository_lacks_is_one_message(server, output, wrong, reason):
    with pytest.raises(UserError, match=reason):
        collected(reviews(**wrong), output)
    assert not output.exists() and not leftovers(output)
