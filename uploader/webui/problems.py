"""Why a WebUI does not list a file on its disk, or lists it as something else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from uploader.artifact import Kind
from uploader.errors import UploaderError
from uploader.identify import Identity
from uploader.placement import model_extension
from uploader.profile import WebUI
from uploader.scan.models import ModelFile, ModelFolders
from uploader.webui import Listed, find


@dataclass(frozen=True)
class Problem:
    """One file. `path` is below the target's root, `size` in bytes. `kind` is that of its bytes, else of its folder."""

    path: str
    name: str
    kind: Kind | None
    size: int
    listed: bool
    reason: str


def find_problems(
    disk: ModelFolders, lists: Mapping[Kind, Sequence[Listed]], folders: Mapping[Kind, str], profile: WebUI
) -> Iterator[Problem]:
    """Yield the files of a disk that have a problem.

    `lists` are the models that the WebUI lists, without the kinds that it does not tell. `folders` says where each kind
    belongs.
    """
    for file in disk.files():
        kinds = disk.kinds_at(file)
        listed = any(find(lists[kind], file.name) is not None for kind in kinds if kind in lists)
        identity: Identity | None = None
        reason = _by_name(file, kinds, listed, profile)
        if reason is None and file.size and model_extension(file.name, profile.extensions):
            seen = disk.identity(file)
            if isinstance(seen, UploaderError):
                reason = None if listed else f"cannot be read: {seen.message}"
            else:
                identity = seen
                reason = _by_bytes(file, kinds, identity, folders)
        if reason is None and not listed and _would_be_listed(file, kinds, lists, profile):
            reason = "nothing is wrong with it as far as can be seen: refresh the WebUI's list, or push it again"
        if reason is not None:
            kind = identity.kind if identity is not None else None
            yield Problem(file.path, file.name, kind or (kinds[0] if kinds else None), file.size, listed, reason)


def _by_name(file: ModelFile, kinds: Sequence[Kind], listed: bool, profile: WebUI) -> str | None:
    if not kinds:
        return None
    if file.name.endswith(".part"):
        return "truncated: push the same file again, and it goes on where it stopped"
    if not listed and model_extension(file.name, profile.extensions) is None:
        return f"wrong extension: {profile.name} lists no file that ends like this"
    return "truncated: it is empty" if file.size == 0 else None


def _by_bytes(file: ModelFile, kinds: Sequence[Kind], identity: Identity, folders: Mapping[Kind, str]) -> str | None:
    kind = identity.kind
    if kind is not None and kind not in kinds and kind in folders and not _beside_its_checkpoint(file, kind):
        return f"wrong folder: it is of the kind {kind}, which belongs into {folders[kind]}"
    if not kinds:
        return None
    problems = "; ".join(identity.problems)
    if identity.complete is False:
        return f"truncated: {problems}"
    return f"no model: {problems}" if problems else None


def _beside_its_checkpoint(file: ModelFile, kind: Kind) -> bool:
    return kind is Kind.VAE and ".vae." in file.name.lower()


def _would_be_listed(
    file: ModelFile, kinds: Sequence[Kind], lists: Mapping[Kind, Sequence[Listed]], profile: WebUI
) -> bool:
    return (
        any(kind in lists for kind in kinds)
        and model_extension(file.name, profile.extensions) is not None
        and ".vae." not in file.name.lower()
    )
