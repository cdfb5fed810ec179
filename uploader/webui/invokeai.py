"""InvokeAI's API: a model exists for it once it was registered. Follows invokeai/app/api/routers/model_manager.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from uploader.artifact import Kind
from uploader.errors import NetworkError, WebUIRefused
from uploader.profile import Api
from uploader.webui.client import Reply, WebUIClient
from uploader.webui.interface import Listed, Refreshed, answers, refused, table, text_of

JOB_SECONDS = 60.0
"""Seconds for all registrations of a push together: InvokeAI hashes all of each file."""

_FIRST_LOOK, _LATER_LOOKS = 0.1, 1.0
"""Seconds between two looks at a job. The wait doubles from the first to the last."""

_TYPES = {
    Kind.CHECKPOINT: ("main",),
    Kind.DIFFUSION_MODEL: ("main",),
    Kind.LORA: ("lora", "control_lora"),
    Kind.VAE: ("vae",),
    Kind.EMBEDDING: ("embedding",),
    Kind.CONTROLNET: ("controlnet", "t2i_adapter"),
    Kind.IP_ADAPTER: ("ip_adapter",),
    Kind.UPSCALER: ("spandrel_image_to_image",),
    Kind.TEXT_ENCODER: ("t5_encoder", "clip_embed", "qwen_vl_encoder", "qwen3_encoder", "text_encoder"),
    Kind.CLIP_VISION: ("clip_vision",),
}
_UNKNOWN = "unknown"
_ENDED = ("completed", "error", "cancelled")


class InvokeAi:
    """One InvokeAI. `wait(seconds)` waits between two looks at a job."""

    api = Api.INVOKEAI
    ids = ("invokeai",)

    def __init__(self, service: WebUIClient, version: str, *, wait: Callable[[float], object] = time.sleep) -> None:
        self._service = service
        self._version = version
        self._wait = wait
        self._left = JOB_SECONDS

    @classmethod
    def find(cls, service: WebUIClient) -> InvokeAi | None:
        told = answers(service, "/api/v1/app/version")
        version = text_of(told, "version") if isinstance(told, dict) else None
        if version is None:
            return None
        access = answers(service, "/api/v1/auth/status")
        if isinstance(access, dict) and access.get("multiuser_enabled") is True:
            service.trade("/api/v1/auth/login", "email", "password", "token")
        return cls(service, version)

    def version(self) -> str | None:
        return self._version

    def current(self) -> str | None:
        return None  # each person who works with it has one of their own

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        return {}  # it reads none by kind

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:
        if kind not in _TYPES:
            return Refreshed(False, f"InvokeAI does not list models of the kind {kind}.")
        known = {path for model in self._all() if (path := text_of(model, "path"))}
        for path in paths:
            if path not in known:
                self._register(path)
        return Refreshed(True)

    def models(self, kind: Kind) -> list[Listed] | None:
        wanted = _TYPES.get(kind)
        if wanted is None:
            return None
        found = []
        for model in self._all():
            type_, name = text_of(model, "type") or _UNKNOWN, text_of(model, "name") or ""
            if type_ in (*wanted, _UNKNOWN):
                note = (
                    None if type_ in wanted else "InvokeAI does not see what it is: set its type in the Model Manager."
                )
                found.append(Listed(name, text_of(model, "path"), note))
        return found

    def select(self, model: Listed) -> str | None:
        return f"Choose {model.name} on InvokeAI's page: it keeps that choice in the browser."

    def _register(self, path: str) -> None:
        """Register a file at its place. Raises WebUIRefused, NetworkError."""
        reply = self._service.post("/api/v2/models/install", {}, {"source": path, "inplace": "true"})
        if reply.status in (404, 409, 415):
            raise _not_registered(path, _detail(reply))
        job, look = table(reply, "registering a model"), _FIRST_LOOK
        while text_of(job, "status") not in _ENDED:
            if self._left <= 0:
                raise NetworkError(
                    f"InvokeAI is still busy registering {path}", remedy="Look into its Model Manager in a minute."
                )
            self._wait(look)
            self._left, look = self._left - look, min(2 * look, _LATER_LOOKS)
            job = table(self._service.get(f"/api/v2/models/install/{job.get('id')}"), "the state of a registration")
        if text_of(job, "status") == "completed" or text_of(job, "error_reason") == "DuplicateModelException":
            return
        raise _not_registered(path, text_of(job, "error", "error_reason") or str(job.get("status")))

    def _all(self) -> list[Mapping[str, object]]:
        reply = self._service.get("/api/v2/models/")
        models = table(reply, "its list of models").get("models")
        if not isinstance(models, list):
            raise refused(reply, "its list of models")
        return [model for model in models if isinstance(model, dict)]


def _detail(reply: Reply) -> str:
    return (text_of(reply.data, "detail") if isinstance(reply.data, dict) else None) or str(reply.status)


def _not_registered(path: str, why: str) -> WebUIRefused:
    return WebUIRefused(
        f"InvokeAI did not register {path}: {why[:200]}",
        remedy="Does InvokeAI see the file under that path? In a container it may have another: add it by Scan Folder "
        "in the Model Manager.",
    )
