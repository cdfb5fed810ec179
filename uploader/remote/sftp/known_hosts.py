"""Which key belongs to which server: pinned by target, with the user's own known_hosts as a second witness."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
import shlex
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import paramiko
from filelock import FileLock, Timeout

from uploader.errors import Busy, ConfigurationError, HostKeyChanged, HostKeyUnknown
from uploader.remote.interface import HostKeyPolicy, OfferedKey
from uploader.state.atomic import replace_text

_PATIENCE_SECONDS = 10.0
_SYSTEM = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class _Line:
    names: tuple[str, ...]
    key_type: str
    blob: bytes
    marker: str = ""


def fingerprint(blob: bytes) -> str:
    """`SHA256:...` as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class KnownHosts:
    """The file of pinned keys (sshd(8), SSH_KNOWN_HOSTS), and those of the user's own that are only read.

    A line of ours begins with the target's name: rented machines change address and key, and two targets at
    one proxy's address have different keys. What would break the line in a name is percent-encoded.
    """

    def __init__(self, file: Path, *, ssh_folder: Path | None = None) -> None:
        self.file = file
        self._others = ((ssh_folder or Path.home() / ".ssh") / "known_hosts", _SYSTEM)
        self._lock = threading.Lock()
        self._session: dict[str, _Line] = {}

    def key_types(self, target: str, address: str) -> list[str]:
        """The types of key that are known for it: ask the server for one of these first."""
        with self._lock:
            known = [self._session[target]] if target in self._session else self._pinned(target)
            return [line.key_type for line in known or self._elsewhere(address)]

    def verify(self, offered: paramiko.PKey, target: str, address: str, trust: HostKeyPolicy) -> None:
        """Raises HostKeyChanged or HostKeyUnknown unless the key is known, or `trust` accepts a new one.

        An accepted key holds for this run; `keep` writes it down."""
        blob = offered.asbytes()
        with self._lock:
            seen = self._session.get(target)
            if seen is not None and seen.blob == blob:
                return
            self._refuse_revoked(blob, address)
            pinned = self._pinned(target) or ([seen] if seen is not None else [])
            if not pinned:
                self._verify_new(offered, target, address, trust)
            elif not any(line.blob == blob for line in pinned):
                raise _changed(target, address, pinned[0].blob, blob, self.file, ours=True)
            self._session[target] = _Line((_label(target), address), offered.get_name(), blob)

    def expect(self, offered: paramiko.PKey, target: str, address: str, expected: str) -> None:
        """Accepts the key whose fingerprint the user gave, and no other, also when another was pinned before."""
        blob = offered.asbytes()
        if fingerprint(blob).removeprefix("SHA256:") != expected.removeprefix("SHA256:").rstrip("="):
            raise HostKeyChanged(
                f"the key of {address} is not the one you gave:\n"
                f"  given   {expected}\n  offered {fingerprint(blob)} ({offered.get_name()})",
                remedy="Compare the offered key with what the provider shows.",
            )
        with self._lock:
            self._refuse_revoked(blob, address)
            self._session[target] = _Line((_label(target), address), offered.get_name(), blob)

    def keep(self, target: str) -> None:
        """Save the keys that this run accepted for a target and its jump hosts, each as the one key there."""
        with self._lock:
            seen = [line for name, line in self._session.items() if name == target or name.startswith(f"{target}+")]
            for line in seen:
                if line not in [known for known in self._lines() if known.names[0] == line.names[0]]:
                    encoded = base64.b64encode(line.blob).decode()
                    self._rewrite(line.names[0], f"{','.join(line.names)} {line.key_type} {encoded}")

    def forget(self, target: str) -> bool:
        """Drops the target's key and those of its jump hosts; returns whether any was written down."""
        with self._lock:
            for name in [name for name in self._session if name == target or name.startswith(f"{target}+")]:
                del self._session[name]
            label = _label(target)
            written = {line.names[0] for line in self._lines()}
            gone = [name for name in written if name == label or name.startswith(f"{label}+")]
            for name in gone:
                self._rewrite(name, None)
            return bool(gone)

    def _verify_new(self, offered: paramiko.PKey, target: str, address: str, trust: HostKeyPolicy) -> None:
        blob = offered.asbytes()
        elsewhere = self._elsewhere(address)
        if any(line.blob == blob for line in elsewhere):
            return
        same_type = [line for line in elsewhere if line.key_type == offered.get_name()]
        if same_type:
            raise _changed(target, address, same_type[0].blob, blob, self._others[0], ours=False)
        if not trust(OfferedKey(target, address, offered.get_name(), fingerprint(blob))):
            raise HostKeyUnknown(
                f"the key of {address} is new: {offered.get_name()} {fingerprint(blob)}",
                remedy=_trusting(target, address, blob),
            )

    def _pinned(self, target: str) -> list[_Line]:
        return [line for line in self._lines() if line.names[0] == _label(target)]

    def _lines(self) -> list[_Line]:
        if not self.file.exists():
            return []
        lines = []
        for number, text in enumerate(self._text().splitlines(), 1):
            fields = text.split()
            if not fields or fields[0].startswith("#"):
                continue
            try:
                lines.append(_Line(tuple(fields[0].split(",")), fields[1], base64.b64decode(fields[2], validate=True)))
            except (IndexError, binascii.Error) as error:
                raise ConfigurationError(
                    f"{self.file}, line {number}, is not a host key", remedy="Correct or remove that line."
                ) from error
        return lines

    def _text(self) -> str:
        try:
            return self.file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self.file} cannot be read: {error}", remedy="Repair or remove it.") from error

    def _rewrite(self, label: str, line: str | None) -> None:
        """Replaces the lines of that label at once; a file that cannot be read is never overwritten.

        Another process that pins a key at the same moment is waited for, so that neither loses its own."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with FileLock(self.file.with_name(f"{self.file.name}.lock"), timeout=_PATIENCE_SECONDS):
                kept: list[str] = []
                if self.file.exists():
                    self._lines()
                    lines = self._text().splitlines()
                    kept = [text for text in lines if (text.split() or [""])[0].split(",")[0] != label]
                text = "\n".join([*kept, *([line] if line else [])])
                replace_text(self.file, text + "\n" if text else "")
        except Timeout as error:
            raise Busy(f"another run is writing {self.file}", remedy="Try again in a moment.") from error
        except OSError as error:
            raise ConfigurationError(
                f"{self.file} cannot be written: {error.strerror}", remedy="Make room and permission for it there."
            ) from error

    def _elsewhere(self, address: str) -> list[_Line]:
        return [line for line in self._foreign() if not line.marker and _matches(line.names, address)]

    def _refuse_revoked(self, blob: bytes, address: str) -> None:
        if any(line.marker == "@revoked" and line.blob == blob for line in self._foreign()):
            raise HostKeyChanged(
                f"the key of {address}, {fingerprint(blob)}, is marked as revoked in {self._others[0]}",
                remedy="Do not connect; ask the provider.",
            )

    def _foreign(self) -> Iterator[_Line]:
        for path in self._others:
            if path.is_file():
                yield from filter(None, map(_foreign_line, _text(path).splitlines()))


def _label(target: str) -> str:
    """A target's name as one field of a line. An address (`sftp://...`) is a name, too; its root may hold blanks."""
    return quote(target, safe="!\"$&'()*+-./:;<=>?@[\\]^_`{|}~", errors="surrogateescape")


def _text(path: Path) -> str:
    """What a file of the user's holds. Its names may be in any encoding; a revocation in it must not be missed."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}", remedy="Make it readable for your account."
        ) from error


def _foreign_line(text: str) -> _Line | None:
    """Reads a line as OpenSSH writes it; None for one that OpenSSH would pass over, too."""
    fields = text.split()
    marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
    if len(fields) < 3 or fields[0].startswith("#"):
        return None
    try:
        return _Line(tuple(fields[0].split(",")), fields[1], base64.b64decode(fields[2], validate=True), marker)
    except binascii.Error:
        return None


def _matches(patterns: Sequence[str], address: str) -> bool:
    """Whether an address is meant by a line's patterns: plain, hashed, with `*` and `?`, or negated by `!`."""
    name = address.lower()
    if any(_context(pattern[1:], name) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_context(pattern, name) for pattern in patterns)


def _context(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in pattern[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
    return fnmatch.fnmatchcase(name, pattern.lower().replace("[", "[[]"))


def _changed(target: str, address: str, known: bytes, offered: bytes, file: Path, *, ours: bool) -> HostKeyChanged:
    return HostKeyChanged(
        f"the key of {address} is not the one pinned for {target}:\n"
        f"  pinned  {fingerprint(known)} (in {file})\n"
        f"  offered {fingerprint(offered)}",
        remedy="A machine that was made anew has a new key; somebody between you and it has one as well. Compare the "
        f"offered key with what the provider shows, then {_pinning_anew(target, address, offered, ours=ours)}.",
    )


def _pinning_anew(target: str, address: str, offered: bytes, *, ours: bool) -> str:
    if not _is_address(target):
        return f"run `uploader login` for {target} again with --host-key {fingerprint(offered)}"
    if not ours:
        return f"take the old one out by `ssh-keygen -R {shlex.quote(address)}` and push again"
    return (
        f"run `uploader logout {shlex.quote(target)}`, which forgets the pinned key, and push again: on a terminal the "
        "new one is shown and asked about, elsewhere it must be in ~/.ssh/known_hosts"
    )


def _trusting(target: str, address: str, offered: bytes) -> str:
    """How a new key is trusted. An address is never logged in to."""
    if _is_address(target):
        return (
            f"Compare it with what the provider shows, then put its line ({address}, type, key) into "
            "~/.ssh/known_hosts, as `ssh` does when you sign in by it once; or push on a terminal, where you are asked."
        )
    return (
        f"Compare it with what the provider shows, then add --host-key {fingerprint(offered)} "
        "(or --accept-new-host-key, which trusts whoever answers the first time) to `uploader login`."
    )


def _is_address(target: str) -> bool:
    return "://" in target
