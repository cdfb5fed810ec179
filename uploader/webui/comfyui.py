"""ComfyUI's API. Follows server.py, app/model_manager.py and folder_paths.py of ComfyUI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from uploader.artifact import Kind
from uploader.profile import Api
from uploader.webui.client import WebUIClient
from uploader.webui.interface import Listed, Refreshed, answers, text_of, texts

_KEYS = {
    Kind.CHECKPOINT: "checkpoints",
    Kind.LORA: "loras",
    Kind.VAE: "vae",
    Kind.EMBEDDING: "embeddings",
    Kind.HYPERNETWORK: "hypernetworks",
    Kind.CONTROLNET: "controlnet",
    Kind.IP_ADAPTER: "ipadapter",
    Kind.UPSCALER: "upscale_models",
    Kind.TEXT_ENCODER: "text_encoders",
    Kind.DIFFUSION_MODEL: "diffusion_models",
    Kind.CLIP_VISION: "clip_vision",
    Kind.MOTION_MODULE: "animatediff_models",
    Kind.DETECTOR: "ultralytics_bbox",
}
"""The keys of folder_paths.py, and those that the custom nodes for a kind add to it."""


class ComfyUi:
    """One ComfyUI. It looks at its folders by itself with every question."""

    api = Api.COMFYUI
    ids = ("comfyui",)

    def __init__(self, service: WebUIClient, version: str) -> None:
        self._service = service
        self._version = version
        self._known: frozenset[str] | None = None

    @classmethod
    def find(cls, service: WebUIClient) -> ComfyUi | None:
        stats = answers(service, "/system_stats")
        system = stats.get("system") if isinstance(stats, dict) else None
        # Its command line is in there as well, and is not kept.
        version = text_of(system, "comfyui_version") if isinstance(system, dict) else None
        return None if version is None else cls(service, version)

    def version(self) -> str | None:
        return self._version

    def current(self) -> str | None:
        return None  # each workflow names its own

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        """Return its folders by a call that ComfyUI marks as experimental; without that call, none."""
        told = answers(self._service, "/experiment/models")
        if not isinstance(told, list):
            return {}
        kinds = {key: kind for kind, key in _KEYS.items()}
        found: dict[Kind, tuple[str, ...]] = {}
        for entry in told:
            name, folders = (entry.get("name"), entry.get("folders")) if isinstance(entry, dict) else (None, None)
            if name in kinds and isinstance(folders, list):
                found[kinds[name]] = tuple(folder for folder in folders if isinstance(folder, str))
        return found

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:  # noqa: ARG002 - it looks at whole folders
        if _KEYS.get(kind) not in self._keys():
            return Refreshed(
                False,
                f"This ComfyUI has no folder for models of the kind {kind}: install the custom nodes that use them, "
                "and restart it.",
            )
        return Refreshed(True, "In a tab of ComfyUI that is open already, press R.")

    def models(self, kind: Kind) -> list[Listed] | None:
        key = _KEYS.get(kind)
        if key is None or key not in self._keys():
            return None
        return [Listed(name) for name in texts(self._service.get(f"/models/{key}"), f"its list of models ({kind})")]

    def select(self, model: Listed) -> str | None:
        return f"Choose {model.name} in the loader of your workflow: ComfyUI has no checkpoint of its own."

    def _keys(self) -> frozenset[str]:
        """Return the kinds of folders it has, asked for once.

        It answers 404 for a kind that it does not have, and so does a proxy for everything.
        """
        if self._known is None:
            self._known = frozenset(texts(self._service.get("/models"), "its kinds of models"))
        return self._known
