"""WebUIs that cannot run here, as far as they are asked: each lists the real files of a real folder, by its own rules.

    with FakeA1111(root) as webui:                 # or FakeForge, FakeSdNext, FakeComfyUI, FakeInvokeAI, FakeSwarmUI
        ... webui.url, webui.port, webui.requests ...
        webui.fault = 500                          # from now on; or html, hang, drip, cut, redirect, garbage

`root` is the WebUI's folder as seen from here, and by the WebUI itself. `auth` is the one Authorization header that it
takes. Built from the projects' sources; what InvokeAI and ComfyUI do was looked at in the real ones.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, object]
NOTHING: Answer = (404, {"detail": "Not Found"})
PASSWORDS = ("hunter2-of-gradio", "hunter2-of-the-api")
"""What A1111 tells of its own command line, among its folders."""


@dataclass(frozen=True)
class Seen:
    """A request. `headers` have lower-case names."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


class FakeWebUI:
    """A server on loopback; safe to use from several threads."""

    def __init__(
        self, root: Path, *, auth: str | None = None, tls: ssl.SSLContext | None = None, prefix: str = ""
    ) -> None:
        self.root = root
        self.auth = auth
        self.prefix = prefix
        self.fault: int | str | None = None
        self.elsewhere = "/login"
        self.requests: list[Seen] = []
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.webui = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self._server.server_port
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}{prefix}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="fake webui")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(seen.path == path for seen in self.requests)

    def answer(self, seen: Seen) -> Answer:
        raise NotImplementedError

    def files(self, folder: str, *endings: str) -> list[Path]:
        """The files below a folder of the root that end like that."""
        found = sorted((self.root / folder).rglob("*")) if (self.root / folder).is_dir() else []
        return [path for path in found if path.is_file() and path.name.lower().endswith(endings)]


class FakeA1111(FakeWebUI):
    """AUTOMATIC1111 1.10 and reForge: lists are made at the start and by a refresh."""

    ENDINGS: ClassVar[tuple[str, ...]] = (".safetensors", ".ckpt")
    PLACES: Mapping[str, str] = {
        "checkpoints": "models/Stable-diffusion",
        "loras": "models/Lora",
        "vae": "models/VAE",
        "embeddings": "embeddings",
        "hypernetworks": "models/hypernetworks",
        "upscalers": "models/ESRGAN",
    }

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, **how)
        self.flags: dict[str, object] = {
            "data_dir": str(root),
            "ckpt_dir": None,
            "lora_dir": f"{root}/models/Lora",
            "embeddings_dir": f"{root}/embeddings",
            "gradio_auth": f"me:{PASSWORDS[0]}",
            "api_auth": f"me:{PASSWORDS[1]}",
            "vae_dir": None,
            "port": None,
        }
        self.options: dict[str, object] = {
            "sd_model_checkpoint": "first.safetensors [0123456789]",
            "token": PASSWORDS[0],
        }
        self.lists = {name: self.scan(name) for name in self.PLACES}

    def scan(self, name: str) -> list[Path]:
        return self.files(self.PLACES[name], *self.ENDINGS, ".pt", ".pth")

    def answer(self, seen: Seen) -> Answer:
        call = seen.path.removeprefix("/sdapi/v1/")
        if seen.path == "/controlnet/model_list":
            return 200, {"model_list": ["None", *(f"{path.stem} [d14c016b]" for path in self.controls())]}
        if seen.path == call:
            return NOTHING
        if seen.method == "POST":
            return self.post(call, seen.body)
        return self.get(call)

    def controls(self) -> list[Path]:
        return self.files("models/ControlNet", *self.ENDINGS, ".pth")

    def post(self, call: str, body: Any) -> Answer:
        if call == "options":
            titles = [item["title"] for item in self.models()]
            if body["sd_model_checkpoint"] not in titles:
                return 500, {"error": "RuntimeError", "detail": "", "body": ""}
            self.options.update(body)
            return 200, None
        name = call.removeprefix("refresh-")
        if name not in ("checkpoints", "loras", "vae", "embeddings"):
            return NOTHING
        self.lists[name] = self.scan(name)
        return 200, None

    def get(self, call: str) -> Answer:
        match call:
            case "cmd-flags":
                return 200, self.flags
            case "options":
                return 200, self.options
            case "sd-models":
                return 200, self.models()
            case "loras":
                found = self.lists["loras"]
                return 200, [{"name": p.stem, "alias": p.stem, "path": str(p), "metadata": {}} for p in found]
            case "sd-vae":
                return 200, [{"model_name": p.name, "filename": str(p)} for p in self.lists["vae"]]
            case "embeddings":
                whole = [p.stem for p in self.lists["embeddings"] if _whole(p)]
                return 200, {"loaded": {name: {} for name in whole[::2]}, "skipped": {name: {} for name in whole[1::2]}}
            case "hypernetworks":
                return 200, [{"name": p.stem, "path": str(p)} for p in self.lists["hypernetworks"]]
            case "upscalers":
                own = [{"name": "None", "model_name": None, "model_path": None}]
                return 200, own + [{"name": p.stem, "model_path": str(p)} for p in self.lists["upscalers"]]
            case _:
                return NOTHING

    def models(self) -> list[dict[str, object]]:
        return [
            {"title": p.name, "model_name": p.stem, "hash": None, "sha256": None, "filename": str(p), "config": None}
            for p in self.lists["checkpoints"]
            if ".vae." not in p.name
        ]


class FakeForge(FakeA1111):
    """Forge and Forge Neo: VAEs and text encoders are modules, and only their page lists new ones."""

    ENDINGS = (".safetensors", ".ckpt", ".gguf")

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, **how)
        self.modules = self.scan_modules()

    @classmethod
    def neo(cls, root: Path, **how: Any) -> Self:
        """Forge Neo, which keeps its embeddings elsewhere and has no hypernetworks."""
        webui = cls(root, **how)
        webui.PLACES = {**webui.PLACES, "embeddings": "models/embeddings"}
        webui.flags["embeddings_dir"] = f"{root}/models/embeddings"
        return webui

    def scan_modules(self) -> list[Path]:
        return self.files("models/VAE", *self.ENDINGS) + self.files("models/text_encoder", *self.ENDINGS)

    def get(self, call: str) -> Answer:
        if call == "sd-modules":
            return 200, [{"model_name": p.name, "filename": str(p)} for p in self.modules]
        return NOTHING if call == "sd-vae" else super().get(call)


class FakeSdNext(FakeA1111):
    """SD.Next: A1111's calls with answers of its own, and more of them."""

    ENDINGS = (".safetensors",)
    PLACES: Mapping[str, str] = {
        **FakeA1111.PLACES,
        "embeddings": "models/embeddings",
        "unets": "models/UNET",
    }

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, **how)
        self.options |= {"ckpt_dir": f"{root}/models/Stable-diffusion", "unet_dir": f"{root}/models/UNET"}

    def post(self, call: str, body: Any) -> Answer:
        if call == "refresh-unets":
            self.lists["unets"] = self.scan("unets")
            return 204, None
        if call == "refresh-embeddings":
            return NOTHING
        status, answer = super().post(call, body)
        return (204 if call.startswith("refresh-") and status == 200 else status), answer

    def get(self, call: str) -> Answer:
        match call:
            case "version":
                return 200, {"app": "sd.next", "updated": "2026-07-23", "hash": "0565909"}
            case "unets":
                return 200, [{"name": p.stem, "filename": str(p)} for p in self.lists["unets"]]
            case "control-models":
                return 200, [p.stem for p in self.files("models/control", *self.ENDINGS)]
            case "embeddings":
                return 200, {"loaded": [], "skipped": [p.stem for p in self.lists["embeddings"]]}
            case _:
                return super().get(call)


class FakeComfyUI(FakeWebUI):
    """ComfyUI 0.8: looks at its folders whenever it is asked; a folder that it does not know is 404 without JSON."""

    ENDINGS = (".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft")
    KEYS = ("checkpoints", "loras", "vae", "text_encoders", "diffusion_models", "embeddings", "controlnet")

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, **how)
        self.places = {key: [f"models/{key}", f"output/{key}"] for key in self.KEYS}
        self.places["diffusion_models"] = ["models/unet", "models/diffusion_models"]

    def answer(self, seen: Seen) -> Answer:
        if "origin" in seen.headers:
            return 403, None
        match seen.path.strip("/").split("/"):
            case ["system_stats"]:
                argv = ["main.py", "--password", PASSWORDS[0]]
                return 200, {"system": {"comfyui_version": "0.8.0", "argv": argv}, "devices": []}
            case ["models"]:
                return 200, [*self.KEYS, "custom_nodes"]
            case ["models", key] if key in self.KEYS:
                return 200, [
                    str(path.relative_to(self.root / place))
                    for place in self.places[key]
                    for path in self.files(place, *self.ENDINGS)
                ]
            case ["experiment", "models"]:
                return 200, [
                    {"name": key, "folders": [str(self.root / place) for place in self.places[key]]}
                    for key in self.KEYS
                ]
            case _:
                return 404, None


class FakeInvokeAI(FakeWebUI):
    """InvokeAI 6.14: what is not its API is its page; a model is known once its registration has ended."""

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, **how)
        self.models: list[dict[str, object]] = []
        self.jobs: list[dict[str, Any]] = []
        self.looks = 2
        """How often a job is looked at until it has ended."""
        self.view: Callable[[str], Path] = Path
        """Where a path of its own lies as seen from here."""
        self.type_of: Callable[[Path], str] = lambda path: "lora" if "lora" in path.name else "main"
        self.breaks: str | None = None
        self.account: dict[str, str] | None = None
        """Who alone may ask, with `email` and `password`: InvokeAI's way with several users."""

    def answer(self, seen: Seen) -> Answer:
        path = seen.path.strip("/").split("/")
        if path == ["api", "v1", "auth", "status"]:
            return 200, {"multiuser_enabled": self.account is not None, "setup_required": False}
        if path == ["api", "v1", "auth", "login"] and self.account is not None:
            if seen.body != self.account:
                return 401, {"detail": "Incorrect email or password"}
            return 200, {"token": "a-token.of-a.session", "user": {}}
        if self.account and path[1:2] == ["v2"] and seen.headers.get("authorization") != "Bearer a-token.of-a.session":
            return 401, {"detail": "Authentication required"}
        match seen.path.strip("/").split("/"):
            case ["api", "v1", "app", "version"]:
                return 200, {"version": "6.14.2"}
            case ["api", "v2", "models"]:
                return 200, {"models": self.models}
            case ["api", "v2", "models", "install"] if seen.method == "POST":
                return self.install(seen)
            case ["api", "v2", "models", "install", number]:
                return self.look(int(number))
            case _ if seen.method == "POST":
                return 405, {"detail": "Method Not Allowed"}
            case _:
                return 200, "<!DOCTYPE html><html><title>Invoke - Community Edition</title></html>"

    def install(self, seen: Seen) -> Answer:
        (source,) = seen.query["source"]
        if seen.body != {} or seen.query["inplace"] != ["true"]:
            return 422, {"detail": []}
        if not self.view(source).is_file():
            return 409, {"detail": f"Unsupported model source: '{source}'"}
        job = {"id": len(self.jobs), "status": "waiting", "error": None, "error_reason": None, "local_path": source}
        self.jobs.append({**job, "left": self.looks})
        return 201, job

    def look(self, number: int) -> Answer:
        job = self.jobs[number]
        job["left"] -= 1
        if job["left"] > 0:
            job["status"] = "running"
        elif any(model["path"] == job["local_path"] for model in self.models):
            job |= {"status": "error", "error_reason": "DuplicateModelException", "error": "is already installed"}
        elif self.breaks:
            job |= {"status": "error", "error_reason": "InvalidModelConfigException", "error": self.breaks}
        else:
            path = Path(job["local_path"])
            job["status"] = "completed"
            self.models.append(
                {"key": str(number), "name": path.stem, "path": str(path), "type": self.type_of(path), "base": "sd-1"}
            )
        return 200, job


class FakeSwarmUI(FakeWebUI):
    """SwarmUI: everything by POST, in a session that can end."""

    PLACES: ClassVar[dict[str, str]] = {
        "Stable-Diffusion": "Models/Stable-Diffusion",
        "LoRA": "Models/Lora",
        "VAE": "Models/VAE",
        "Embedding": "Models/Embeddings",
        "ControlNet": "Models/controlnet",
        "Clip": "Models/text_encoders",
        "ClipVision": "Models/clip_vision",
    }

    def __init__(self, root: Path, **how: Any) -> None:
        super().__init__(root, **how)
        self.session = 0
        self.lists: dict[str, list[str]] = {}
        self.loaded: str | None = None
        self.refresh()

    def refresh(self) -> None:
        for subtype, place in self.PLACES.items():
            files = self.files(place, ".safetensors", ".gguf", ".sft")
            self.lists[subtype] = [str(path.relative_to(self.root / place)) for path in files]

    def answer(self, seen: Seen) -> Answer:
        if seen.method != "POST":
            return 200, "<!DOCTYPE html><html><title>SwarmUI</title></html>"
        call = seen.path.removeprefix("/API/")
        if call == "GetNewSession":
            return 200, {"session_id": f"s{self.session}", "user_id": "local", "version": "0.9.8.1"}
        if seen.body.get("session_id") != f"s{self.session}":
            return 200, {"error_id": "invalid_session_id", "error": "Invalid session ID."}
        match call:
            case "TriggerRefresh":
                self.refresh()
                return 200, {"success": True}
            case "ListModels":
                files = [{"name": name, "title": name} for name in self.lists[seen.body["subtype"]]]
                return 200, {"folders": [], "files": files}
            case "ListLoadedModels":
                return 200, {"models": [{"name": self.loaded}] if self.loaded else []}
            case "SelectModel":
                if seen.body["model"] not in self.lists["Stable-Diffusion"]:
                    return 200, {"error": "Model not found."}
                self.loaded = seen.body["model"]
                return 200, {"success": True}
            case _:
                return 404, None


# the server -------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    webui: FakeWebUI

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `requests` is the record."""

    def do_GET(self) -> None:
        webui = self.server.webui
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = parts.path.removeprefix(webui.prefix) if parts.path.startswith(webui.prefix) else ""
        seen = Seen(self.command, path, parse_qs(parts.query), headers, json.loads(raw) if raw else None)
        webui.requests.append(seen)
        with suppress(OSError, ssl.SSLError):
            if webui.fault is not None:
                self._fail(webui, webui.fault)
            elif webui.auth is not None and headers.get("authorization") != webui.auth:
                self._send(401, {"detail": "Not authenticated"}, {"WWW-Authenticate": "Basic"})
            else:
                self._send(*webui.answer(seen))

    def do_POST(self) -> None:
        self.do_GET()

    def _fail(self, webui: FakeWebUI, fault: int | str) -> None:
        match fault:
            case "hang":
                webui.released.wait()
                self.close_connection = True
            case "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not webui.released.wait(0.05):
                    self.wfile.write(b" ")
                self.close_connection = True
            case "cut":
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            case "garbage":
                self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
                self.close_connection = True
            case "redirect":
                self._send(302, None, {"Location": webui.elsewhere})
            case "html":
                self._send(200, "<!DOCTYPE html><html><body>Starting, please wait</body></html>")
            case int():
                self._send(fault, {"detail": "no"})
            case _:
                raise AssertionError(fault)

    def _send(self, status: int, answer: object, headers: Mapping[str, str] | None = None) -> None:
        page = isinstance(answer, str)
        body = str(answer).encode() if page else json.dumps(answer).encode()
        if status in (204, 404) and answer is None:
            body = b""
        self.send_response(status)
        kind = "text/html; charset=utf-8" if page else "application/json" if body else "application/octet-stream"
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            if status != 204 or name != "Content-Length":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _whole(path: Path) -> bool:
    """Whether an embedding could be loaded: its header covers the file."""
    data = path.read_bytes()
    if len(data) < 8:
        return False
    length = int.from_bytes(data[:8], "little")
    with suppress(ValueError):
        header = json.loads(data[8 : 8 + length])
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        return len(data) == 8 + length + max(ends, default=0)
    return False


def all_texts(value: object) -> Iterator[str]:
    """Every text in a nest of values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from all_texts(key)
            yield from all_texts(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from all_texts(inner)
