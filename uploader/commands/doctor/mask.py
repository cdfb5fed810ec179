"""A diagnosis that may be shown to others: without hosts, users, paths and keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from uploader.commands.doctor.diagnosis import Diagnosis

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{20,}={0,2}")
_URL = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\",;)]+")
_ACCOUNT = re.compile(r"[^\s@'\",;(]+@[^\s@'\",;)]+")
_ADDRESS_4 = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])")
_ADDRESS_6 = re.compile(r"(?<![\w:])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:%\w+)?(?![\w:])")
_PATH = re.compile(r"(?<![\w:/.])(?:~|[A-Za-z]:)?[/\\][^\s'\",;)]+")


def masked(diagnosis: Diagnosis) -> Diagnosis:
    """Return the same checks with a word in place of each text that tells where or who the user is."""
    words = {text: word for text, word in diagnosis.private if len(text) > 1}
    checks = tuple(
        replace(check, detail=_masked(check.detail, words), remedy=check.remedy and _masked(check.remedy, words))
        for check in diagnosis.checks
    )
    return Diagnosis("TARGET", checks)


def _masked(text: str, words: Mapping[str, str]) -> str:
    text, said, _ = _FINGERPRINT.sub("KEY", text).partition("It said:")
    text += f"{said} …" if said else ""  # the text of a program may have any name in it
    text = _ACCOUNT.sub("USER@HOST", _URL.sub("URL", text))
    for private in sorted(words, key=len, reverse=True):
        before = r"(?:(?<=port )|(?<=:))" if words[private] == "PORT" else r"(?<!\w)"
        text = re.sub(rf"{before}{re.escape(private)}(?!\w)", words[private], text, flags=re.IGNORECASE)
    text = _PATH.sub("PATH", text)
    return _ADDRESS_6.sub("ADDRESS", _ADDRESS_4.sub("ADDRESS", text))
