"""Whose a token is, by the word of the service that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from uploader.artifact import Service
from uploader.errors import CredentialsRefused, UploaderError
from uploader.http import Fields, Refusal
from uploader.sources.endpoints import Sources


@dataclass(frozen=True)
class Account:
    """How a service is called, where its users make tokens, and where it says whose one is."""

    title: str
    page: str
    path: str
    field: str


ACCOUNTS: Mapping[Service, Account] = {
    Service.CIVITAI: Account("Civitai", "https://civitai.com/user/account", "/api/v1/me", "username"),
    Service.HUGGINGFACE: Account("Hugging Face", "https://huggingface.co/settings/tokens", "/api/whoami-v2", "name"),
}
"""The services that a token can be kept for."""


def owner(service: Service, sources: Sources) -> str | None:
    """Asks the service whose the token of `sources` is; None where it takes it and names nobody.

    Raises CredentialsRefused for a token that it does not take, RateLimited, NetworkError."""
    account = ACCOUNTS[service]

    def explain(refusal: Refusal) -> UploaderError | None:
        if refusal.status in (401, 403):
            return CredentialsRefused(
                f"{account.title} does not take this token ({refusal.status})",
                remedy=f"Make a new one on {account.page} and copy it whole.",
            )
        return None

    site = sources.site(service)
    said = sources.http.json(f"{site.address}{account.path}", door=replace(site.door, explain=explain))
    return Fields(said).text(account.field)
