"""A reference to Civitai -> the one artifact that it means."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator
from urllib.parse import urlencode

from uploader.artifact import Artifact, Card, Service, WebFile
from uploader.errors import NotAModel
from uploader.http import Answer
from uploader.reference import CivitaiReference
from uploader.sources.civitai.api import Found, download_scope, find
from uploader.sources.civitai.choose_file import choose
from uploader.sources.civitai.errors import date_of
from uploader.sources.civitai.values import File, Version, kind_of
from uploader.sources.endpoints import Sources
from uploader.sources.file_names import safe_name
from uploader.sources.interface import Choice

_WORDS = 12
"""Trigger words in a note at most. Some models have hundreds."""


def resolve(reference: CivitaiReference, sources: Sources, choice: Choice) -> Artifact:
    """Find the version, choose its file, and ask its download link what it leads to.

    Raises SourceMissing, SourceRefused (early access, archived, disabled, region), CredentialsMissing,
    CredentialsRefused, UsageError (several files could be meant), NotAModel (empty), RateLimited, NetworkError.
    """
    found = find(reference, sources)
    version = found.version
    file = choose(version, reference, choice)
    link = _link(found, file)
    answer = sources.http.probe(link, scope=download_scope(sources))
    if answer.size == 0 or (answer.size is None and not answer.head):
        raise NotAModel(f"{file.name} is empty (0 bytes) at Civitai", remedy="Open the model's page to see why.")
    return Artifact(
        source=str(reference),
        name=safe_name(file.name) or safe_name(answer.filename or "") or f"civitai-{file.id}",
        size=answer.size,
        origin=WebFile(link, answer.validator, answer.ranges, Service.CIVITAI),
        identity=_identity(file, answer),
        digest=file.digest,
        kind=kind_of(version, file),
        notes=tuple(_notes(version, file)),
        card=_card(version),
    )


def _link(found: Found, file: File) -> str:
    """Return the file's own link, with its id. Without the id the account's preferences would choose.

    The links that the API gives are not used: they name forms that the site then does not find.
    """
    return f"{found.address}/api/download/models/{found.version.id}?{urlencode({'fileId': file.id})}"


def _identity(file: File, answer: Answer) -> str:
    """Return a hash of the published hash, which changes with the file alone; else of what its storage says."""
    known = file.digest.hex if file.digest is not None else answer.validator
    return hashlib.sha256(f"civitai {file.id} {known} {answer.size}".encode()).hexdigest()[:8]


def _notes(version: Version, file: File) -> Iterator[str]:
    yield f"{version.title} on Civitai" + (f", base model {version.base}" if version.base else "")
    others = [other for other in version.files if other.is_model and other.id != file.id]
    if others:
        yield f"chosen among {len(others) + 1} files; the others: {', '.join(f'{o.name} (+{o.id})' for o in others)}"
    if version.words:
        more = f" and {len(version.words) - _WORDS} more" if len(version.words) > _WORDS else ""
        yield f"trigger words: {', '.join(version.words[:_WORDS])}{more}"
    if (day := date_of(version.early)) and day >= datetime.datetime.now(datetime.UTC).date().isoformat():
        yield f"in early access until {day}"
    if file.scan == "Danger":
        yield "Civitai's own scan calls this file dangerous"
    if file.digest is None:
        yield "Civitai publishes no sha256 of it"
    if version.preview:
        yield f"preview: {version.preview}"


def _card(version: Version) -> Card:
    return Card(
        base=version.base,
        words=version.words,
        page=f"https://civitai.com/models/{version.model}?modelVersionId={version.id}",
        preview=version.preview,
        service=version.raw.as_json(),
    )
