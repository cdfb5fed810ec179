"""Print the facts of a WebUI."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uploader.cli.format import size
from uploader.cli.show.tables import Fact, print_facts
from uploader.cli.terminal import print_answer

if TYPE_CHECKING:
    from uploader.api import WebUIFacts
    from uploader.profiles import Profiles


def _differences(facts: WebUIFacts) -> Iterator[Fact]:
    for one in facts.differences:
        yield "folders", f"it reads {one.kind} from {', '.join(one.theirs)}, and not from {one.ours}"


def print_webui(facts: WebUIFacts, profiles: Profiles) -> None:
    """Print what a WebUI is, and the files with a problem."""
    print_facts(webui_facts(facts, profiles))
    if not facts.problems:
        return
    print_answer("")
    for trouble in facts.problems:
        print_answer(f"{trouble.path} ({size(trouble.size)}, {'listed' if trouble.listed else 'not listed'})")
        print_answer(f"  {trouble.reason}")


def webui_facts(facts: WebUIFacts, profiles: Profiles) -> Iterator[Fact]:
    known = profiles.webuis
    yield "WebUI", " or ".join(known[id_].name if id_ in known else id_ for id_ in facts.webuis)
    if not facts.fits:
        yield "WebUI", f"that is another one than {facts.target} is saved with"
    yield "address", facts.address
    yield "version", facts.version or "not told"
    yield "checkpoint", facts.checkpoint or "not told"
    for kind, count in facts.models.items():
        yield "models", f"{kind}: {count}"
    yield from _differences(facts)
    if not facts.problems:
        yield "files", "nothing is wrong with any that could be looked into"
