"""Sidecars: the preview picture and the metadata that a WebUI reads next to a model, made from its source."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from uploader import placement
from uploader.artifact import Artifact, Card, Digest, LocalFile, WebFile
from uploader.commands.push.plan import Item
from uploader.errors import ConfigurationError, NotAModel, SourceRefused, UploaderError
from uploader.events import Message, Observer
from uploader.http import Http, host_of, is_loopback
from uploader.profile import WebUI
from uploader.retry import Retry
from uploader.steps import Route

_PICTURE_BYTES = 32 * 1024 * 1024
_PICTURES = ((b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"))
_VERSIONS = (("SD 1", "SD1"), ("SD 2", "SD2"), ("SDXL", "SDXL"), ("Pony", "SDXL"), ("Illustrious", "SDXL"))
"""Base models as Civitai names them, and as AUTOMATIC1111 writes them into its metadata of a model."""


@dataclass(frozen=True)
class Making:
    """The inputs for sidecars: the WebUI that reads them, the target's root, and a folder of this disk."""

    webui: WebUI
    root: str
    folder: Path
    http: Http
    retry: Retry
    observer: Observer


def sidecars(items: Sequence[Item], making: Making) -> list[Item]:
    """Return the files to put beside the items, written into the folder of this disk.

    Of two models with one stem, the first one gets them. What the source lacks is reported to the observer and stops
    no model. Raises ConfigurationError when this disk refuses the files.
    """
    found: dict[str, Item] = {}
    webui = making.webui
    for item in items:
        card = item.artifact.card
        if card is None or not any((webui.sidecars.preview, webui.sidecars.metadata, webui.sidecars.source)):
            why = "its source tells nothing" if card is None else f"it is not known what {webui.name} would read"
            making.observer(Message(f"{item.name}: nothing is put beside it, {why}", "note"))
            continue
        stem = item.name.removesuffix(PurePosixPath(item.name).suffix)
        try:
            for ending, content in _contents(item, card, making):
                made = _item(item, f"{stem}{ending}", content, making)
                found.setdefault(made.path, made)
        except OSError as error:
            raise ConfigurationError(
                f"the files to put beside {item.name} cannot be kept in {making.folder}: {error.strerror}",
                remedy="Make room there, or leave out --sidecars.",
            ) from error
    return list(found.values())


def _contents(item: Item, card: Card, making: Making) -> Iterator[tuple[str, bytes]]:
    """Yield the ending that follows the model's stem, and the content, of each sidecar."""
    names, url = making.webui.sidecars, card.preview
    if names.preview is not None and url is not None:
        try:
            picture = making.retry(lambda: _picture(url, item.artifact, making.http))
        except UploaderError as error:
            making.observer(Message(f"{item.name} goes without its preview: {error.message}", "note"))
        else:
            yield names.preview + picture[0], picture[1]
    if names.metadata is not None:
        yield names.metadata, _json(_facts(card))
    if names.source is not None:
        yield names.source, _json(card.service)


def _picture(url: str, artifact: Artifact, http: Http) -> tuple[str, bytes]:
    """Return the picture's ending, chosen by its first bytes, and its content.

    Raises SourceRefused when the address is one of this machine, NotAModel when it is no PNG or JPEG.
    """
    # A stranger may have written the address. It must not reach a service of this machine (request forgery), unless
    # the catalogue itself is on this machine.
    home = host_of(artifact.origin.url) if isinstance(artifact.origin, WebFile) else ""
    if is_loopback(host_of(url)) and not is_loopback(home):
        raise SourceRefused("its address is one of this very machine")
    content = bytearray()
    for chunk in http.stream(url):
        content += chunk
        if len(content) > _PICTURE_BYTES:
            raise NotAModel("the picture is larger than 32 MB")
    for begin, ending in _PICTURES:
        if content.startswith(begin):
            return ending, bytes(content)
    raise NotAModel("it is no PNG and no JPEG picture")


def _facts(card: Card) -> dict[str, object]:
    """Return the metadata that AUTOMATIC1111 and its forks read (modules/ui_extra_networks_user_metadata.py)."""
    base = card.base or ""
    version = next((name for begin, name in _VERSIONS if base.startswith(begin)), "Unknown")
    return {
        "description": f"{base}\n{card.page}".strip(),
        "sd version": version,
        "activation text": ", ".join(card.words),
        "preferred weight": 0,
        "notes": card.page,
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _item(model: Item, name: str, content: bytes, making: Making) -> Item:
    sha256 = hashlib.sha256(content).hexdigest()
    path = making.folder / f"{sha256[:16]}-{len(content)}"
    if not path.exists():  # a second write would look like a change of the file
        path.write_bytes(content)
    artifact = Artifact(
        source=model.artifact.source,
        name=name,
        size=len(content),
        origin=LocalFile(path, path.stat().st_mtime_ns),
        identity=sha256[:8],
        digest=Digest(sha256),
        kind=model.kind,
    )
    place = placement.join(making.root, model.folder, name)
    return Item(artifact, model.kind, name, Route.LOCAL, place, model.folder, beside=model.path)
