"""SwarmUI's API. Follows docs/API.md and docs/APIRoutes of SwarmUI: each call is a POST in a session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uploader.artifact import Kind
from uploader.profile import Api
from uploader.webui.client import Reply, WebUIClient
from uploader.webui.interface import Listed, Refreshed, refused, table, text_of

_SUBTYPES = {
    Kind.CHECKPOINT: "Stable-Diffusion",
    Kind.DIFFUSION_MODEL: "Stable-Diffusion",
    Kind.LORA: "LoRA",
    Kind.VAE: "VAE",
    Kind.EMBEDDING: "Embedding",
    Kind.CONTROLNET: "ControlNet",
    Kind.TEXT_ENCODER: "Clip",
    Kind.CLIP_VISION: "ClipVision",
}
_DEPTH = 32


class SwarmUi:
    """One SwarmUI, in a session that is renewed when it has ended."""

    api = Api.SWARMUI
    ids = ("swarmui",)

    def __init__(self, service: WebUIClient, session: Mapping[str, object]) -> None:
        self._service = service
        self._session = session

    @classmethod
    def find(cls, service: WebUIClient) -> SwarmUi | None:
        reply = service.post("/API/GetNewSession", {})
        session = reply.data if reply.ok and isinstance(reply.data, dict) else {}
        return cls(service, session) if text_of(session, "session_id") else None

    def version(self) -> str | None:
        return text_of(self._session, "version")

    def current(self) -> str | None:
        loaded = self._ask("ListLoadedModels", "the loaded models").get("models")
        names = (
            [text_of(model, "name") for model in loaded if isinstance(model, dict)]
            if (isinstance(loaded, list))
            else []
        )
        return next((name for name in names if name), None)

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        return {}  # told to administrators alone, in another form with each version

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:  # noqa: ARG002 - it looks at all folders at once
        self._ask("TriggerRefresh", "refreshing its lists", strong=True)
        return Refreshed(True)

    def models(self, kind: Kind) -> list[Listed] | None:
        subtype = _SUBTYPES.get(kind)
        if subtype is None:
            return None
        what = f"its list of models ({kind})"
        found = self._ask("ListModels", what, path="", depth=_DEPTH, subtype=subtype).get("files")
        models = [model for model in found if isinstance(model, dict)] if isinstance(found, list) else []
        return [Listed(name) for model in models if (name := text_of(model, "name"))]

    def select(self, model: Listed) -> str | None:
        self._ask("SelectModel", f"switching to {model.name}", model=model.name)
        return None

    def _ask(self, call: str, what: str, **body: object) -> Mapping[str, object]:
        reply = self._post(call, body)
        if _error(reply, "error_id") == "invalid_session_id":
            self._session = table(self._service.post("/API/GetNewSession", {}), "a new session")
            reply = self._post(call, body)
        answer = table(reply, what)
        if "error" in answer or "error_id" in answer:
            raise refused(Reply(400, json=True), what)
        return answer

    def _post(self, call: str, body: Mapping[str, object]) -> Reply:
        return self._service.post(f"/API/{call}", {"session_id": self._session.get("session_id"), **body})


def _error(reply: Reply, key: str) -> str | None:
    return text_of(reply.data, key) if isinstance(reply.data, dict) else None
