"""The one HTTP client: ranges, redirects, who may see a token, what may be shown of an address; knows no vendor."""

from uploader.http.address import host_of, is_loopback, shown
from uploader.http.client import Http
from uploader.http.content_disposition import name_in_link
from uploader.http.json_fields import Fields, Json
from uploader.http.responses import HEAD_BYTES, Answer, Reply
from uploader.http.token_scope import Explainer, Refusal, TokenScope, authority

__all__ = [
    "HEAD_BYTES",
    "Answer",
    "Explainer",
    "Fields",
    "Http",
    "Json",
    "Refusal",
    "Reply",
    "TokenScope",
    "authority",
    "host_of",
    "is_loopback",
    "name_in_link",
    "shown",
]
