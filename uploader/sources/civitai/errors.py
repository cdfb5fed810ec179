"""Civitai's refusals: an error for each of its answers, with what its user can do."""

from __future__ import annotations

import datetime
from urllib.parse import parse_qs, urlsplit

from uploader.errors import (
    CredentialsMissing,
    CredentialsRefused,
    NetworkError,
    SourceMissing,
    SourceRefused,
    UploaderError,
)
from uploader.http import Refusal

ACCOUNT = "https://civitai.com/user/account"
"""The page where its users make tokens."""

_LOG_IN = (
    f"Make an API key on {ACCOUNT}, then `uploader login civitai` (or put it into $CIVITAI_TOKEN), and push again."
)
_ELSEWHERE = "Download it where you may, and push the file."


def of_catalogue(refusal: Refusal, has_token: bool) -> UploaderError | None:
    """Return the error for an answer of its API. A 404 there says that there is no such thing, or that it is not
    public.
    """
    if _is_site(refusal) and refusal.status == 400:
        return SourceRefused(
            f"Civitai does not understand what it was asked: {_said(refusal) or 'no reason given'}",
            remedy="Check the numbers of the reference, or the words of the search.",
        )
    if _is_site(refusal) and refusal.status == 404:
        return SourceMissing(
            f"Civitai has no such thing: {_said(refusal) or 'not found'}",
            remedy="Open the model's page. Is it published, and is the number its model's (civitai:N) or its version's "
            "(civitai:@N)?",
        )
    return of_download(refusal, has_token)


def of_download(refusal: Refusal, has_token: bool) -> UploaderError | None:
    """Return the error for an answer of a download link: of the site itself, or of the storage that it leads to."""
    has_token = has_token and refusal.in_scope
    if refusal.location is not None:
        return _of_redirect(refusal.location, has_token)
    if not _is_site(refusal):
        return _of_storage(refusal)
    match refusal.status:
        case 401:
            return _unauthorized(refusal, has_token)
        case 403:
            return _forbidden(refusal, has_token)
        case 404:
            # What its catalogue lists is there, so this passes: trouble of its storage looks the same.
            error: UploaderError = SourceMissing(
                "Civitai lists this file and does not find it", remedy="Try again in a few minutes, or open its page."
            )
            error.retryable = True
            return error
        case 410:
            return SourceRefused("this model is archived: Civitai keeps its page and gives no files of it any more")
        case 451:
            return SourceRefused(
                "Civitai gives nothing to visitors from this machine's country (451)", remedy=_ELSEWHERE
            )
    return None


def date_of(text: str | None) -> str | None:
    """Return the day of a moment in ISO 8601, None if there is none."""
    try:
        return datetime.datetime.fromisoformat(text or "").date().isoformat()
    except ValueError:
        return None


def early(until: str | None) -> SourceRefused:
    """Return the error for a version in early access, which must be bought. `until` is a moment in ISO 8601."""
    day = date_of(until)
    when = f" until {day}" if day else ""
    return SourceRefused(
        f"this version is in early access{when}: Civitai gives it to those who bought it",
        remedy=f"Buy it on its page, {'wait until that day' if day else 'wait'}, or push an earlier version.",
    )


def _is_site(refusal: Refusal) -> bool:
    """Return whether the site itself answers, not its storage. A mirror may lead to it, where it is shown no token."""
    return refusal.in_scope or refusal.body.text("error") is not None


def _of_storage(refusal: Refusal) -> UploaderError | None:
    if refusal.status not in (400, 401, 403):
        return None
    return NetworkError(
        f"the storage behind Civitai does not take the link that was made for it ({refusal.status})",
        remedy="Run the same command again: it asks for a new one.",
    )


def _of_redirect(location: str, has_token: bool) -> UploaderError | None:
    try:
        parts = urlsplit(location)
    except ValueError:
        return None  # following it says what is wrong with it
    if parts.path.rstrip("/") == "/login" or parse_qs(parts.query).get("reason") == ["download-auth"]:
        return _login(has_token)
    if parts.path.startswith("/model-versions/"):
        return early(None)
    return None


def _login(has_token: bool) -> UploaderError:
    if has_token:
        return CredentialsRefused(
            "Civitai does not take the token that it was shown",
            remedy=f"It may have been removed or have run out. {_LOG_IN}",
        )
    return CredentialsMissing("Civitai gives this file to those who are logged in", remedy=_LOG_IN)


def _unauthorized(refusal: Refusal, has_token: bool) -> UploaderError:
    if "disabled downloads" in _said(refusal).lower():
        return SourceRefused(
            "the creator of this model has disabled its downloads: no login changes that",
            remedy="Choose another version or another model.",
        )
    return _login(has_token)


def _forbidden(refusal: Refusal, has_token: bool) -> UploaderError | None:
    said = _said(refusal)
    if (refusal.body.text("error") or "").lower() == "early access" or "early access" in said.lower():
        return early(refusal.body.text("deadline"))
    if "do not have access" in said.lower():
        if not has_token:
            return CredentialsMissing("Civitai gives this file to accounts that were granted it", remedy=_LOG_IN)
        return CredentialsRefused(
            "your account on Civitai was not granted this file", remedy="Ask its creator, or use another account."
        )
    return CredentialsRefused(
        "Civitai turns this machine or this account away (403)",
        remedy="Does its page open in a browser here? A VPN or a rented machine's address may be barred. " + _ELSEWHERE,
    )


def _said(refusal: Refusal) -> str:
    """Return Civitai's own words as one line of at most 200 characters."""
    text = refusal.body.text("message") or refusal.body.text("error") or ("" if refusal.body else refusal.text)
    if "<" in text:
        return ""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:200]
