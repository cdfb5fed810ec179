"""The jobs that were begun from this machine: one small file each, without a link and without a secret."""

from __future__ import annotations

import hashlib
import json
import typing
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from uploader.artifact import Digest, Kind
from uploader.errors import ConfigurationError, UsageError
from uploader.state.atomic import replace_text

_VERSION = 1
_PROOFS = ("auto", "full", "samples")


@dataclass(frozen=True)
class JobRecord:
    """One download that a server does for us. `source` is the reference as it may be shown; `path` is below the
    target's root, `final` absolute; `size` is in bytes, `began` in seconds since 1970. `notify`: the WebUI is to be
    told once it is placed. `verify` is how it is to be proven, as in a transfer's Job."""

    target: str
    source: str
    name: str
    kind: str
    path: str
    final: str
    part: str
    size: int
    sha256: str | None
    replace: bool
    allow_pickle: bool
    notify: bool
    verify: str
    began: float

    @property
    def id(self) -> str:
        """What the user calls it: 8 hexadecimal digits."""
        return hashlib.sha256(json.dumps([self.target, self.part]).encode()).hexdigest()[:8]

    @property
    def digest(self) -> Digest | None:
        return None if self.sha256 is None else Digest(self.sha256)


_TYPES = typing.get_type_hints(JobRecord)


class JobRecords:
    """All of them, in a folder of their own (0700). Files that make no sense are passed over."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> list[JobRecord]:
        """In the order in which they were begun."""
        found = [record for path in self._folder.glob("*.json") if (record := _read(path)) is not None]
        return sorted(found, key=lambda record: (record.began, record.id))

    def get(self, id: str) -> JobRecord:
        """Raises UsageError when there is none of that name."""
        saved = self.all()
        for record in saved:
            if record.id == id:
                return record
        raise UsageError(
            f"there is no job {id!r}" + (f"; there are: {', '.join(one.id for one in saved)}" if saved else ""),
            remedy="`uploader jobs` lists them.",
        )

    def save(self, record: JobRecord) -> None:
        """Raises ConfigurationError when it cannot be written."""
        with _mapped(self._folder):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_text(self._folder / f"{record.id}.json", json.dumps({"version": _VERSION, **asdict(record)}))

    def remove(self, record: JobRecord) -> None:
        with _mapped(self._folder):
            (self._folder / f"{record.id}.json").unlink(missing_ok=True)


def _read(path: Path) -> JobRecord | None:
    with suppress(OSError, ValueError, RecursionError):
        data = json.loads(path.read_bytes())
        if isinstance(data, dict) and data.pop("version", None) == _VERSION:
            names = {field.name for field in fields(JobRecord)}
            if set(data) == names and all(_fits(data[name], _TYPES[name]) for name in names):
                Kind(data["kind"])
                if data["verify"] not in _PROOFS:
                    return None
                return JobRecord(**data)
    return None


def _fits(value: object, wanted: typing.Any) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)


@contextmanager
def _mapped(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"the jobs cannot be written down in {folder}: {error.strerror}",
            remedy="Make room there, or set $UPLOADER_HOME to a folder that you may write to.",
        ) from error
