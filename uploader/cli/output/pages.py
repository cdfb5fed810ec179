"""The answers of the other verbs for a person: tables and pages on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from uploader.cli.output.stream import answer, encoding
from uploader.cli.output.words import size

if TYPE_CHECKING:
    from rich.console import Console

    from uploader.app import Identified, Kept, LoginResult, TokenResult
    from uploader.catalog import Catalog
    from uploader.profile import Provider, Target
    from uploader.sources import Hit

Fact = tuple[str, str]

_UNBOUNDED = 100_000
"""Cells of a line that nobody looks at on a screen: a pipe gets every row whole."""


def tell_table(header: Sequence[str], rows: Iterable[Sequence[str]], console: Console | None = None) -> None:
    """Prints a table as wide as the terminal, or as wide as it needs where stdout is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from uploader.cli.output.words import fitted, shown

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for column, title in enumerate(header):
        table.add_column(title, no_wrap=column == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(fitted(shown(cell), encoding(sys.stdout))) for cell in row))
    if console is None:
        console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False, emoji=False)
    with console.capture() as drawn:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in drawn.get().rstrip().splitlines()))


def tell_targets(targets: Sequence[Target]) -> None:
    rows = [(target.name, target.provider, target.webui, address(target), target.root) for target in targets]
    tell_table(("Name", "Provider", "WebUI", "Address", "Root"), rows)


def tell_providers(catalog: Catalog) -> None:
    from uploader.catalog import TABLE_HEADER, table_rows

    tell_table(TABLE_HEADER, table_rows(catalog))


def tell_cache(kept: Kept) -> None:
    """Prints the downloads that are kept, and how much of their room they take."""
    rows = [
        (entry.name, size(entry.size), (entry.sha256 or "-")[:10], _moment(entry.used), entry.state.value)
        for entry in kept.entries
    ]
    tell_table(("Name", "Size", "SHA256", "Used", "State"), rows)
    answer(f"\n{size(kept.total)} of {size(kept.limit)}")


def _moment(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def tell_provider(provider: Provider, catalog: Catalog) -> None:
    """Prints all that is known of one provider."""
    answer(f"{provider.name} ({provider.id})\n")
    _tell_facts(provider_facts(provider, catalog))
    if provider.sftp:
        answer(f"\nSave it with: uploader login {provider.id}")


def tell_login(result: LoginResult) -> None:
    """Prints what was saved, and what the look at the server told."""
    answer(f"{result.target.name} is {'updated' if result.updated else 'saved'}.")
    _tell_facts(login_facts(result), indent="  ")
    answer(f"Push to it with: uploader push FILE --to {result.target.name}")


def tell_token(result: TokenResult) -> None:
    """Prints whose token was kept."""
    whose = f" of {result.user}" if result.user else ""
    checked = "" if result.checked else ", unchecked"
    answer(f"The token{whose} for {result.title} is in the keyring{checked}.")


def tell_hits(hits: Sequence[Hit]) -> None:
    """Prints models that could be pushed, a row each."""
    rows = [
        (
            hit.reference,
            f"{hit.name} {hit.version}".strip(),
            str(hit.kind or hit.type),
            hit.base or "-",
            "several files" if hit.file is None else "-" if hit.size is None else size(hit.size),
            "-" if hit.downloads is None else f"{hit.downloads:,}",
        )
        for hit in hits
    ]
    tell_table(("Push", "Name", "Kind", "Base", "Size", "Downloads"), rows)


def tell_identified(found: Iterable[Identified]) -> None:
    """Prints what each file is; those that could not be looked at are left to the conversation."""
    for one in found:
        if one.identity is not None:
            answer(one.source)
            _tell_facts(identity_facts(one), indent="  ")


def identity_facts(one: Identified) -> Iterator[Fact]:
    """Yields what is known of a file, by name."""
    identity = one.identity
    if identity is None:
        return
    yield "container", identity.container
    yield "kind", str(identity.kind or "not known")
    yield "architecture", identity.described or "not known"
    yield "size", "not known" if one.size is None else _size(one.size)
    yield "complete", {True: "yes", False: "no", None: "cannot be said"}[identity.complete]
    for problem in one.problems:
        yield "problem", problem


def address(target: Target) -> str:
    """Returns how a person writes it: `user@host:port`, without what was left to ssh's own settings."""
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
        yield "shell", _shell(facts.tools) if facts.shell else "no: bytes are checked by reading them back"
        yield "free space", "not told by the server" if result.free is None else size(result.free)
    yield "WebUI", target.webui
    yield "in the keyring", ", ".join(result.secrets) or "nothing"


def provider_facts(provider: Provider, catalog: Catalog) -> Iterator[Fact]:
    """Yields what the profile says, by name; a name may come several times."""
    yield from _reaching(provider, catalog)
    for kind, folder in provider.folders.items():
        yield str(kind), folder
    for refusal in provider.refuses:
        yield "not by", f"{refusal.host}: {refusal.reason}"
    for note in provider.notes:
        yield "note", note
    for source in provider.facts.sources:
        yield "source", source
    yield "checked", provider.facts.checked
    yield "sureness", str(provider.facts.sureness)
    for field, grade in provider.facts.fields.items():
        yield f"  {field}", str(grade)


def _reaching(provider: Provider, catalog: Catalog) -> Iterator[Fact]:
    yield "SFTP", "yes" if provider.sftp else f"no. {provider.reason}"
    if provider.instead:
        yield "instead", provider.instead
    if provider.webui:
        yield "WebUI", f"{catalog.webuis[provider.webui].name} ({provider.webui})"
    for name, value in (("root", provider.root), ("user", provider.user), ("port", provider.port)):
        if value is not None:
            yield name, str(value)
    if provider.sftp:
        yield "host", provider.host_hint or "as the provider's page shows it"
    if provider.auth:
        yield "sign-in", ", ".join(provider.auth)


def _size(count: int) -> str:
    return size(count) if count < 1000 else f"{size(count)} ({count:,} bytes)"


def _shell(tools: Sequence[str]) -> str:
    return f"yes ({', '.join(tools)})" if tools else "yes, without tools to hash files"


def _tell_facts(facts: Iterable[Fact], indent: str = "") -> None:
    """Prints a column of names, said once each, and beside it their values, wrapped on a terminal."""
    import shutil
    import textwrap

    pairs = list(facts)
    column = max(len(name) for name, _ in pairs) + 2
    width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _UNBOUNDED
    before = ""
    for name, value in pairs:
        lead = f"{indent}{'' if name == before else name:<{column}}"
        hanging = " " * len(lead)
        answer(textwrap.fill(value, width, initial_indent=lead, subsequent_indent=hanging, break_on_hyphens=False))
        before = name
