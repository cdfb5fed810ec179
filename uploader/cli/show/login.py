"""Print the result of `login`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from uploader.cli.format import size
from uploader.cli.show.tables import Fact, print_facts, shell_text
from uploader.cli.show.webui import _differences
from uploader.cli.terminal import print_answer

if TYPE_CHECKING:
    from uploader.api import LoginResult, TokenResult
    from uploader.profile import Target


def print_login(result: LoginResult) -> None:
    """Print what was saved, and what the server told."""
    print_answer(f"{result.target.name} is {'updated' if result.updated else 'saved'}.")
    print_facts(login_facts(result), indent="  ")
    print_answer(f"Push to it with: uploader push FILE --to {result.target.name}")


def print_token(result: TokenResult) -> None:
    """Print whose token was kept."""
    whose = f" of {result.user}" if result.user else ""
    checked = "" if result.checked else ", unchecked"
    print_answer(f"The token{whose} for {result.title} is in the keyring{checked}.")


def address(target: Target) -> str:
    """Return `user@host:port` as a person writes it, without the parts that are left to ssh's own configuration."""
    host = f"[{target.host}]" if ":" in target.host and target.port else target.host
    user = f"{target.user}@" if target.user else ""
    return f"{user}{host}:{target.port}" if target.port else f"{user}{host}"


def login_facts(result: LoginResult) -> Iterator[Fact]:
    target, facts = result.target, result.facts
    yield "address", address(target)
    if target.jump:
        yield "by way of", target.jump
    if facts is None:
        yield "root", target.root
        yield "checked", "no: --no-check was given, nothing is known of the server"
    else:
        yield "host key", f"{facts.key_type} {facts.host_key}"
        yield "signed in by", facts.auth
        yield "starts in", facts.home
        yield "root", f"{target.root} ({result.root})" if result.root else target.root
        yield "shell", shell_text(facts.tools) if facts.shell else "no: bytes are checked by reading them back"
        yield "free space", "not told by the server" if result.free is None else size(result.free)
    yield "WebUI", target.webui
    yield from _webui_at(result)
    yield "in the keyring", ", ".join(result.secrets) or "nothing"


def _webui_at(result: LoginResult) -> Iterator[Fact]:
    target, seen = result.target, result.webui
    at = target.webui_url or (f"port {target.webui_tunnel} of the server" if target.webui_tunnel else None)
    if at is None:
        yield "WebUI at", "not known: with --webui-url or --webui-tunnel, push checks that it lists the model"
    elif seen is None:
        yield "WebUI at", at
    elif seen.facts is None:
        fault = seen.fault
        yield "WebUI at", f"{at}: {fault.message if fault else 'not reached'}"
        if fault and fault.remedy:
            yield "WebUI at", fault.remedy
    else:
        yield "WebUI at", f"{at}: {' or '.join(seen.facts.webuis)} answers"
        if not seen.facts.fits:
            yield "WebUI at", "that is another one than this target is saved with: see --webui"
        yield from _differences(seen.facts)
