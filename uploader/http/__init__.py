"""The one HTTP client: ranges, redirects, what may be shown of an address; knows no vendor."""

from uploader.http.address import host_of, is_loopback, shown
from uploader.http.client import HEAD_BYTES, Answer, Http

__all__ = ["HEAD_BYTES", "Answer", "Http", "host_of", "is_loopback", "shown"]
