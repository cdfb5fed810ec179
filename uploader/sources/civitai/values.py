"""Civitai's models, versions and files, read from its API's answers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from uploader.artifact import MODEL_EXTENSIONS, Digest, Kind
from uploader.http import Fields

_OF_FILE: Mapping[str, Kind] = {
    "vae": Kind.VAE,
    "text encoder": Kind.TEXT_ENCODER,
    "vision encoder": Kind.CLIP_VISION,
    "clipvision": Kind.CLIP_VISION,
    "unet": Kind.DIFFUSION_MODEL,
    "diffusion model": Kind.DIFFUSION_MODEL,
    "controlnet": Kind.CONTROLNET,
    "upscaler": Kind.UPSCALER,
    "enhancement lora": Kind.LORA,
    "negative": Kind.EMBEDDING,
}

OF_MODEL: Mapping[str, Kind] = {
    "Checkpoint": Kind.CHECKPOINT,
    "LORA": Kind.LORA,
    "LoCon": Kind.LORA,  # LyCORIS: the LoRA folder, which every WebUI scans
    "DoRA": Kind.LORA,
    "TextualInversion": Kind.EMBEDDING,
    "Hypernetwork": Kind.HYPERNETWORK,
    "Controlnet": Kind.CONTROLNET,
    "Upscaler": Kind.UPSCALER,
    "MotionModule": Kind.MOTION_MODULE,
    "VAE": Kind.VAE,
    "TextEncoder": Kind.TEXT_ENCODER,
    "CLIP": Kind.TEXT_ENCODER,
    "UNet": Kind.DIFFUSION_MODEL,
    "CLIPVision": Kind.CLIP_VISION,
    "Detection": Kind.DETECTOR,
}
"""Its types of models that can be pushed."""

_NO_MODELS = frozenset({"training data", "config", "archive", "workflow"})
_MAIN = frozenset({"model", "pruned model"})
_MAINS = frozenset({*_MAIN, "unet", "diffusion model"})


@dataclass(frozen=True)
class File:
    """One file of a version. `size` is in bytes, rounded by Civitai to what a float of kilobytes holds.

    `format`, `variant` (full, pruned), `precision` (fp16 …) and `quant` are in lower case, empty where not told.
    """

    id: int
    name: str
    type: str
    size: int | None
    format: str
    variant: str
    precision: str
    quant: str
    digest: Digest | None
    scan: str

    @property
    def is_pickle(self) -> bool:
        return self.format == "pickletensor" or PurePosixPath(self.name).suffix.lower() in (".ckpt", ".pt", ".bin")

    @property
    def is_model(self) -> bool:
        """Return True if it may be a model, and not something that came with one."""
        known = PurePosixPath(self.name).suffix.lower() in MODEL_EXTENSIONS
        return known and self.type.lower() not in _NO_MODELS

    @property
    def group(self) -> str:
        """Return the group: files of one group are one thing in several forms."""
        return "model" if self.type.lower() in _MAIN else self.type.lower()

    @property
    def is_main(self) -> bool:
        return self.type.lower() in _MAINS

    def is_form_beside(self, other: File) -> bool:
        """Return True if the two may be one model in two forms: they differ in a fact that both tell."""
        pairs = zip(self._facets, other._facets, strict=True)
        return self.group == other.group and any(mine and its and mine != its for mine, its in pairs)

    @property
    def _facets(self) -> tuple[str, ...]:
        return self.format, self.variant, self.precision, self.quant


@dataclass(frozen=True)
class Version:
    """One version of a model. `words` are its trigger words, `preview` is the address of its first picture.

    `early` is the end of its early access as Civitai writes it. `raw` is the whole answer.
    """

    id: int
    model: int
    title: str
    type: str
    base: str | None
    words: tuple[str, ...]
    files: tuple[File, ...]
    published: bool
    usage: str
    mode: str | None
    early: str | None
    preview: str | None
    raw: Fields


def kind_of(version: Version, file: File) -> Kind | None:
    """Return a file's kind by its own type, else by its model's. A GGUF holds no whole checkpoint."""
    if (kind := _OF_FILE.get(file.type.lower())) is not None:
        return kind
    kind = OF_MODEL.get(version.type)
    return Kind.DIFFUSION_MODEL if kind is Kind.CHECKPOINT and file.format == "gguf" else kind


def read_version(said: Fields, model: Fields | None = None) -> Version | None:
    """Return a version, None if it has no id. `model` is its model's object, if the version is inside it."""
    around = model or said.inner("model")
    id_, of = said.whole("id"), said.whole("modelId") or around.whole("id")
    if id_ is None or of is None:
        return None
    names = (around.text("name"), said.text("name"))
    pictures = [image.text("url") for image in said.each("images") if image.text("type") in (None, "image")]
    return Version(
        id=id_,
        model=of,
        title=" ".join(name for name in names if name) or f"model {of}",
        type=around.text("type") or "",
        base=said.text("baseModel"),
        words=tuple(word.strip().rstrip(",") for word in said.texts("trainedWords") if word.strip()),
        files=tuple(file for each in said.each("files") if (file := _file(each)) is not None),
        published=said.text("status") in (None, "Published"),
        usage=said.text("usageControl") or "Download",
        mode=around.text("mode"),
        early=said.text("earlyAccessEndsAt") or said.text("earlyAccessDeadline"),
        preview=next((url for url in pictures if url), None),
        raw=said,
    )


def _file(said: Fields) -> File | None:
    id_, about = said.whole("id"), said.inner("metadata")
    if id_ is None:
        return None
    kilobytes = said.number("sizeKB")
    sha256 = said.inner("hashes").text("SHA256") or ""
    return File(
        id=id_,
        name=said.text("name") or f"{id_}",
        type=said.text("type") or "Model",
        size=None if kilobytes is None or kilobytes < 0 else math.floor(kilobytes * 1024 + 0.5),
        format=(about.text("format") or "").lower(),
        variant=(about.text("size") or "").lower(),
        precision=(about.text("fp") or "").lower(),
        quant=(about.text("quantType") or "").lower(),
        digest=Digest.parse(sha256) if re.fullmatch(r"[0-9A-Fa-f]{64}", sha256) else None,
        scan=said.text("pickleScanResult") or "",
    )
