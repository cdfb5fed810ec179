"""Tokens of the sources: from the environment, the keyring, and the file of Hugging Face's own tools."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from uploader.artifact import Service
from uploader.credentials.keyring import Keyring
from uploader.errors import CredentialsRefused
from uploader.secret import Secret, Token

VARIABLES: Mapping[Service, str] = {Service.CIVITAI: "CIVITAI_TOKEN", Service.HUGGINGFACE: "HF_TOKEN"}
"""The sources that have tokens, and the environment variable of each."""

_LONGEST = 4096


def token_account(service: Service) -> str:
    """Return the keyring's name for a source's token."""
    return f"source:{service}"


def checked(token: Secret, origin: str) -> Secret:
    """Return the token without blanks around it. `origin` says where it came from.

    Raises CredentialsRefused, which never repeats the text, when it cannot be sent as a token."""
    text = token.reveal().strip()
    if not re.fullmatch(r"[\x21-\x7e]+", text) or len(text) > _LONGEST:
        raise CredentialsRefused(
            f"what {origin} holds is no token: it takes printable letters without blanks",
            remedy="Copy the token once more from the site's settings.",
        )
    return Secret(text)


class Tokens:
    """The tokens of one run. Each is looked up once. Thread-safe."""

    def __init__(self, keyring: Keyring, environ: Mapping[str, str]) -> None:
        self._keyring = keyring
        self._environ = environ
        self._found: dict[Service, Token | None] = {}
        self._lock = threading.Lock()

    def get(self, service: Service) -> Token | None:
        """Return the token, None where there is none. Raises CredentialsRefused when it cannot be sent."""
        with self._lock:
            if service not in self._found:
                self._found[service] = self._find(service) if service in VARIABLES else None
            return self._found[service]

    def _find(self, service: Service) -> Token | None:
        variable = VARIABLES[service]
        if given := self._environ.get(variable, "").strip():
            return Token(checked(Secret(given), f"${variable}"), explicit=True)
        if kept := self._keyring.get(token_account(service)):
            return Token(checked(kept, "the keyring"), explicit=False)
        if service is Service.HUGGINGFACE and (saved := self._saved()):
            return Token(checked(saved, "Hugging Face's token file"), explicit=False)
        return None

    def _saved(self) -> Secret | None:
        """Return what `hf auth login` saved, from where huggingface_hub looks for it."""
        environ = self._environ
        home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
        cache = Path(environ.get("XDG_CACHE_HOME") or home / ".cache")
        folder = Path(environ.get("HF_HOME") or cache / "huggingface")
        path = Path(environ.get("HF_TOKEN_PATH") or folder / "token")
        try:
            with _of(path, home).open("rb") as file:
                return Secret(file.read(_LONGEST).decode("utf-8").strip()) or None
        except (OSError, UnicodeDecodeError):
            return None


def _of(path: Path, home: Path) -> Path:
    return home.joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path
