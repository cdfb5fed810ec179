"""Artifact: one file that a reference resolved to; its kind, digest and origin. Knows no server."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from uploader.errors import UsageError

MODEL_EXTENSIONS = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".gguf", ".pkl", ".onnx"})
"""Endings under which some WebUI lists a model (the scanners' allow lists)."""


class Kind(StrEnum):
    """The use of a model. It decides the folder."""

    CHECKPOINT = "checkpoint"
    LORA = "lora"
    VAE = "vae"
    EMBEDDING = "embedding"
    HYPERNETWORK = "hypernetwork"
    CONTROLNET = "controlnet"
    IP_ADAPTER = "ip-adapter"
    UPSCALER = "upscaler"
    TEXT_ENCODER = "text-encoder"
    DIFFUSION_MODEL = "diffusion-model"
    CLIP_VISION = "clip-vision"
    MOTION_MODULE = "motion-module"
    DETECTOR = "detector"
    OTHER = "other"


@dataclass(frozen=True)
class Digest:
    """A sha256, 64 lower-case hexadecimal digits."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Take a sha256 in either case, with blanks around it. Raises UsageError for any other text."""
        cleaned = text.strip().lower()
        if not re.fullmatch(r"[0-9a-f]{64}", cleaned):
            raise UsageError(
                f"{text!r} is not a sha256: it takes 64 hexadecimal digits",
                remedy="Copy the SHA256 from the model's page (AutoV2 and the other short hashes do not do).",
            )
        return cls(cleaned)

    def __str__(self) -> str:
        return self.hex


class Service(StrEnum):
    """A source with an address of its own, and maybe a token."""

    CIVITAI = "civitai"
    HUGGINGFACE = "huggingface"
    GITHUB = "github"
    MODELSCOPE = "modelscope"


@dataclass(frozen=True)
class LocalFile:
    """Bytes on this machine's disk. `mtime_ns` is its modification time when the reference was resolved."""

    path: Path
    mtime_ns: int


@dataclass(frozen=True)
class WebFile:
    """Bytes at a URL. `validator` is a strong ETag or a Last-Modified date, for If-Range (RFC 9110, 13.1.5).

    `ranges` is True when the server answered a range request with 206. `url` is the one before any redirect. Every
    read follows its redirects again, so an expired signed address is replaced. `service` is the source whose token
    opens it, None if no token is needed.
    """

    url: str = field(repr=False)  # a signed link is a secret
    validator: str | None
    ranges: bool
    service: Service | None = None

    @property
    def fingerprint(self) -> str:
        """Return the sha256 (hex) of the whole address: it tells links apart without writing their secrets."""
        return hashlib.sha256(self.url.encode("utf-8", "surrogatepass")).hexdigest()


Origin: TypeAlias = LocalFile | WebFile


@dataclass(frozen=True)
class Card:
    """What a source tells of a model, for the files that a WebUI reads beside it.

    `preview` is a picture's address. `service` is the source's own description, as JSON.
    """

    base: str | None
    words: tuple[str, ...]
    page: str
    preview: str | None
    service: Mapping[str, object] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Artifact:
    """One file to be placed.

    `source` is the reference as the user may see it again (no secret in it). `size` is in bytes, None when the
    source does not tell. `digest` is the published sha256, if any. `identity` is 8 hexadecimal digits that stay
    the same as long as the file does; they name the part file. `notes` are facts from the source that the user wants
    to know (base model, trigger words), a sentence each.
    """

    source: str
    name: str
    size: int | None
    origin: Origin
    identity: str
    digest: Digest | None = None
    kind: Kind | None = None
    notes: tuple[str, ...] = ()
    card: Card | None = None
