"""After a push: tell the WebUI of the new models, and ask whether it lists them. This never fails a push."""

from __future__ import annotations

import posixpath
import threading
import traceback
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from uploader.artifact import Kind
from uploader.errors import Defect, UploaderError, UsageError
from uploader.events import Message
from uploader.profile import Api, Target
from uploader.remote.interface import Connection
from uploader.remote.pool import ConnectionPool
from uploader.result import Notice, Outcome
from uploader.session.session import Session
from uploader.webui import Listed, Member, Refreshed, find
from uploader.webui.client import WebUIClient
from uploader.webui.connect import NO_ADDRESS, address_of, reached

_LOAD_TIMES = 6
"""Times as long as any other answer that loading a checkpoint into memory may take."""

_CHECKPOINTS = (Kind.CHECKPOINT, Kind.DIFFUSION_MODEL)
_WHY = "`uploader webui` tells more."
_STOPPED = "You stopped it before the WebUI was told. Press the refresh button of its list."


def check_wishes(*, notify: bool, select: bool, detach: bool) -> None:
    """Raise UsageError for options of one push that do not go together."""
    if select and not notify:
        raise UsageError("--select and --no-notify do not go together", remedy="Leave one of them out.")
    if select and detach:
        raise UsageError(
            "--select and --detach do not go together: nothing is there yet that could be switched to",
            remedy="Leave one of them out.",
        )


def check_switch(target: Target, *, select: bool) -> None:
    """Raise UsageError where a target's WebUI cannot be switched."""
    if select and address_of(target) is None:
        raise UsageError(f"the WebUI of {target.name} cannot be switched: its address is not known", remedy=NO_ADDRESS)


def notify(
    outcomes: Sequence[Outcome],
    target: Target,
    session: Session,
    pool: ConnectionPool,
    *,
    select: bool,
    cancelled: threading.Event,
) -> list[Outcome]:
    """Return the outcomes with what the WebUI said of each file that is on the server.

    Raises no error of its own. A WebUI that is off, refuses or hangs is reported in the notices, after 10 seconds of
    silence at most. Ctrl-C sets `cancelled`.
    """
    there = [outcome for outcome in outcomes if _is_there(outcome)]
    if not there:
        return list(outcomes)
    if address_of(target) is None:
        return _unaided(outcomes, session.profiles.webui(target.webui).api)
    session.observer(Message(f"{target.name}: telling the WebUI", "debug"))
    told: dict[int, Notice] = {}
    telling = _Telling(target, session, told)
    try:
        with pool.lease() as connection:
            telling.run(there, connection, select=select)
    except UploaderError as error:
        telling.give_up(there, _sentence(error))
    except Exception as error:  # noqa: BLE001 - a defect here does not undo what became of the files
        session.observer(Message("".join(traceback.format_exception(error)).rstrip(), "debug"))
        telling.give_up(there, _sentence(Defect.of(error)))
    except KeyboardInterrupt:
        cancelled.set()
        telling.give_up(there, _STOPPED)
    return [replace(outcome, webui=told.get(id(outcome), outcome.webui)) for outcome in outcomes]


def _unaided(outcomes: Sequence[Outcome], api: Api | None) -> list[Outcome]:
    """Return the outcomes for a WebUI without an address. Only InvokeAI would never see the file by itself."""
    if api is not Api.INVOKEAI:
        return list(outcomes)
    notice = Notice(False, None, f"InvokeAI lists only what it was told of, and its address is not known. {NO_ADDRESS}")
    return [replace(outcome, webui=notice) if _is_there(outcome) else outcome for outcome in outcomes]


def untold(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of a push that was stopped before its WebUI was told."""
    return [
        replace(outcome, webui=Notice(False, None, _STOPPED)) if _is_there(outcome) else outcome for outcome in outcomes
    ]


def _is_there(outcome: Outcome) -> bool:
    """Return True if the file is on the server, in the folder of its kind."""
    return outcome.status in ("placed", "kept") and outcome.kind is not None and outcome.path is not None


@dataclass
class _Telling:
    """One WebUI, told of one push. `told` are the notices, by the outcomes' identity."""

    target: Target
    session: Session
    told: dict[int, Notice]

    def run(self, there: Sequence[Outcome], connection: Connection, *, select: bool) -> None:
        with reached(self.target, self.session, connection) as (service, member):
            self._compare(member)
            kinds: dict[Kind, list[Outcome]] = defaultdict(list)
            for outcome in there:
                kinds[outcome.kind or Kind.OTHER].append(outcome)
            listed: list[tuple[Outcome, Listed]] = []
            for kind, outcomes in kinds.items():
                try:
                    listed += self._tell(kind, outcomes, connection, member)
                except UploaderError as error:
                    self.give_up(outcomes, _sentence(error))
            if select:
                self._select(there, listed, service, member)

    def give_up(self, outcomes: Sequence[Outcome], remedy: str) -> None:
        """Note for each outcome without a notice why its WebUI was not told."""
        for outcome in outcomes:
            self.told.setdefault(id(outcome), Notice(False, None, remedy))

    def _tell(
        self, kind: Kind, outcomes: Sequence[Outcome], connection: Connection, member: Member
    ) -> list[tuple[Outcome, Listed]]:
        paths = [connection.files.resolve(outcome.path or "") for outcome in outcomes]
        refreshed = member.refresh(kind, paths)
        models = member.models(kind)
        found = []
        for outcome, path in zip(outcomes, paths, strict=True):
            model = (
                None
                if models is None
                else find(models, outcome.name or posixpath.basename(path), posixpath.dirname(path))
            )
            self.told[id(outcome)] = _notice(kind, path, refreshed, models, model, member)
            if model is not None:
                found.append((outcome, model))
        return found

    def _compare(self, member: Member) -> None:
        """Report a WebUI other than the saved one, and go on: it may read the same folders."""
        expected = self.session.profiles.webui(self.target.webui)
        if expected.api not in (None, member.api):
            self.session.observer(
                Message(
                    f"{self.target.name} is saved as {expected.name}, but {_called(member, self.session)} answers at "
                    "its address",
                    "note",
                )
            )

    def _select(
        self,
        there: Sequence[Outcome],
        listed: Sequence[tuple[Outcome, Listed]],
        service: WebUIClient,
        member: Member,
    ) -> None:
        """Switch to the last checkpoint of the push."""
        wanted = [outcome for outcome in there if outcome.kind in _CHECKPOINTS]
        if not wanted:
            self.session.observer(Message("--select: no checkpoint was pushed, so the WebUI was not switched", "note"))
            return
        last = wanted[-1]
        model = next((model for outcome, model in listed if outcome is last), None)
        if model is None:
            self._add(last, "It was not switched to, as it is not in the WebUI's list.")
            return
        service.allow(_LOAD_TIMES * self.session.webui_seconds)
        try:
            by_hand = member.select(model)
        except UploaderError as error:
            by_hand = f"It was not switched to: {_sentence(error)}"
        self._add(last, by_hand)

    def _add(self, outcome: Outcome, remedy: str | None) -> None:
        notice = self.told[id(outcome)]
        joined = " ".join(text for text in (notice.remedy, remedy) if text)
        self.told[id(outcome)] = replace(notice, remedy=joined or None)


def _notice(
    kind: Kind, path: str, refreshed: Refreshed, models: list[Listed] | None, model: Listed | None, member: Member
) -> Notice:
    if model is not None:
        return Notice(refreshed.done, True, model.note or (refreshed.remedy if refreshed.done else None))
    if models is None:
        remedy = refreshed.remedy or "The WebUI does not tell whether it lists it. Look at its page."
        return Notice(refreshed.done, None, remedy)
    if not refreshed.done:
        return Notice(False, False, refreshed.remedy)
    folders = member.folders().get(kind, ())
    if folders and not any(_same(posixpath.dirname(path), folder) for folder in folders):
        return Notice(
            True,
            False,
            f"The WebUI reads models of the kind {kind} from {', '.join(folders)}, and not from "
            f"{posixpath.dirname(path)}. `uploader login` again offers to use its folders.",
        )
    return Notice(True, False, f"The WebUI has looked and does not list it. {_WHY}")


def _same(ours: str, theirs: str) -> bool:
    """Return True if two absolute folders may be one: an account may see only a part of the machine's tree."""
    theirs = theirs.rstrip("/")
    return ours == theirs or ours.startswith(f"{theirs}/") or theirs.endswith(ours) or ours.endswith(theirs)


def _called(member: Member, session: Session) -> str:
    webuis = session.profiles.webuis
    return " or ".join(webuis[id_].name if id_ in webuis else id_ for id_ in member.ids)


def _sentence(error: UploaderError) -> str:
    """Return what was not done, and how to get it done."""
    first = f"The WebUI was not told: {error.message}."
    return f"{first} {error.remedy}" if error.remedy else first
