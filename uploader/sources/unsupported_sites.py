"""Services that show models and let no program download them: what to tell the user, as data."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from uploader.errors import SourceRefused

_BROWSER = "Download the file in your browser (signed in, where it wants that), and push the file."
_FRESH = "Or start the download in a browser, copy the address of the download itself, and push that link."


@dataclass(frozen=True)
class Place:
    """One such service. `hosts` are those of its pages: a link into its store is like any other link."""

    name: str
    hosts: frozenset[str]
    reason: str
    remedy: str


_WITHOUT_DOWNLOADS = {
    "Tensor.Art": frozenset({"tensor.art", "tensorhub.art"}),
    "LiblibAI": frozenset({"liblib.art", "liblib.ai", "liblibai.com"}),
    "Shakker": frozenset({"shakker.ai"}),
    "SeaArt": frozenset({"seaart.ai", "seaart.me"}),
    "PixAI": frozenset({"pixai.art"}),
}

PLACES = (
    Place(
        "Google Drive",
        frozenset({"drive.google.com", "docs.google.com"}),
        "it answers programs with a page to confirm or a quota page instead of the file",
        _BROWSER,
    ),
    Place(
        "MEGA",
        frozenset({"mega.nz", "mega.io", "mega.co.nz"}),
        "its files are encrypted, and only its own programs have the key to them",
        "Download the file with MEGA's own program or in your browser, and push the file.",
    ),
    Place(
        "CivArchive",
        frozenset({"civarchive.com", "civitaiarchive.com"}),
        "it is an index: it keeps no files, and names the places that do",
        "Open the page, and push the link of one of the mirrors that it lists, with its SHA256 as --sha256.",
    ),
    *(
        Place(name, hosts, "it has no address from which a program may download a model", f"{_BROWSER} {_FRESH}")
        for name, hosts in _WITHOUT_DOWNLOADS.items()
    ),
)

_GITHUB = frozenset({"github.com", "www.github.com"})
_DROPBOX = frozenset({"dropbox.com", "www.dropbox.com"})


def refuse(url: str) -> None:
    """Raise SourceRefused for a page of a service that would give a program a web page, never a model."""
    host = _host(url)
    for place in PLACES:
        if host.removeprefix("www.") in place.hosts:
            raise SourceRefused(f"{place.name} ({host}) cannot be downloaded from: {place.reason}", remedy=place.remedy)


def direct(url: str) -> str:
    """Return the link to the file itself for a link to a page about it.

    That is Dropbox's `dl=1`, and `raw` of a file in a GitHub repository.
    """
    host, parts = _host(url), urlsplit(url)
    if host in _GITHUB:
        repo, blob, path = parts.path.partition("/blob/")
        return urlunsplit(parts._replace(path=f"{repo}/raw/{path}")) if blob and repo.count("/") == 2 else url
    if host in _DROPBOX:
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = [(name, value) for name, value in pairs if name not in ("dl", "raw")]
        return urlunsplit(parts._replace(query=urlencode([*query, ("dl", "1")])))
    return url


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".").lower()
