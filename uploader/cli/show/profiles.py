"""Print providers and targets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from uploader.cli.show.login import address
from uploader.cli.show.tables import Fact, print_facts, print_table
from uploader.cli.terminal import print_answer

if TYPE_CHECKING:
    from uploader.api import Profiles, Provider, Target


def print_targets(targets: Sequence[Target]) -> None:
    rows = [(target.name, target.provider, target.webui, address(target), target.root) for target in targets]
    print_table(("Name", "Provider", "WebUI", "Address", "Root"), rows)


def print_providers(profiles: Profiles) -> None:
    from uploader.profiles import TABLE_HEADER, table_rows

    print_table(TABLE_HEADER, table_rows(profiles))


def print_provider(provider: Provider, profiles: Profiles) -> None:
    """Print all that is known of one provider."""
    print_answer(f"{provider.name} ({provider.id})\n")
    print_facts(provider_facts(provider, profiles))
    if provider.sftp:
        print_answer(f"\nSave it with: uploader login {provider.id}")


def provider_facts(provider: Provider, profiles: Profiles) -> Iterator[Fact]:
    """Yield what the profile says, by name; a name may come several times."""
    yield from _reaching(provider, profiles)
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


def _reaching(provider: Provider, profiles: Profiles) -> Iterator[Fact]:
    yield "SFTP", "yes" if provider.sftp else f"no. {provider.reason}"
    if provider.instead:
        yield "instead", provider.instead
    if provider.webui:
        yield "WebUI", f"{profiles.webuis[provider.webui].name} ({provider.webui})"
    for name, value in (("root", provider.root), ("user", provider.user), ("port", provider.port)):
        if value is not None:
            yield name, str(value)
    if provider.sftp:
        yield "host", provider.host_hint or "as the provider's page shows it"
    if provider.auth:
        yield "sign-in", ", ".join(provider.auth)
