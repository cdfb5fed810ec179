"""The profiles of providers and WebUIs: TOML files, read strictly, with every fault reported at once.

    load(user_folder)
        for each file: Table(data) → read_provider / read_webui       # read.py, toml_table.py
        a user's file replaces the built-in one of the same id
        raise Several(faults), or return Profiles

One more provider or WebUI is one more file, and no code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

from uploader.artifact import Kind
from uploader.errors import ConfigurationError, Several, UsageError
from uploader.profile import Facts, Provider, Refusal, WebUI
from uploader.profiles.read import read_provider, read_webui
from uploader.profiles.toml_table import Table, did_you_mean, nearest

_Profile = TypeVar("_Profile", Provider, WebUI)

TABLE_HEADER = ("Id", "Provider", "SFTP", "WebUI", "Root", "Sign-in", "Sureness")
"""The columns of `table_rows`."""


@dataclass(frozen=True)
class Profiles:
    """All known providers and WebUIs, by id and in the order of their ids."""

    providers: Mapping[str, Provider]
    webuis: Mapping[str, WebUI]

    def provider(self, id: str) -> Provider:
        """Return the provider of that id. Raises UsageError for an unknown id."""
        return _find(self.providers, id, "provider", "See `uploader providers`; for any server with SSH take generic.")

    def webui(self, id: str) -> WebUI:
        """Return the WebUI of that id. Raises UsageError for an unknown id."""
        return _find(self.webuis, id, "WebUI", f"Known: {', '.join(self.webuis)}.")

    def folders(self, provider: Provider, webui: WebUI) -> Mapping[Kind, str]:
        """Return the folder of each kind, below the root: the provider's own before the WebUI's.

        A provider's folders are for the WebUI that its profile names. Another WebUI there has its own folders."""
        overrides = provider.folders if provider.webui in (None, webui.id) else {}
        return {**webui.folders, **overrides}


def load(user_folder: Path | None = None, *, builtin: Path | None = None) -> Profiles:
    """Read the built-in profiles, and a user's own: `*.toml` providers, `webui/*.toml` WebUIs.

    A user's profile replaces the built-in one of the same id. `builtin` replaces the folder of the built-in ones.
    Raises Several, with one ConfigurationError for each fault in each file."""
    folders = [builtin or builtin_folder()]
    if user_folder is not None:
        folders.append(user_folder)
    faults: list[ConfigurationError] = []
    files = [file for folder in folders for file in _files(folder / "webui", faults)]
    webuis = {id_: webui for id_, (webui, _) in _read(files, read_webui, faults).items()}
    known = {file.stem for file in files}
    files = [file for folder in folders for file in _files(folder, faults)]
    providers = {}
    for id_, (provider, table) in _read(files, read_provider, faults).items():
        providers[id_] = provider
        # Asked by file name: a WebUI whose own file is broken has been reported there, once.
        if provider.webui is not None and provider.webui not in known:
            table.fault("webui", f"there is no WebUI {provider.webui!r}", did_you_mean(provider.webui, sorted(known)))
    if faults:
        raise Several(faults)
    return Profiles(dict(sorted(providers.items())), dict(sorted(webuis.items())))


def builtin_folder() -> Path:
    """Return the folder of the built-in profiles: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_profiles", package.parent / "profiles"):
        if folder.is_dir():
            return folder
    raise ConfigurationError(
        f"{package} holds no profiles: this installation is incomplete", remedy="Install the program again."
    )


def refusal(provider: Provider, host: str) -> Refusal | None:
    """Return why a host that looks right for this provider cannot work, None where no reason is known."""
    name = host.strip().rstrip(".").lower()
    return next((entry for entry in provider.refuses if fnmatchcase(name, entry.host.lower())), None)


def table_rows(profiles: Profiles) -> list[tuple[str, ...]]:
    """Return one row for each provider, in the columns of `TABLE_HEADER`, those with SFTP first.

    A dash means that the user has to say it."""
    ordered = sorted(profiles.providers.values(), key=lambda provider: (not provider.sftp, provider.id))
    return [
        (
            provider.id,
            provider.name,
            "yes" if provider.sftp else "no",
            profiles.webuis[provider.webui].name if provider.webui else "-",
            provider.root or "-",
            ", ".join(provider.auth) or "-",
            _sureness(provider.facts),
        )
        for provider in ordered
    ]


def markdown_table(profiles: Profiles) -> str:
    """Return the same table in Markdown, for the documents. It ends with a line break."""
    rows = [TABLE_HEADER, tuple("---" for _ in TABLE_HEADER), *table_rows(profiles)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def webui_markdown_table(profiles: Profiles) -> str:
    """Return the table of WebUIs in Markdown, for the documents. It ends with a line break."""
    rows = [("Id", "WebUI", "Told of new models", "Sureness"), ("---",) * 4]
    for webui in profiles.webuis.values():
        grade = webui.facts.fields.get("api", webui.facts.sureness)
        told = "no: it has no API for that" if webui.api is None else f"yes ({grade})"
        rows.append((webui.id, webui.name, told, str(webui.facts.sureness)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _sureness(facts: Facts) -> str:
    """Return the grade of the profile, and of the columns that differ from it. Single folders would be too many."""
    apart = [f"{key} {grade}" for key, grade in facts.fields.items() if grade != facts.sureness and "." not in key]
    return f"{facts.sureness} ({', '.join(apart)})" if apart else str(facts.sureness)


def _find(profiles: Mapping[str, _Profile], id_: str, word: str, otherwise: str) -> _Profile:
    if id_ in profiles:
        return profiles[id_]
    raise UsageError(f"there is no {word} {id_!r}", remedy=nearest(id_, profiles) or otherwise)


def _files(folder: Path, faults: list[ConfigurationError]) -> Iterable[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        faults.append(ConfigurationError(f"{folder} cannot be read: {error.strerror}"))
        return []


def _read(
    files: Iterable[Path], reader: Callable[[Table], _Profile], faults: list[ConfigurationError]
) -> dict[str, tuple[_Profile, Table]]:
    """Read each file. A later one replaces an earlier one of the same name."""
    found = {}
    for file in files:
        data = _parse(file, faults)
        if data is not None:
            table = Table(data, file, faults)
            found[file.stem] = (reader(table), table)
    return found


def _parse(file: Path, faults: list[ConfigurationError]) -> dict[str, object] | None:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        problem = "is not text in UTF-8"
    except ValueError as error:  # a TOMLDecodeError, or a number of more digits than Python reads
        problem = f"is not valid TOML: {error}"
    except RecursionError:
        problem = "is not valid TOML: it is nested too deeply"
    faults.append(ConfigurationError(f"{file}: {problem}", remedy="Mend the file, or take it out of that folder."))
    return None
