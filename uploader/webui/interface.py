"""What every member of this family owes: one WebUI's API, asked for its models and told of new ones."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from uploader.artifact import MODEL_EXTENSIONS, Kind
from uploader.errors import WebUIRefused
from uploader.profile import Api
from uploader.webui.client import Reply, WebUIClient


@dataclass(frozen=True)
class Listed:
    """A model as a WebUI lists it. `name` is what it calls it: a file name, a path below its folder, or either
    without the ending. `path` is absolute on its machine, None if not told; `note` what it makes known against it."""

    name: str
    path: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Refreshed:
    """What came of a refresh. `done`: the WebUI looks at its folders from now on as they are. `remedy` is what a
    person must press for it, or what is left to do; None when nothing is."""

    done: bool
    remedy: str | None = None


class Member(Protocol):
    """One WebUI, reached. Calls raise NetworkError, CredentialsRefused, CertificateUnknown, WebUIRefused."""

    @property
    def api(self) -> Api: ...

    @property
    def ids(self) -> tuple[str, ...]:
        """The WebUIs that it may be, by the ids of their profiles: some cannot be told apart from outside."""

    def version(self) -> str | None:
        """None if it does not tell."""

    def current(self) -> str | None:
        """The checkpoint that it works with, None if it has none or does not tell."""

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        """The absolute folders that it reads, on its own machine; without the kinds of which it does not tell.

        Nothing but folders is kept of what it says: command lines hold passwords."""

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:
        """Lets it look for new models of a kind. `paths` are the absolute ones of the new files on the server."""

    def models(self, kind: Kind) -> list[Listed] | None:
        """What it lists of a kind; None where it does not tell."""

    def select(self, model: Listed) -> str | None:
        """Switches to a checkpoint that it lists. Returns what to do by hand where that cannot be asked of it."""


# reading answers --------------------------------------------------------------------------------------


def refused(reply: Reply, what: str) -> WebUIRefused:
    """Names an answer that is not the one that was wanted; `what` is the call, such as `the list of checkpoints`."""
    page = " with a web page" if reply.kind == "text/html" else ""
    if reply.status >= 500:
        return WebUIRefused(
            f"the WebUI failed over {what} ({reply.status})", remedy="Look at the WebUI's own log, or start it anew."
        )
    if 300 <= reply.status < 400:
        return WebUIRefused(
            f"the WebUI's address leads elsewhere ({reply.status}), as a login page does",
            remedy="Give the address of the WebUI itself, or reach it through the SSH connection by --webui-tunnel.",
        )
    return WebUIRefused(
        f"the WebUI does not know {what} (it answers {reply.status}{page})",
        remedy="Start it with its API on (A1111 and its kin: --api), and check its address.",
    )


def items(reply: Reply, what: str) -> list[Mapping[str, object]]:
    """A list of tables. Raises WebUIRefused for anything else."""
    if not reply.ok or not isinstance(reply.data, list):
        raise refused(reply, what)
    return [item for item in reply.data if isinstance(item, dict)]


def texts(reply: Reply, what: str) -> list[str]:
    """A list of texts. Raises WebUIRefused for anything else."""
    if not reply.ok or not isinstance(reply.data, list):
        raise refused(reply, what)
    return [item for item in reply.data if isinstance(item, str)]


def table(reply: Reply, what: str) -> Mapping[str, object]:
    """Raises WebUIRefused for what is no table."""
    if not reply.ok or not isinstance(reply.data, dict):
        raise refused(reply, what)
    return reply.data


def text_of(table: Mapping[str, object], *keys: str) -> str | None:
    """The first of these keys that holds text."""
    for key in keys:
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
    return None


def answers(service: WebUIClient, path: str) -> object:
    """The JSON that an address answers with, None where it has none: another WebUI, or a web page. Raises what a line
    raises, and CredentialsRefused."""
    reply = service.get(path)
    return reply.data if reply.ok and reply.json else None


# finding a file in a list -----------------------------------------------------------------------------


def find(models: Iterable[Listed], name: str, folder: str | None = None) -> Listed | None:
    """Finds the model that a file is listed as, by its name: new ones have no hash yet. In another place than its
    absolute `folder` lies another file of that name, where the WebUI tells places."""
    wanted, models = name.casefold(), list(models)
    named = [model for model in models if wanted in _names(model)] or [
        model for model in models if stem(wanted) in _names(model) and _bare(model)
    ]
    here = (model for model in named if folder is None or (model.path and may_be_one(folder, _folder(model.path))))
    return next(here, None) or next((model for model in named if model.path is None), None)


def may_be_one(ours: str, theirs: str) -> bool:
    """Whether two absolute folders may be one: an account may see only a part of the machine's tree."""
    ours, theirs = ours.rstrip("/").casefold(), theirs.rstrip("/").casefold()
    return ours == theirs or theirs.endswith(ours) or ours.endswith(theirs)


def _folder(path: str) -> str:
    return posixpath.dirname(path.replace("\\", "/"))


def stem(name: str) -> str:
    """A file's name without a model's ending; of another ending nothing is taken."""
    bare, ending = posixpath.splitext(name)
    return bare if ending.lower() in MODEL_EXTENSIONS else name


def _names(model: Listed) -> set[str]:
    return {posixpath.basename(text.replace("\\", "/")).casefold() for text in (model.path or "", model.name) if text}


def _bare(model: Listed) -> bool:
    """Whether the WebUI calls it without its ending, so that the stem is all there is to compare."""
    return model.path is None and stem(model.name) == model.name
