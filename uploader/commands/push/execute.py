"""Execute a plan: send small files together, then large ones, and return an outcome for each step."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from uploader.artifact import LocalFile
from uploader.commands.push.plan import Item, PushStep, choose_route
from uploader.commands.push.remote_listing import RemoteState
from uploader.commands.push.request import PushRequest
from uploader.commands.push.server_route import ServerDownloads
from uploader.commands.push.shared_results import SharedResults
from uploader.errors import ConfigurationError, SourceChanged, UploaderError, UsageError
from uploader.events import Message
from uploader.identify import refuse
from uploader.identify.read import read_identity
from uploader.result import Evidence, Outcome
from uploader.session.placed import mtime_of, note, seen_now, tolerant
from uploader.session.runner import IN_FLIGHT, Runner, Task, Together, run_small_then_large
from uploader.session.target import TargetSession
from uploader.sources import Sources, open_stream
from uploader.steps import Action, Route
from uploader.transfer import CachedDownload, SmallFiles, Upload, UploadJob, UploadResult, is_small
from uploader.transfer.batches import batches


def outcome_of(target: str, item: Item) -> Outcome:
    """Return the outcome of an item before its step has run: failed, with all that the plan knows."""
    return Outcome(
        target,
        item.artifact.source,
        "failed",
        name=item.name,
        kind=item.kind,
        route=item.route.value,
        path=item.path,
        size=item.artifact.size,
        notes=(*item.artifact.notes, *item.warnings),
    )


class Execution:
    """The execution of the steps of one push to one target.

    `resolve_again` resolves the source of an item once more. It returns None when the file now takes another route
    or place.
    """

    def __init__(
        self,
        request: PushRequest,
        target: TargetSession,
        state: RemoteState,
        sources: Sources,
        shared: SharedResults,
        resolve_again: Callable[[Item], Item | None],
    ) -> None:
        self._request = request
        self._target = target
        self._session = target.session
        self._transfer = target.transfer
        self._sources = sources
        self._shared = shared
        self._resolve_again = resolve_again
        self._downloads = ServerDownloads(request, target, sources, shell=state.shell)
        self._made: set[str] = set()
        self._uploads: dict[str, Upload] = {}
        self._failed: dict[str, UploaderError] = {}

    def run(self, steps: Sequence[PushStep]) -> list[Outcome]:
        """Return an outcome for each step, in their order. Send models first, then their sidecars."""
        models = [step for step in steps if step.item.beside is None]
        outcomes = self._run(models) + self._run([step for step in steps if step.item.beside is not None])
        order = {step.path: number for number, step in enumerate(steps)}
        return sorted(outcomes, key=lambda outcome: order[outcome.path or ""])

    def stop(self) -> None:
        """End all work; call it from another thread. The bytes that arrived stay on the server."""
        self._target.cancelled.set()
        self._downloads.stop()
        self._target.stop()
        self._sources.http.close()

    def _run(self, steps: Sequence[PushStep]) -> list[Outcome]:
        small = self._small(steps)
        grouped = {task.item for group in small for task in group.tasks}
        alone = [step for step in steps if step.path not in grouped]
        # The first steps begin right after the listing, so a file that was absent needs no second look.
        first = 0 if small else IN_FLIGHT
        large = [self._task(step, absent=step.listing.is_empty and at < first) for at, step in enumerate(alone)]
        runner = Runner(self._session.observer, self._target.cancelled, self.stop, self._target.pool.most)
        return run_small_then_large(runner, small, large, groups=self._transfer.config.batches_in_flight)

    def _fault(self, step: PushStep) -> UploaderError | None:
        """Return why a step fails before it begins. A sidecar fails with the error of its model."""
        return step.error or self._failed.get(step.item.beside or "")

    # small files --------------------------------------------------------------------------------------

    def _small(self, steps: Sequence[PushStep]) -> list[Together]:
        named = {
            step.path: step
            for step in steps
            if step.action is Action.SEND and _is_local(step.item) and self._fault(step) is None
        }
        jobs = [job for job in (self._job(step.item) for step in named.values()) if is_small(job, self._transfer)]
        if len(jobs) < 2:
            return []
        config = self._transfer.config
        groups = batches(jobs, most=config.batch_files, most_bytes=config.batch_bytes)
        return [self._group(named, SmallFiles(group, self._transfer)) for group in groups]

    def _group(self, named: dict[str, PushStep], files: SmallFiles) -> Together:
        steps = [named[job.item] for job in files.jobs]
        tasks = [self._task(step) for step in steps]
        return Together(
            tuple(replace(task, sent=partial(_sent, files, task)) for task in tasks),
            partial(self._carry_out_group, steps, files),
        )

    def _carry_out_group(self, steps: Sequence[PushStep], files: SmallFiles) -> list[Outcome | UploaderError]:
        for step in steps:
            self._make_folder(step)
        results = files.run()
        return [self._settled(step, results.get(step.path)) for step in steps]

    def _settled(self, step: PushStep, result: UploadResult | None) -> Outcome | UploaderError:
        """Return the outcome of one file of a group. A file without a result is sent alone, which shows its error."""
        try:
            return self._carry_out(step) if result is None else self._placed(step.item, result)
        except UploaderError as error:
            return error

    # one step -----------------------------------------------------------------------------------------

    def _task(self, step: PushStep, *, absent: bool = False) -> Task:
        known = outcome_of(self._target.name, step.item)
        return Task(step.path, known, partial(self._carry_out, step, absent=absent), partial(self._sent_of, step.path))

    def _carry_out(self, step: PushStep, *, absent: bool = False) -> Outcome:
        try:
            if (fault := self._fault(step)) is not None:
                raise fault
            if step.action is Action.KEEP:
                return self._kept(step)
            self._make_folder(step)
            return self._bring_latest(step.item, absent=absent)
        except UploaderError as error:
            self._failed[step.path] = error
            raise

    def _kept(self, step: PushStep) -> Outcome:
        known = step.listing.known
        if known is None or known.evidence is None:
            raise TypeError("a step keeps only what the manifest proves")
        outcome = outcome_of(self._target.name, step.item)
        return replace(outcome, status="kept", sha256=known.sha256, evidence=Evidence(known.evidence))

    def _bring_latest(self, item: Item, *, absent: bool) -> Outcome:
        """Send an item. Start again with the new file when the source replaces it during the transfer."""
        try:
            return self._bring(item, absent=absent)
        except SourceChanged:
            now = None if _is_local(item) else self._resolve_again(item)
            if now is None:
                raise
        self._say(f"{item.name} was replaced at its source meanwhile, and is begun anew")
        return self._bring(now)

    def _bring(self, item: Item, *, absent: bool = False) -> Outcome:
        if item.route is Route.SERVER:
            download = self._downloads.prepare(item, self._job(item))
            try:
                result = download.run()
            except UploaderError as error:
                if not self._downloads.may_take_over(download, error):
                    raise
            else:
                if result is not None:
                    return self._placed(item, result)
                return replace(outcome_of(self._target.name, item), status="started")
            item, absent = replace(item, route=choose_route(item.artifact, "auto")), False
        self._downloads.make_room(item)
        if item.route is Route.RELAY or _is_local(item):
            return self._send(replace(self._job(item), absent=absent), item)
        return self._send_by_disk(item)

    def _send_by_disk(self, item: Item) -> Outcome:
        stream, cache = open_stream(item.artifact, self._sources), self._session.cache
        download = CachedDownload(item.path, item.artifact, stream, cache, self._transfer)
        with self._shared.turn(item.artifact), download.alone() as fetch:
            fetched = self._fetched(item, fetch)
            outcome = self._send(replace(self._job(fetched), proven=True), fetched)
        self._tidy(cache.trim)
        return outcome

    def _fetched(self, item: Item, fetch: CachedDownload) -> Item:
        """Download a link and identify the whole file: its bytes may differ from what the header promised."""
        artifact = fetch.run()
        try:
            with fetch.named_faults():
                identity = read_identity(fetch.path, item.name)
            refuse(identity, item.name, allow_pickle=self._request.allow_pickle)
        except ConfigurationError:  # an error of this disk says nothing against the download
            raise
        except UploaderError:
            self._tidy(fetch.remove)
            raise
        return replace(item, artifact=artifact, structure=identity.complete is True)

    def _send(self, job: UploadJob, item: Item) -> Outcome:
        upload = self._uploads[item.path] = Upload(job, self._transfer)
        return self._placed(item, upload.run())

    def _placed(self, item: Item, result: UploadResult) -> Outcome:
        path, target = self._target.resolve(item.path), self._target
        seen = result.mtime if result.mtime is not None else seen_now(target.with_connection, path)
        tolerant(partial(note, target.manifest, path, item.artifact, result, seen), self._session.observer)
        return replace(
            outcome_of(target.name, item),
            status="kept" if result.kept else "placed",
            sha256=result.sha256,
            evidence=result.evidence,
            bytes_sent=result.bytes_sent,
            resumed_from=result.resumed_from,
        )

    def _job(self, item: Item) -> UploadJob:
        if item.artifact.size is None:
            raise UsageError(f"{item.artifact.source} does not tell its size", remedy="Use --via local.")
        return UploadJob(
            item.path,
            item.artifact,
            partial(open_stream, item.artifact, self._sources),
            self._target.resolve(item.path),
            self._target.name,
            item.artifact.size,
            replace=self._request.replace,
            structure=item.structure,
            verify=self._request.verify,
            mtime=mtime_of(item.artifact),
        )

    def _make_folder(self, step: PushStep) -> None:
        if not step.make:
            return
        folder = posixpath.dirname(self._target.resolve(step.path))
        if folder not in self._made:
            self._target.make_folders([folder])
            self._made.add(folder)

    def _sent_of(self, path: str) -> int:
        return self._uploads[path].sent if path in self._uploads else 0

    def _tidy(self, remove: Callable[[], None]) -> None:
        """Remove downloads. A download that cannot be removed adds a note and does not change the outcome."""
        try:
            remove()
        except ConfigurationError as error:
            self._say(f"a download could not be removed: {error.message}")

    def _say(self, text: str) -> None:
        self._session.observer(Message(text, "note"))


def _sent(files: SmallFiles, task: Task) -> int:
    return files.sent(task.item) + task.sent()


def _is_local(item: Item) -> bool:
    return isinstance(item.artifact.origin, LocalFile)
