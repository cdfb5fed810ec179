"""References → items: parsed, resolved, identified and placed; all errors are reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from uploader import placement
from uploader.artifact import Artifact, Digest, Kind, LocalFile, WebFile
from uploader.commands.push.plan import Item, choose_route, clashes
from uploader.commands.push.request import PushRequest
from uploader.commands.push.shared_results import SharedResults, key_of
from uploader.errors import KindUnplaceable, RouteUnavailable, Several, UploaderError, UsageError
from uploader.events import Message, Observer, silence
from uploader.identify import choose_kind, refuse, warnings
from uploader.identify.read import identify_source
from uploader.profile import Target, WebUI
from uploader.reference import PathReference, UrlReference, parse
from uploader.reference.display import shown_reference
from uploader.retry import Retry
from uploader.sources import FIRST_CHOICE, Choice, Sources, open_stream, resolve
from uploader.steps import Route

T = TypeVar("T")


@dataclass(frozen=True)
class Fault:
    """A reference that cannot be pushed. `source` contains no secret."""

    source: str
    error: UploaderError


@dataclass(frozen=True)
class Place:
    """What determines where files go: the target, its WebUI and its folders."""

    target: Target
    webui: WebUI
    folders: dict[Kind, str]


class Resolver:
    """Resolves all references of one push to one target. `shared` is common to the pushes to several targets."""

    def __init__(
        self,
        request: PushRequest,
        place: Place,
        sources: Sources,
        retry: Retry,
        observer: Observer = silence,
        shared: SharedResults | None = None,
    ) -> None:
        self._shared = shared or SharedResults()
        self._request = request
        self._observer = observer
        self._retry = retry
        self._place = place
        self.sources = sources
        self._choice = Choice(request.prefer or FIRST_CHOICE.prefer, request.file)
        self._texts: dict[str, str] = {}
        self.faults: list[Fault] = []

    def run(self) -> list[Item]:
        """Return the items. `faults` then holds the errors of all faulty references."""
        artifacts = self._artifacts()
        request = self._request
        for option, value in (("--name", request.name), ("--sha256", request.sha256)):
            if value is not None and len(artifacts) > 1:
                raise UsageError(
                    f"{option} is for one file, and there are {len(artifacts)}", remedy="Push them one by one."
                )
        items: list[Item] = []
        for artifact in artifacts:
            items += self._caught(artifact.source, partial(self._items, artifact))
        self.faults += [Fault(item.artifact.source, error) for item, error in clashes(items)]
        return items

    def again(self, item: Item) -> Item | None:
        """Resolve the source of an item again after its file changed.

        Return None where the new file takes another route or place. Raises what is wrong with it.
        """
        for artifact in self._resolved(self._texts[key_of(item.artifact)], fresh=True):
            now = self._item(artifact, fresh=True)
            if item.route is Route.SERVER and not now.here:  # the server decided that route, not the artifact
                now = replace(now, route=item.route, way=item.way)
            if (now.path, now.route) == (item.path, item.route):
                return now
        return None

    def _artifacts(self) -> list[Artifact]:
        found: dict[str, Artifact] = {}
        for text in dict.fromkeys(self._request.sources):
            for artifact in self._caught(shown_reference(text), partial(self._resolved, text)):
                found.setdefault(key_of(artifact), artifact)
                self._texts.setdefault(key_of(artifact), text)
        return list(found.values())

    def _resolved(self, text: str, *, fresh: bool = False) -> list[Artifact]:
        reference = parse(text)
        if self._choice.file is not None and isinstance(reference, PathReference | UrlReference):
            raise UsageError(
                "--file names one of several files that a source has, and this reference is one file",
                remedy="Leave it out; what the file is called on the server is said by --name.",
            )
        call = partial(self._retry, lambda: resolve(reference, self.sources, self._choice))
        return call() if fresh else self._shared.once("reference", text, call)

    def _items(self, artifact: Artifact) -> list[Item]:
        return [self._item(artifact)]

    def _item(self, artifact: Artifact, *, fresh: bool = False) -> Item:
        request = self._request
        route = choose_route(artifact, request.via)
        call = partial(
            identify_source,
            partial(open_stream, artifact, self.sources),
            artifact.size,
            artifact.name,
            self._retry,
        )
        identity = call() if fresh else self._shared.once("identity", key_of(artifact), call)
        name = placement.complete_name(request.name or artifact.name, identity.extension)
        refuse(identity, name, allow_pickle=request.allow_pickle)
        here = ""
        if identity.pickle is not None and not request.allow_pickle:
            route, here = self._route_of_pickle(artifact, route)
        kind = choose_kind(identity, told=artifact.kind, wanted=request.kind)
        if kind is None:
            raise KindUnplaceable(
                f"{artifact.name} does not show what kind of model it is",
                remedy="Say it with --kind: " + ", ".join(kind.value for kind in Kind) + ".",
            )
        place = placement.place(name, kind, self._place.webui, self._place.folders, self._place.target.root)
        return Item(
            replace(artifact, digest=self._promised(artifact), kind=kind),
            kind,
            place.name,
            route,
            place.path,
            place.folder,
            structure=identity.complete is True,
            here=here,
            warnings=warnings(identity, place.name, kind, self._place.webui, told=artifact.kind, wanted=request.kind),
        )

    def _promised(self, artifact: Artifact) -> Digest | None:
        """Return the sha256 that the file must have: the user's, else the publisher's. Add a note when they differ."""
        own, published = self._request.sha256, artifact.digest
        if own is not None and published is not None and own != published:
            differs = (
                f"{artifact.name}: its publisher tells another sha256 than --sha256, which is the one that counts:"
            )
            self._observer(Message(f"{differs}\n  published {published}\n  --sha256  {own}", "note"))
        return own or published

    def _route_of_pickle(self, artifact: Artifact, route: Route) -> tuple[Route, str]:
        """Return the route of a pickle, and why it must be that one.

        The ranges that were scanned may differ from the bytes that are sent later. Without a digest to hold them to,
        the whole file is scanned on this disk first. The digest of a mirror is its own word, not the publisher's.
        """
        service = artifact.origin.service if isinstance(artifact.origin, WebFile) else None
        mirrored = service is not None and self.sources.endpoint(service).replaced
        vouched = (artifact.digest is not None and not mirrored) or self._request.sha256 is not None
        if vouched or isinstance(artifact.origin, LocalFile) or self._request.via == "local":
            return route, ""
        why = "it is a pickle without a published sha256, and is looked through as a whole before it is placed"
        if self._request.via == "auto":
            return Route.LOCAL, why
        raise RouteUnavailable(
            f"{artifact.source} cannot go by route {route}: {why}",
            remedy="Leave --via out, give its --sha256, or say --allow-pickle if you trust its maker.",
        )

    def _caught(self, source: str, call: Callable[[], list[T]]) -> Iterator[T]:
        try:
            yield from call()
        except Several as several:
            self.faults += [Fault(source, error) for error in several.faults]
        except UploaderError as error:
            self.faults.append(Fault(source, error))
