"""Search in Civitai's catalogue for models that can be pushed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from uploader.artifact import Kind
from uploader.errors import SourceMissing, UploaderError, UsageError
from uploader.http import Fields
from uploader.reference import CivitaiReference
from uploader.sources.civitai.api import ask
from uploader.sources.civitai.choose_file import choose
from uploader.sources.civitai.values import OF_MODEL, File, Version, kind_of, read_version
from uploader.sources.endpoints import Sources
from uploader.sources.interface import Choice

KINDS = tuple(dict.fromkeys(OF_MODEL.values()))
"""The kinds that can be searched for."""


@dataclass(frozen=True)
class Hit:
    """A model that can be pushed: its newest version and the file that `push` would choose.

    `file` and `size` (bytes) are None where several could be meant. `downloads` counts those of the model.
    """

    reference: str
    name: str
    version: str
    kind: Kind | None
    type: str
    base: str | None
    file: str | None
    size: int | None
    downloads: int | None
    creator: str | None


def search(
    words: str, sources: Sources, choice: Choice, *, kind: Kind | None, base: str | None, limit: int
) -> list[Hit]:
    """Return at most `limit` models, best first by Civitai's own order.

    Raises UsageError for a base model that Civitai does not know, and what its API raises.
    """
    params: dict[str, str | list[str]] = {"query": words, "limit": str(limit)}
    if kind is not None:
        params["types"] = [type for type, known in OF_MODEL.items() if known is kind]
    if base is not None:
        params["baseModels"] = [_base(base, sources)]
    said, _ = ask("/api/v1/models", sources, params)
    return list(_hits(Fields(said), choice))[:limit]


def _hits(said: Fields, choice: Choice) -> Iterator[Hit]:
    for model in said.each("items"):
        versions = [read_version(one, model) for one in model.each("modelVersions")]
        version = next((one for one in versions if one is not None and one.published), None)
        if version is None or version.mode is not None or version.usage != "Download":
            continue
        file = _file(version, choice)
        yield Hit(
            reference=str(CivitaiReference(version.model, version.id)),
            name=model.text("name") or f"model {version.model}",
            version=version.raw.text("name") or "",
            kind=kind_of(version, file) if file is not None else OF_MODEL.get(version.type),
            type=version.type,
            base=version.base,
            file=file.name if file is not None else None,
            size=file.size if file is not None else None,
            downloads=model.inner("stats").whole("downloadCount"),
            creator=model.inner("creator").text("username"),
        )


def _file(version: Version, choice: Choice) -> File | None:
    try:
        return choose(version, CivitaiReference(version.model, version.id), choice)
    except (UsageError, SourceMissing):
        return None


def _base(typed: str, sources: Sources) -> str:
    """Return a base model as Civitai writes it, or as typed if its list cannot be had."""
    try:
        said, _ = ask("/api/v1/enums", sources)
    except UploaderError:
        return typed
    fields = Fields(said)
    known = {one.lower(): one for name in ("BaseModel", "ActiveBaseModel") for one in fields.texts(name)}
    if not known or typed.lower() in known:
        return known.get(typed.lower(), typed)
    close = difflib.get_close_matches(typed.lower(), known, n=5, cutoff=0.4)
    names = ", ".join(known[one] for one in close or list(known)[:12])
    raise UsageError(f"Civitai knows no base model {typed!r}", remedy=f"Is it one of these? {names}.")
