"""A push to one target or to many: references are resolved once, and no target waits for another."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from uploader.commands.push.plan import Item, PushStep, refused
from uploader.commands.push.request import PushRequest
from uploader.commands.push.run import Push
from uploader.commands.push.shared_results import SharedResults
from uploader.credentials import WEBUI_VARIABLE
from uploader.errors import Defect, Interrupted, RouteUnavailable, UploaderError, UsageError
from uploader.events import Began, Ended, Event, Message, Observer, Phase, Planned, Progress
from uploader.http import Http
from uploader.profile import Target
from uploader.reference.display import shown_reference
from uploader.result import Failure, Outcome, Report
from uploader.session.session import Session
from uploader.sources import Sources
from uploader.steps import Plan
from uploader.threads import WorkerGroup
from uploader.webui.connect import place_of
from uploader.webui.notify import check_wishes

_STOP_SECONDS = 4.0
"""Seconds that stopping the downloads on the servers may take."""

_GRACE_SECONDS = 1.0


def push(request: PushRequest, session: Session) -> Report | Plan[PushStep]:
    """Put models into the folders of one target or several.

    An error about one reference is in the report. A server that cannot be reached is there too: each of its items
    fails. Raises UploaderError when a target is unknown, a profile is wrong, or options contradict each other.
    """
    check_wishes(notify=request.notify, select=request.select, detach=request.detach)
    targets = session.choose_targets(request.to)
    with Http(allow_http=request.allow_http) as http, ExitStack() as kept:
        sources = session.sources(http)
        if len(targets) == 1:
            return Push(request, session, targets[0], sources, SharedResults(), kept).run()
        return _FanOut(request, _for_all(session, targets, notify=request.notify), targets, sources, kept).run()


def _for_all(session: Session, targets: Sequence[Target], *, notify: bool) -> Session:
    """Return the session for several targets, without the WebUI sign-in of the environment.

    That sign-in belongs to one WebUI, and the program does not know which one.
    """
    places = {place for target in targets if (place := place_of(target)) is not None}
    if not notify or len(places) < 2 or not session.environ.get(WEBUI_VARIABLE):
        return session
    text = (
        f"${WEBUI_VARIABLE} is given to none of the {len(places)} WebUIs of this push, as it is one's alone; "
        "`uploader login` keeps a sign-in for each"
    )
    session.observer(Message(text, "note"))
    return session.without(WEBUI_VARIABLE)


class _FanOut:
    """One push to several targets, each with connections and a thread of its own."""

    def __init__(
        self, request: PushRequest, session: Session, targets: Sequence[Target], sources: Sources, kept: ExitStack
    ) -> None:
        self._request = request
        self._session = session
        self._targets = targets
        self._sources = sources
        self._kept = kept
        self._answers: dict[str, Report | Plan[PushStep]] = {}
        self._pushes: dict[str, tuple[Push, list[Item]]] = {}

    def run(self) -> Report | Plan[PushStep]:
        """Return the outcomes of all targets, in the order in which they were named."""
        shared = SharedResults()
        for target in self._targets:
            self._resolve(target, shared)
        sizes = [item.artifact.size or 0 for _, items in self._pushes.values() for item in items]
        if not self._request.dry_run:
            self._session.observer(Planned(len(sizes), sum(sizes)))
        self._carry_out()
        return self._answer()

    def _resolve(self, target: Target, shared: SharedResults) -> None:
        session = self._session.observed_by(_named(target.name, self._session.observer))
        try:
            push = Push(self._request, session, target, self._sources, shared, self._kept)
        except (RouteUnavailable, UsageError) as error:  # an error of this target only
            sources = [shown_reference(text) for text in self._request.sources]
            failed = [Outcome(target.name, source, "failed", error=Failure.of(error)) for source in sources]
            self._answers[target.name] = Report(tuple(failed))
            return
        items = push.resolve()
        if isinstance(items, Report):
            self._answers[target.name] = items
        else:
            self._pushes[target.name] = push, items

    def _carry_out(self) -> None:
        pushes = list(self._pushes.items())
        group = WorkerGroup(lambda number: self._one(*pushes[number]), name="push", stop=lambda: None)
        try:
            group.grow(len(pushes))
            while not group.wait(0.1):  # in short waits, so that Ctrl-C is heard
                pass
        except KeyboardInterrupt:
            stopping = WorkerGroup(lambda number: pushes[number][1][0].stop(), name="stop", stop=lambda: None)
            stopping.grow(len(pushes))
            stopping.wait(_STOP_SECONDS)
            group.wait(_GRACE_SECONDS)

    def _one(self, name: str, pushing: tuple[Push, list[Item]]) -> None:
        push, items = pushing
        try:
            self._answers[name] = push.carry_out(items)
        except UploaderError as error:
            self._answers[name] = self._failed(push, items, error)
        except Exception as error:  # noqa: BLE001 - a defect at one target must not lose the outcomes of the others
            self._answers[name] = self._failed(push, items, Defect.of(error))

    def _failed(self, push: Push, items: list[Item], error: UploaderError) -> Report | Plan[PushStep]:
        if not self._request.dry_run:
            return push.failed(items, error)
        return Plan(push.target, "", [replace(refused(item, error), target=push.target) for item in items])

    def _answer(self) -> Report | Plan[PushStep]:
        stopped = Interrupted("stopped by you", remedy="Run the same command again: it goes on from what arrived.")
        for name, (push, items) in self._pushes.items():
            if name not in self._answers:
                dry = self._request.dry_run
                self._answers[name] = self._failed(push, items, stopped) if dry else push.left(items, stopped)
        answers = [self._answers[target.name] for target in self._targets]
        plans = [answer for answer in answers if isinstance(answer, Plan)]
        if len(plans) == len(answers):
            return Plan(", ".join(plan.target for plan in plans), "", [step for plan in plans for step in plan.steps])
        # As with one target, a dry run with faulty references has a report and no plan.
        reports = [answer for answer in answers if isinstance(answer, Report)]
        return Report(
            tuple(outcome for report in reports for outcome in report.outcomes),
            stopped=any(report.stopped for report in reports),
        )


def _named(target: str, observer: Observer) -> Observer:
    """Return an observer that names the target in its events. It drops `Planned`, which was sent once for all."""

    def tell(event: Event) -> None:
        match event:
            case Planned():
                return
            case Message(text):
                observer(replace(event, text=f"{target}: {text}"))
            case Began(item, name):
                observer(replace(event, item=_row(target, item), name=f"{target}: {name}"))
            case Phase(item) | Progress(item) | Ended(item):
                observer(replace(event, item=_row(target, item)))

    return tell


def _row(target: str, item: str) -> str:
    return f"{target}\n{item}"
