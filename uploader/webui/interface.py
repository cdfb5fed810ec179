"""What every WebUI adapter must do: list a WebUI's models, and make it look for new ones."""

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
    """A model as a WebUI lists it.

    `name` is its own name for it: a file name, a path below its folder, or either without the ending. `path` is
    absolute on its machine, None if not told. `note` says what is wrong with it.
    """

    name: str
    path: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class Refreshed:
    """The result of a refresh. `done`: the WebUI knows its folders as they are now.

    `remedy` is what a person must press, or what is left to do; None when nothing is.
    """

    done: bool
    remedy: str | None = None


class Member(Protocol):
    """One WebUI that answers. Its calls raise NetworkError, CredentialsRefused, CertificateUnknown, WebUIRefused only.

    A member asks through its WebUIClient alone, so one time limit holds for all its calls. It keeps nothing of an
    answer but what these calls return: WebUIs send their command lines, and those hold passwords.
    """

    # `find(client)`, the member's entry in MEMBERS, changes nothing on the WebUI. It returns None when another WebUI
    # or a web page answers, and raises what the connection raises.

    @property
    def api(self) -> Api: ...

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of the profiles that it may have: some WebUIs look the same from outside."""

    def version(self) -> str | None:
        """Return its version, None if it does not tell."""

    def current(self) -> str | None:
        """Return the loaded checkpoint, None if there is none or it does not tell."""

    def folders(self) -> Mapping[Kind, tuple[str, ...]]:
        """Return the absolute folders that it reads, on its own machine. A kind that it does not tell is missing."""

    def refresh(self, kind: Kind, paths: Sequence[str]) -> Refreshed:
        """Make it look for new models of a kind. `paths` are the absolute paths of the new files on the server."""
        # Never restarts it, and never unloads a model: it may be making a picture.
        # Without a call for this kind it returns `done=False` with the button to press, and raises nothing.

    def models(self, kind: Kind) -> list[Listed] | None:
        """Return its list of a kind, None if it does not tell."""
        # An empty list says that it has none. An older version without the call returns None.

    def select(self, model: Listed) -> str | None:
        """Switch to a checkpoint that it lists. Returns what to do by hand where it has no call for that."""


# reading answers --------------------------------------------------------------------------------------


def refused(reply: Reply, what: str) -> WebUIRefused:
    """Return the error for an unexpected answer. `what` is the call, such as `the list of checkpoints`."""
    page = " with a web page" if reply.kind == "text/html" else ""
    if reply.status >= 500:
        return WebUIRefused(
            f"the WebUI failed over {what} ({reply.status})", remedy="Look at the WebUI's own log, or restart it."
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
    """Return a list of tables. Raises WebUIRefused for any other answer."""
    if not reply.ok or not isinstance(reply.data, list):
        raise refused(reply, what)
    return [item for item in reply.data if isinstance(item, dict)]


def texts(reply: Reply, what: str) -> list[str]:
    """Return a list of texts. Raises WebUIRefused for any other answer."""
    if not reply.ok or not isinstance(reply.data, list):
        raise refused(reply, what)
    return [item for item in reply.data if isinstance(item, str)]


def table(reply: Reply, what: str) -> Mapping[str, object]:
    """Return a table. Raises WebUIRefused for any other answer."""
    if not reply.ok or not isinstance(reply.data, dict):
        raise refused(reply, what)
    return reply.data


def text_of(table: Mapping[str, object], *keys: str) -> str | None:
    """Return the value of the first of these keys that holds text."""
    for key in keys:
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
    return None


def answers(service: WebUIClient, path: str) -> object:
    """Return an address's answer in JSON, None if it has none: another WebUI, or a web page.

    Raises NetworkError, CertificateUnknown, CredentialsRefused.
    """
    reply = service.get(path)
    return reply.data if reply.ok and reply.json else None


# finding a file in a list -----------------------------------------------------------------------------


def find(models: Iterable[Listed], name: str, folder: str | None = None) -> Listed | None:
    """Return the model that a file is listed as, by its name: new files have no hash yet.

    A model in another folder than the absolute `folder` is another file, if the WebUI tells folders.
    """
    wanted, models = name.casefold(), list(models)
    named = [model for model in models if wanted in _names(model)] or [
        model for model in models if stem(wanted) in _names(model) and _bare(model)
    ]
    here = (model for model in named if folder is None or (model.path and may_be_one(folder, _folder(model.path))))
    return next(here, None) or next((model for model in named if model.path is None), None)


def may_be_one(ours: str, theirs: str) -> bool:
    """Return True if two absolute folders may be one: an account may see only a part of the machine's tree."""
    ours, theirs = ours.rstrip("/").casefold(), theirs.rstrip("/").casefold()
    return ours == theirs or theirs.endswith(ours) or ours.endswith(theirs)


def _folder(path: str) -> str:
    return posixpath.dirname(path.replace("\\", "/"))


def stem(name: str) -> str:
    """Return a file's name without the ending of a model. Any other ending stays."""
    bare, ending = posixpath.splitext(name)
    return bare if ending.lower() in MODEL_EXTENSIONS else name


def _names(model: Listed) -> set[str]:
    return {posixpath.basename(text.replace("\\", "/")).casefold() for text in (model.path or "", model.name) if text}


def _bare(model: Listed) -> bool:
    """Return True if the WebUI shows the name without its ending, so that only the stem can be compared."""
    return model.path is None and stem(model.name) == model.name
