"""SD.Next's API. Follows modules/api/api.py, modules/api/endpoints.py and modules/api/loras.py of vladmandic/sdnext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uploader.artifact import Kind
from uploader.profile import Api
from uploader.webui.client import WebUIClient
from uploader.webui.interface import Listed, Refreshed, answers, items, refused, table, text_of, texts

_API = "/sdapi/v1"
_REFRESHES = {
    Kind.CHECKPOINT: "refresh-checkpoints",
    Kind.LORA: "refresh-loras",
    Kind.VAE: "refresh-vae",
    Kind.DIFFUSION_MODEL: "refresh-unets",
}
_LISTS = {
    Kind.CHECKPOINT: ("sd-models", "title", "filename"),
    Kind.LORA: ("loras", "name", "path"),
    Kind.VAE: ("sd-vae", "model_name", "filename"),
    Kind.DIFFUSION_MODEL: ("unets", "name", "filename"),
    Kind.UPSCALER: ("upscalers", "name", "model_path"),
}
_FOLDERS = {
    Kind.CHECKPOINT: "ckpt_dir",
    Kind.LORA: "lora_dir",
    Kind.VAE: "vae_dir",
    Kind.EMBEDDING: "embeddings_dir",
    Kind.DIFFUSION_MODEL: "unet_dir",
    Kind.TEXT_ENCODER: "te_dir",
    Kind.CONTROLNET: "control_dir",
    Kind.DETECTOR: "yolo_dir",
    Kind.UPSCALER: "esrgan_models_path",
}
_RESTART = "Press Refresh on SD.Next's page for that list, or restart the server: its API has no call for it."


class SdNext:
    """One SD.Next."""

    api = Api.SDNEXT
    ids = ("sdnext",)

    def __init__(self, service: WebUIClient, version: Mapping[str, object]) -> None:
        self._service = service
        self._version = version

    @classmethod
    def find(cls, service: WebUIClient) -> SdNext | None:
        version = answers(service, f"{_API}/version")
        return cls(service, version) if isinstance(version, dict) else None

    def version(self) -> str | None:
        found = [value for key in ("updated", "hash") if (value := text_of(self._version, key))]
        return " ".join(found) or None

    def current(self) -> str | None:
        return text_of(table(self._service.get(f"{_API}/options"), "its options"), "sd_model_checkpoint")

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        """Return its folders. SD.Next keeps them among its options; nothing else is taken from there."""
        options = answers(self._service, f"{_API}/options")
        if not isinstance(options, dict):
            return {}
        found = {kind: text_of(options, key) for kind, key in _FOLDERS.items()}
        return {kind: (folder,) for kind, folder in found.items() if folder and folder.startswith("/")}

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:  # noqa: ARG002 - it looks at whole folders
        if kind not in _REFRESHES:
            return Refreshed(False, _RESTART)
        reply = self._service.post(f"{_API}/{_REFRESHES[kind]}")
        if reply.status == 404:  # an older version
            return Refreshed(False, _RESTART)
        if not reply.ok:
            raise refused(reply, f"refreshing its list of models ({kind})")
        return Refreshed(True)

    def models(self, kind: Kind) -> list[Listed] | None:
        what = f"its list of models ({kind})"
        if kind is Kind.EMBEDDING:
            answer = table(self._service.get(f"{_API}/embeddings"), what)
            parts = [answer.get("loaded"), answer.get("skipped")]
            return [Listed(name) for part in parts if isinstance(part, list | dict) for name in part]
        if kind is Kind.CONTROLNET:
            return [Listed(name) for name in texts(self._service.get(f"{_API}/control-models"), what)]
        if kind not in _LISTS:
            return None
        call, name, path = _LISTS[kind]
        reply = self._service.get(f"{_API}/{call}")
        if reply.status == 404:
            return None
        return [Listed(called, text_of(item, path)) for item in items(reply, what) if (called := text_of(item, name))]

    def select(self, model: Listed) -> str | None:
        reply = self._service.post(f"{_API}/options", {"sd_model_checkpoint": model.name})
        if not reply.ok:
            raise refused(reply, f"switching to {model.name}")
        return None
