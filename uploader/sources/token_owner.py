"""The owner of a token, as the service that made it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from uploader.artifact import Service
from uploader.errors import CredentialsRefused, UploaderError
from uploader.http import Fields, Refusal
from uploader.sources.endpoints import Sources


@dataclass(frozen=True)
class Account:
    """A service's name, the page where its users make tokens, and where it says whose a token is."""

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
    """Return whose token `sources` has, as the service says; None if it takes the token and says no name.

    Raises CredentialsRefused for a token that it does not take, RateLimited, NetworkError.
    """
    account = ACCOUNTS[service]

    def explain(refusal: Refusal) -> UploaderError | None:
        if refusal.status in (401, 403):
            return CredentialsRefused(
                f"{account.title} does not take this token ({refusal.status})",
                remedy=f"Make a new one on {account.page} and copy it whole.",
            )
        return None

    endpoint = sources.endpoint(service)
    said = sources.http.json(f"{endpoint.address}{account.path}", scope=replace(endpoint.scope, explain=explain))
    return Fields(said).text(account.field)
