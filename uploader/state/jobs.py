"""The jobs that were begun from this machine, without a link and without a secret."""

from __future__ import annotations

import hashlib
import json
import typing
from contextlib import suppress
from dataclasses import asdict, dataclass

from uploader.artifact import Digest, Kind
from uploader.errors import UsageError
from uploader.state.database import Database

_PROOFS = ("auto", "full", "samples")


@dataclass(frozen=True)
class JobRecord:
    """One download that a server does for us.

    `source` is the reference as it may be shown; `path` is below the target's root, `final` absolute. `size` is in
    bytes, `began` in seconds since 1970. `notify`: the WebUI is told once the file is placed. `verify` is how the file
    is proven, as in an UploadJob."""

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
        """The name for the user: 8 hexadecimal digits."""
        return hashlib.sha256(json.dumps([self.target, self.part]).encode()).hexdigest()[:8]

    @property
    def digest(self) -> Digest | None:
        return None if self.sha256 is None else Digest(self.sha256)


_TYPES = typing.get_type_hints(JobRecord)


class JobRecords:
    """All jobs. A record that makes no sense is passed over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[JobRecord]:
        """Return the jobs in the order in which they were begun."""
        rows = self._database.read("SELECT record FROM job")
        found = [record for (text,) in rows if (record := _parsed(text)) is not None]
        return sorted(found, key=lambda record: (record.began, record.id))

    def get(self, id: str) -> JobRecord:
        """Return the job of that id. Raises UsageError when there is none."""
        saved = self.all()
        for record in saved:
            if record.id == id:
                return record
        raise UsageError(
            f"there is no job {id!r}" + (f"; there are: {', '.join(one.id for one in saved)}" if saved else ""),
            remedy="`uploader jobs` lists them.",
        )

    def save(self, record: JobRecord) -> None:
        """Raises ConfigurationError when it cannot be written, Busy."""
        row = (record.id, json.dumps(asdict(record)))
        self._database.write(("INSERT OR REPLACE INTO job (id, record) VALUES (?, ?)", [row]))

    def remove(self, record: JobRecord) -> None:
        """Raises ConfigurationError when it cannot be written, Busy."""
        self._database.write(("DELETE FROM job WHERE id = ?", [(record.id,)]))


def _parsed(text: str) -> JobRecord | None:
    with suppress(ValueError, RecursionError, TypeError):
        data = json.loads(text)
        if not isinstance(data, dict) or set(data) != set(_TYPES):
            return None
        if all(_fits(data[name], wanted) for name, wanted in _TYPES.items()) and data["verify"] in _PROOFS:
            Kind(data["kind"])
            return JobRecord(**data)
    return None


def _fits(value: object, wanted: typing.Any) -> bool:
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, (int, float) if wanted is float else wanted)
