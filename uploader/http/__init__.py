"""The one HTTP client: ranges, redirects, who may see a token, what may be shown of an address; knows no vendor."""

from uploader.http.address import host_of, is_loopback, shown
from uploader.http.answer import HEAD_BYTES, Answer, Reply
from uploader.http.client import Http
from uploader.http.door import Door, Explainer, Refusal, authority
from uploader.http.fields import Fields, Json

__all__ = [
    "HEAD_BYTES",
    "Answer",
    "Door",
    "Explainer",
    "Fields",
    "Http",
    "Json",
    "Refusal",
    "Reply",
    "authority",
    "host_of",
    "is_loopback",
    "shown",
]
