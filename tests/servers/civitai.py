"""Civitai as its own source describes it: two sites, an API, download links that lead to signed storage.

    with Civitai() as civitai:
        civitai.add(model(4384, "DreamShaper", version(128713, file(77, content))))
        environ = {"CIVITAI_ENDPOINT": civitai.endpoint, "CIVITAI_TOKEN": civitai.token}
        ...
        civitai.assert_no_token_strayed()

Each host is a port of loopback of its own. Every request of all hosts is in `seen`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

BROWSERS = ("mozilla", "chrome", "safari", "firefox", "opera", "edge")
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(200)


@dataclass(frozen=True)
class Seen:
    """A request that reached a host. `path` has the query; `headers` has lower-case names."""

    host: str
    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class Refusal:
    """How the download link of a version answers instead of leading to its file."""

    status: int
    body: Mapping[str, object] | str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    location: str | None = None


def file(id: int, content: bytes, name: str = "dreamshaper_8.safetensors", **fields: Any) -> dict[str, Any]:
    """A file as the API lists it; `content` is what its storage holds. The SHA256 is in capitals, as Civitai's is."""
    about = {"format": "SafeTensor", "size": "pruned", "fp": "fp16", **fields.pop("metadata", {})}
    return {
        "id": id,
        "name": name,
        "type": "Model",
        "sizeKB": len(content) / 1024,
        "metadata": about,
        "hashes": {"SHA256": hashlib.sha256(content).hexdigest().upper(), "AutoV2": "ABCDEF0123"},
        "pickleScanResult": "Success",
        "primary": True,
        "content": content,
        **fields,
    }


def version(id: int, *files: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "name": "8",
        "baseModel": "SD 1.5",
        "status": "Published",
        "availability": "Public",
        "usageControl": "Download",
        "trainedWords": ["dreamy style", "masterpiece"],
        "earlyAccessEndsAt": None,
        "files": list(files),
        "images": [],
        **fields,
    }


def model(id: int, name: str, *versions: dict[str, Any], type: str = "Checkpoint", **fields: Any) -> dict[str, Any]:
    about = {"stats": {"downloadCount": 12345}, "creator": {"username": "Lykon"}}
    return {"id": id, "name": name, "type": type, "modelVersions": list(versions), **about, **fields}


class Civitai:
    """The service. `refusals` and `failures` (statuses that the next answers of a host have) may be set at any time.

    `cuts`: each body of the storage takes the first number off, sends that many bytes, drops the line, and the link
    has run out from then on. `on_red_alone`: models that the first site does not show.
    """

    token = "civitai-t0ken"

    def __init__(self) -> None:
        self.models: dict[int, dict[str, Any]] = {}
        self.refusals: dict[int, Refusal] = {}
        self.failures: dict[str, list[Refusal]] = {"site": [], "storage": []}
        self.cuts: list[int] = []
        self.needs_login = True
        self.on_red_alone: set[int] = set()
        self.etags: dict[int, str] = {}
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        self._signatures = itertools.count(1)
        self._valid: dict[str, int] = {}
        self._hosts = {name: _Host(name, self) for name in ("site", "red", "storage", "images")}

    def __enter__(self) -> Self:
        for host in self._hosts.values():
            host.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self._hosts.values():
            host.shutdown()
            host.thread.join()
            host.server_close()

    def address(self, host: str = "site") -> str:
        return f"http://127.0.0.1:{self._hosts[host].server_port}"

    @property
    def endpoint(self) -> str:
        return self.address()

    def add(self, added: dict[str, Any]) -> None:
        self.models[added["id"]] = added

    def picture(self, name: str = "preview.png") -> dict[str, Any]:
        """An entry of a version's `images` that its host gives out."""
        return {"url": f"{self.address('images')}/{name}", "type": "image", "nsfwLevel": 1}

    def assert_no_token_strayed(self) -> None:
        """Assert that only the two sites ever saw the token, and that no address ever held it."""
        for seen in self.seen:
            told = " ".join((seen.path, *(f"{name}: {value}" for name, value in seen.headers.items())))
            if seen.host in ("site", "red"):
                assert self.token not in seen.path
                assert told.count(self.token) == (seen.headers.get("authorization") == f"Bearer {self.token}")
            else:
                assert "authorization" not in seen.headers, seen
                assert self.token not in told

    def forget_signatures(self) -> None:
        """Let every link to the storage expire."""
        with self._lock:
            self._valid.clear()

    def asked(self, host: str, begin: str = "/") -> list[Seen]:
        return [seen for seen in self.seen if seen.host == host and seen.path.startswith(begin)]

    # answers ------------------------------------------------------------------------------------------

    def answer(self, line: _Line, host: str) -> None:
        headers = {name.lower(): value for name, value in line.headers.items()}
        with self._lock:
            self.seen.append(Seen(host, line.command, line.path, headers))
            failures = self.failures.get(host, [])
            failing = failures.pop(0) if failures else None
        if failing is not None:
            line.refuse(failing)
        elif host == "images":
            line.send(200, PICTURE, {"Content-Type": "image/png"})
        elif host == "storage":
            self._store(line, headers)
        else:
            self._site(line, host, headers)

    def _site(self, line: _Line, host: str, headers: Mapping[str, str]) -> None:
        agent = headers.get("user-agent", "").lower()
        parts = urlsplit(line.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        known = headers.get("authorization") == f"Bearer {self.token}"
        if "python-urllib" in agent:
            line.send(403, b"<html>blocked</html>", {"Content-Type": "text/html"})
        elif match := re.fullmatch(r"/api/download/models/(\d+)", parts.path):
            self._download(line, int(match[1]), query, known, any(word in agent for word in BROWSERS))
        elif match := re.fullmatch(r"/api/v1/model-versions/(\d+)", parts.path):
            self._api(line, host, self._version(int(match[1])))
        elif match := re.fullmatch(r"/api/v1/models/(\d+)", parts.path):
            self._api(line, host, self.models.get(int(match[1])))
        elif parts.path == "/api/v1/models":
            self._search(line, parse_qs(parts.query))
        elif parts.path == "/api/v1/enums":
            line.json(200, {"ModelType": ["Checkpoint", "LORA"], "BaseModel": ["SD 1.5", "SDXL 1.0", "Flux.1 D"]})
        elif parts.path == "/api/v1/me":
            line.json(200, {"id": 1, "username": "somebody"}) if known else line.json(401, {"error": "Unauthorized"})
        else:
            line.json(404, {"error": "Not found"})

    def _api(self, line: _Line, host: str, found: dict[str, Any] | None) -> None:
        model_id = found and (found.get("modelId") or found["id"])
        if found is None or (host == "site" and model_id in self.on_red_alone):
            line.json(404, {"error": "No model with id 0"})
        else:
            line.json(200, _without_content(found))

    def _search(self, line: _Line, query: Mapping[str, list[str]]) -> None:
        if "page" in query and "query" in query:
            line.json(400, {"error": "Cannot use page param with query search"})
            return
        words = query.get("query", [""])[0].lower()
        found = [
            one
            for one in self.models.values()
            if words in one["name"].lower() and one["type"] in query.get("types", [one["type"]])
            if one["modelVersions"][0]["baseModel"] in query.get("baseModels", [one["modelVersions"][0]["baseModel"]])
        ]
        line.json(200, {"items": [_without_content(one) for one in found], "metadata": {}})

    def _version(self, id: int) -> dict[str, Any] | None:
        for of in self.models.values():
            for one in of["modelVersions"]:
                if one["id"] == id and one["status"] == "Published":
                    about = {"name": of["name"], "type": of["type"], "nsfw": False, "mode": of.get("mode")}
                    return {**one, "modelId": of["id"], "model": about}
        return None

    def _download(self, line: _Line, id: int, query: Mapping[str, str], known: bool, browser: bool) -> None:
        found = self._version(id)
        message = "The creator of this asset requires you to be logged in to download it"
        if line.command == "HEAD":
            line.json(401, {"error": "Unauthorized"})
        elif refusal := self.refusals.get(id):
            line.refuse(refusal)
        elif self.needs_login and not known and browser:
            line.refuse(Refusal(307, location="/login?returnUrl=%2F&reason=download-auth"))
        elif self.needs_login and not known:
            line.json(401, {"error": "Unauthorized", "message": message})
        elif found is None:
            line.json(404, {"error": "File not found"})
        else:
            # Without an id the account's preferences decide, and they are not what the API calls primary.
            wanted = int(query.get("fileId", found["files"][-1]["id"]))
            name = next(each["name"] for each in found["files"] if each["id"] == wanted)
            signature = str(next(self._signatures))
            self._valid[signature] = wanted
            target = f"{self.address('storage')}/file/{wanted}?sig={signature}"
            line.refuse(Refusal(307, location=target, headers={"Cache-Control": "no-store", "X-Name": name}))

    # storage ------------------------------------------------------------------------------------------

    def _store(self, line: _Line, headers: Mapping[str, str]) -> None:
        parts = urlsplit(line.path)
        signature = parse_qs(parts.query).get("sig", [""])[0]
        id = int(parts.path.rpartition("/")[2])
        if "authorization" in headers:
            line.send(400, b"<Error>Missing x-amz-content-sha256</Error>", {"Content-Type": "application/xml"})
        elif self._valid.get(signature) != id:
            line.send(403, b"<Error>Request has expired</Error>", {"Content-Type": "application/xml"})
        else:
            self._body(line, id, signature, headers)

    def _body(self, line: _Line, id: int, signature: str, headers: Mapping[str, str]) -> None:
        held = next(
            each
            for of in self.models.values()
            for one in of["modelVersions"]
            for each in one["files"]
            if each["id"] == id
        )
        content, tag = held["content"], self.etags.get(id, f'"{id}-1"')
        said = {"Content-Type": "binary/octet-stream", "ETag": tag, "Accept-Ranges": "bytes"}
        said["Content-Disposition"] = f'attachment; filename="{held["name"]}"'
        begin, end, status = 0, len(content), 200
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
        if match is not None and headers.get("if-range", tag) == tag:
            begin, end = int(match[1]), min(int(match[2]) + 1, end) if match[2] else end
            said["Content-Range"] = f"bytes {begin}-{end - 1}/{len(content)}"
            status = 206
        with self._lock:
            cut = self.cuts.pop(0) if self.cuts else None
            if cut is not None:
                self._valid.pop(signature, None)
        line.send(status, content[begin:end], said, cut)


class _Host(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str, civitai: Civitai) -> None:
        super().__init__(("127.0.0.1", 0), _Line)
        self.name = name
        self.civitai = civitai
        self.thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that hangs up."""


class _Line(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Host

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: `Civitai.seen` has the requests."""

    def do_GET(self) -> None:
        with suppress(ConnectionError):
            self.server.civitai.answer(self, self.server.name)

    def do_HEAD(self) -> None:
        self.do_GET()

    def json(self, status: int, body: object) -> None:
        self.send(status, json.dumps(body).encode(), {"Content-Type": "application/json; charset=utf-8"})

    def refuse(self, refusal: Refusal) -> None:
        text = refusal.body if isinstance(refusal.body, str) else json.dumps(refusal.body)
        kind = "text/plain" if isinstance(refusal.body, str) else "application/json"
        place = {} if refusal.location is None else {"Location": refusal.location}
        self.send(refusal.status, text.encode(), {"Content-Type": kind, **refusal.headers, **place})

    def send(self, status: int, body: bytes, headers: Mapping[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def _without_content(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_content(each) for name, each in value.items() if name != "content"}
    return [_without_content(each) for each in value] if isinstance(value, list) else value
