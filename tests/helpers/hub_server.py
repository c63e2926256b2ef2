"""A local HTTP server for tests: plain files, the Hugging Face hub's protocol, faults on demand.

    with HubServer() as server:
        server.files["some/archive.zip"] = content            # at server.url + "/some/archive.zip"
        server.add_repo("someone/gpt2", REVISION, {"config.json": …, "model.safetensors": …})
        server.faults.append(Fault("model.safetensors", "drop", times=1))

The hub (HF_ENDPOINT=server.url) does what huggingface.co does: HEAD on …/resolve/… gives ETag and
X-Repo-Commit; large files are redirected to another host (`localhost`, the server itself is
127.0.0.1) with their sha256 in X-Linked-Etag; others to the same host, their ETag git's blob id.
"""

import hashlib
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, unquote, urlsplit

import pytest

REVISION = "0123456789abcdef0123456789abcdef01234567"
REPO = "(?:datasets/)?[^/]+/[^/]+"
LARGE = (".safetensors", ".bin")


@dataclass
class Fault:
    """What goes wrong with a request whose path ends in `file`.

    kind: `status` (answers with `status`), `drop` (the connection ends after `after` bytes),
    `stall` (nothing more comes after `after` bytes), `hang` (not even headers), `truncate` (a
    whole answer with only `after` bytes), `corrupt` (one byte differs).
    times: how many requests it hits; None for all.
    """

    file: str
    kind: str
    times: int | None = None
    methods: tuple[str, ...] = ("GET",)
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    after: int = 100


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    authorization: str | None


class HubServer:
    """Serves `files` (by path, without the leading slash) and repositories until it is closed."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self._repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self._branches: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True

    @property
    def port(self) -> int:
        return self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def add_repo(self, repo: str, revision: str, files: dict[str, bytes]) -> None:
        self._repos.setdefault(repo, {})[revision] = files

    def add_branch(self, repo: str, branch: str, revision: str) -> None:
        self._branches[repo, branch] = revision

    def be_the_hub(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """For this process: no mirror, an empty cache, short patience, no pauses."""
        from huggingface_hub import constants

        monkeypatch.delenv("ABLATIONS_MIRROR", raising=False)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        settings = {
            **{"ENDPOINT": self.url, "HUGGINGFACE_CO_URL_TEMPLATE": template},
            **{"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": False},
            **{"HF_HUB_DOWNLOAD_TIMEOUT": 0.3, "HF_HUB_ETAG_TIMEOUT": 0.3},
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setattr(time, "sleep", lambda seconds: None)

    def asked_for(self, file: str, method: str = "GET") -> list[Request]:
        """The requests so far for paths that end so."""
        return [it for it in self.requests if it.method == method and it.path.endswith(file)]

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def take_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if method in fault.methods and path.endswith(fault.file) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def wait_for_close(self) -> None:
        self._closing.wait(120)


def _handler(server: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self) -> None:
            path = unquote(urlsplit(self.path).path).removeprefix("/")
            told = (self.headers.get(name) for name in ("Range", "Authorization"))
            server.requests.append(Request(self.command, path, *told))
            fault = server.take_fault(self.command, path)
            if fault and fault.kind == "hang":
                server.wait_for_close()
                self.close_connection = True
            elif fault and fault.kind == "status":
                self._send(fault.status, fault.headers, b"")
            elif path in server.files:
                self._send_file(server.files[path], {}, fault)
            elif match := re.fullmatch(rf"(hub-files|cdn)/(\w+)/({REPO})/(.+)", path):
                _, revision, repo, name = match.groups()
                content = server._repos[repo][revision][name]
                headers = {"ETag": f'"{_etag(name, content)}"', "X-Repo-Commit": revision}
                self._send_file(content, headers, fault)
            elif match := re.fullmatch(r"(.+)/resolve/([^/]+)/(.+)", path):
                self._resolve(*match.groups())
            else:
                self._send(404, {}, b"")

        def _resolve(self, repo: str, revision: str, name: str) -> None:
            revision = server._branches.get((repo, revision), revision)
            if repo not in server._repos:
                self._send(404, {"X-Error-Code": "RepoNotFound"}, b"")
            elif revision not in server._repos[repo]:
                self._send(404, {"X-Error-Code": "RevisionNotFound"}, b"")
            elif name not in server._repos[repo][revision]:
                headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": revision}
                self._send(404, headers, b"")
            else:
                content = server._repos[repo][revision][name]
                etag = f'"{_etag(name, content)}"'
                headers = {"X-Repo-Commit": revision, "X-Linked-Etag": etag}
                headers["X-Linked-Size"] = str(len(content))
                place = quote(f"{revision}/{repo}/{name}")
                if name.endswith(LARGE):
                    headers["Location"] = f"http://localhost:{server.port}/cdn/{place}"
                    self._send(302, headers, b"")
                else:
                    headers["Location"] = f"/hub-files/{place}"
                    self._send(307, headers, b"")

        def _send_file(self, content: bytes, headers: dict[str, str], fault: Fault | None) -> None:
            kind = fault.kind if fault else ""
            if fault and kind == "truncate":
                content = content[: fault.after]
            if kind == "corrupt":
                content = content[:-1] + bytes([content[-1] ^ 1])
            status, headers = 200, {"Accept-Ranges": "bytes", **headers}
            if match := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or ""):
                start = int(match.group(1))
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                status, content = 206, content[start:]
            if fault and kind in ("drop", "stall"):
                self._send(status, headers, content, content[: fault.after])
                self.wfile.flush()
                if kind == "stall":
                    server.wait_for_close()
                self.close_connection = True
            else:
                self._send(status, headers, content)

        def _send(
            self, status: int, headers: dict[str, str], content: bytes, sent: bytes | None = None
        ) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content if sent is None else sent)

    return Handler


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _etag(name: str, content: bytes) -> str:
    if name.endswith(LARGE):
        return sha256(content)
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
