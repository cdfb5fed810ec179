"""AUTOMATIC1111's API, and those of Forge, Forge Neo and reForge.

Follows modules/api/api.py of each, and the routes that the LoRA and ControlNet extensions add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from uploader.artifact import Kind
from uploader.profile import Api
from uploader.webui.client import WebUIClient
from uploader.webui.interface import Listed, Refreshed, answers, items, refused, table, text_of

_API = "/sdapi/v1"
_REFRESHES = {
    Kind.CHECKPOINT: f"{_API}/refresh-checkpoints",
    Kind.DIFFUSION_MODEL: f"{_API}/refresh-checkpoints",
    Kind.LORA: f"{_API}/refresh-loras",
    Kind.VAE: f"{_API}/refresh-vae",
    Kind.EMBEDDING: f"{_API}/refresh-embeddings",
}
_CONTROLS = (Kind.CONTROLNET, Kind.IP_ADAPTER)
_MODULES = (Kind.VAE, Kind.TEXT_ENCODER)
_LISTS = {
    Kind.CHECKPOINT: (f"{_API}/sd-models", "title", "filename"),
    Kind.DIFFUSION_MODEL: (f"{_API}/sd-models", "title", "filename"),
    Kind.LORA: (f"{_API}/loras", "name", "path"),
    Kind.VAE: (f"{_API}/sd-vae", "model_name", "filename"),
    Kind.HYPERNETWORK: (f"{_API}/hypernetworks", "name", "path"),
    Kind.UPSCALER: (f"{_API}/upscalers", "name", "model_path"),
}
_FOLDERS = {
    Kind.CHECKPOINT: ("ckpt_dir",),
    Kind.LORA: ("lora_dir",),
    Kind.VAE: ("vae_dir",),
    Kind.EMBEDDING: ("embeddings_dir",),
    Kind.HYPERNETWORK: ("hypernetwork_dir",),
    Kind.CONTROLNET: ("controlnet_dir",),
    Kind.UPSCALER: ("esrgan_models_path",),
    Kind.TEXT_ENCODER: ("text_encoder_dir",),
}
_BELOW_MODELS = {Kind.CHECKPOINT: "Stable-diffusion", Kind.VAE: "VAE"}
_HASH = re.compile(r"\s*\[[0-9a-f]{6,64}\]$")
_RESTART = "Restart the WebUI (Settings, Reload UI): it looks for this kind of model only when it starts."
_NO_CALL = "Press the refresh button of that list on the WebUI's page: this version of it has no call for that."


class A1111:
    """A WebUI of the family. `modules`: as in Forge, VAEs and text encoders are one list that only its own page
    refreshes.
    """

    api = Api.A1111

    def __init__(self, service: WebUIClient, *, modules: bool, flags: Mapping[Kind, tuple[str, ...]]) -> None:
        self._service = service
        self._modules = modules
        self._flags = flags

    @classmethod
    def find(cls, service: WebUIClient) -> A1111 | None:
        """Return the member if one of the family answers. SD.Next answers likewise: ask for that one first."""
        flags = answers(service, f"{_API}/cmd-flags")
        if not isinstance(flags, dict):
            return None
        folders = folders_of(flags)
        del flags  # the rest of it is dropped: it may hold passwords
        return cls(service, modules=isinstance(answers(service, f"{_API}/sd-modules"), list), flags=folders)

    @property
    def ids(self) -> tuple[str, ...]:
        if not self._modules:
            return ("a1111", "reforge")
        embeddings = self._flags.get(Kind.EMBEDDING, ())
        if not embeddings:
            return ("forge", "forge-neo")
        return ("forge-neo",) if embeddings[0].rstrip("/").endswith("/models/embeddings") else ("forge",)

    def version(self) -> str | None:
        return None

    def current(self) -> str | None:
        options = table(self._service.get(f"{_API}/options"), "its options")
        found = text_of(options, "sd_model_checkpoint")
        return found and _HASH.sub("", found)

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        return self._flags

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:  # noqa: ARG002 - it looks at whole folders
        if self._modules and kind in _MODULES:
            return Refreshed(
                False,
                "Press the refresh button beside VAE / Text Encoder, or reload the WebUI's page: it has no call "
                "for that.",
            )
        if kind in _CONTROLS:
            return Refreshed(True)  # it makes its list for each question
        if kind not in _REFRESHES:
            return Refreshed(False, _RESTART)
        reply = self._service.post(_REFRESHES[kind])
        if reply.status == 404:  # the API is there: it answered `find`
            return Refreshed(False, _NO_CALL)
        if not reply.ok:
            raise refused(reply, f"refreshing its list of models ({kind})")
        return Refreshed(True)

    def models(self, kind: Kind) -> list[Listed] | None:
        what = f"its list of models ({kind})"
        if self._modules and kind in _MODULES:
            return _listed(self._service, f"{_API}/sd-modules", "model_name", "filename", what)
        if kind is Kind.EMBEDDING:
            return embeddings(self._service, what)
        if kind in _CONTROLS:
            reply = self._service.get("/controlnet/model_list", {"update": "true"})
            if reply.status == 404:
                return None
            names = table(reply, what).get("model_list")
            return (
                [Listed(_HASH.sub("", name)) for name in names if isinstance(name, str)]
                if (isinstance(names, list))
                else None
            )
        if kind not in _LISTS:
            return None
        return _listed(self._service, *_LISTS[kind], what)

    def select(self, model: Listed) -> str | None:
        reply = self._service.post(f"{_API}/options", {"sd_model_checkpoint": model.name})
        if not reply.ok:
            raise refused(reply, f"switching to {model.name}")
        return None


def _listed(service: WebUIClient, call: str, name: str, path: str, what: str) -> list[Listed] | None:
    reply = service.get(call)
    if reply.status == 404:  # an older version, or an extension that is not there
        return None
    return [Listed(called, text_of(item, path)) for item in items(reply, what) if (called := text_of(item, name))]


def embeddings(service: WebUIClient, what: str) -> list[Listed]:
    """Return the embeddings that fit the loaded checkpoint and those that do not.

    Versions differ: they are tables by name, or lists of names.
    """
    answer = table(service.get(f"{_API}/embeddings"), what)
    found = [answer.get("loaded"), answer.get("skipped")]
    return [Listed(name) for part in found if isinstance(part, dict | list) for name in part if isinstance(name, str)]


def folders_of(flags: Mapping[str, object]) -> dict[Kind, tuple[str, ...]]:
    """Return the folders of a WebUI's command line, and nothing else of it."""
    folders: dict[Kind, tuple[str, ...]] = {}
    data = text_of(flags, "data_dir")
    models = text_of(flags, "models_dir") or (f"{data.rstrip('/')}/models" if data else None)
    for kind, keys in _FOLDERS.items():
        found = [value for key in keys if (value := text_of(flags, key))]
        if models and kind in _BELOW_MODELS:
            found.append(f"{models.rstrip('/')}/{_BELOW_MODELS[kind]}")
        absolute = tuple(dict.fromkeys(folder for folder in found if folder.startswith("/")))
        if absolute:
            folders[kind] = absolute
    return folders
