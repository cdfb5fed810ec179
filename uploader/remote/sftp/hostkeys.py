"""Which key belongs to which server: pinned by target, with the user's own known_hosts as a second witness."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import paramiko

from uploader.errors import ConfigurationError, HostKeyChanged, HostKeyUnknown
from uploader.remote.interface import OfferedKey, Trust

_SYSTEM = Path("/etc/ssh/ssh_known_hosts")


@dataclass(frozen=True)
class _Line:
    names: tuple[str, ...]
    key_type: str
    blob: bytes


def fingerprint(blob: bytes) -> str:
    """`SHA256:...` as OpenSSH prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class KnownHosts:
    """The file of pinned keys (sshd(8), SSH_KNOWN_HOSTS), and those of the user's own that are only read.

    A line of ours begins with the target's name: rented machines change address and key, and two targets behind
    one proxy's address have different keys.
    """

    def __init__(self, file: Path, *, ssh_folder: Path | None = None) -> None:
        self.file = file
        self._others = ((ssh_folder or Path.home() / ".ssh") / "known_hosts", _SYSTEM)
        self._lock = threading.Lock()
        self._session: dict[str, _Line] = {}

    def key_types(self, target: str, address: str) -> list[str]:
        """The types of key that are known for it: ask the server for one of these first."""
        pinned = self._pinned(target)
        return [line.key_type for line in pinned] or [key.get_name() for key in self._elsewhere(address)]

    def verify(self, offered: paramiko.PKey, target: str, address: str, trust: Trust) -> None:
        """Raises HostKeyChanged or HostKeyUnknown unless the key is known, or `trust` accepts a new one.

        An accepted key holds for this run; `keep` writes it down."""
        blob = offered.asbytes()
        with self._lock:
            if (seen := self._session.get(target)) is not None and seen.blob == blob:
                return
            self._refuse_revoked(blob, address)
            pinned = self._pinned(target)
            if not pinned:
                self._verify_new(offered, target, address, trust)
            elif not any(line.blob == blob for line in pinned):
                raise _changed(target, address, pinned[0].blob, blob, self.file)
            self._session[target] = _Line((target, address), offered.get_name(), blob)

    def expect(self, offered: paramiko.PKey, target: str, address: str, expected: str) -> None:
        """Accepts the key whose fingerprint the user gave, and no other, whatever was pinned before."""
        blob = offered.asbytes()
        if fingerprint(blob).removeprefix("SHA256:") != expected.removeprefix("SHA256:").rstrip("="):
            raise HostKeyChanged(
                f"the key of {address} is not the one you gave:\n"
                f"  given   {expected}\n  offered {fingerprint(blob)} ({offered.get_name()})",
                remedy="Compare the offered key with what the provider shows.",
            )
        with self._lock:
            self._refuse_revoked(blob, address)
            self._session[target] = _Line((target, address), offered.get_name(), blob)

    def keep(self, target: str) -> None:
        """Writes down the key that this run accepted for a target, and those of its jump hosts, as the one key."""
        with self._lock:
            seen = [line for name, line in self._session.items() if name == target or name.startswith(f"{target}+")]
            for line in seen:
                if not any(known == line for known in self._pinned(line.names[0])):
                    encoded = base64.b64encode(line.blob).decode()
                    self._rewrite(line.names[0], f"{','.join(line.names)} {line.key_type} {encoded}")

    def forget(self, target: str) -> None:
        """Drops the target's key and those of its jump hosts."""
        with self._lock:
            self._session.pop(target, None)
            names = {line.names[0] for line in self._lines()}
            for name in names:
                if name == target or name.startswith(f"{target}+"):
                    self._rewrite(name, None)

    def _verify_new(self, offered: paramiko.PKey, target: str, address: str, trust: Trust) -> None:
        blob = offered.asbytes()
        elsewhere = self._elsewhere(address)
        if any(key.asbytes() == blob for key in elsewhere):
            return
        same_type = [key for key in elsewhere if key.get_name() == offered.get_name()]
        if same_type:
            raise _changed(target, address, same_type[0].asbytes(), blob, self._others[0])
        if not trust(OfferedKey(target, address, offered.get_name(), fingerprint(blob))):
            raise HostKeyUnknown(
                f"the key of {address} is new: {offered.get_name()} {fingerprint(blob)}",
                remedy=f"Compare it with what the provider shows, then add --host-key {fingerprint(blob)} "
                "(or --accept-new-host-key, which trusts whoever answers the first time) to `uploader login`.",
            )

    def _pinned(self, target: str) -> list[_Line]:
        return [line for line in self._lines() if line.names[0] == target]

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

    def _rewrite(self, target: str, line: str | None) -> None:
        """Replaces the target's lines at once; a file that cannot be read is never overwritten."""
        kept: list[str] = []
        if self.file.exists():
            self._lines()
            kept = [text for text in self._text().splitlines() if text.split(",")[0].split(" ")[0] != target]
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        text = "\n".join([*kept, *([line] if line else [])])
        with tempfile.NamedTemporaryFile("w", dir=self.file.parent, delete=False, encoding="utf-8") as new:
            new.write(text + "\n" if text else "")
            new.flush()
            os.fsync(new.fileno())
        Path(new.name).replace(self.file)

    def _elsewhere(self, address: str) -> list[paramiko.PKey]:
        found: list[paramiko.PKey] = []
        for path in self._others:
            keys = _read_foreign(path).lookup(address)
            found += list(keys.values()) if keys else []
        return found

    def _refuse_revoked(self, blob: bytes, address: str) -> None:
        encoded = base64.b64encode(blob).decode()
        for path in self._others:
            if not path.is_file():
                continue
            for line in path.read_text("utf-8", "replace").splitlines():
                if line.startswith("@revoked") and encoded in line.split():
                    raise HostKeyChanged(
                        f"the key of {address}, {fingerprint(blob)}, is marked as revoked in {path}",
                        remedy="Do not connect; ask the provider.",
                    )


def _read_foreign(path: Path) -> paramiko.HostKeys:
    keys = paramiko.HostKeys()
    if not path.is_file():
        return keys
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        if line.startswith(("#", "@")) or not line.strip():
            continue
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line, number)
        except paramiko.SSHException:
            continue  # a line that OpenSSH would pass over, too
        if entry is not None and entry.key is not None:
            for name in entry.hostnames:
                keys.add(name, entry.key.get_name(), entry.key)
    return keys


def _changed(target: str, address: str, known: bytes, offered: bytes, file: Path) -> HostKeyChanged:
    return HostKeyChanged(
        f"the key of {address} is not the one pinned for {target}:\n"
        f"  pinned  {fingerprint(known)} (in {file})\n"
        f"  offered {fingerprint(offered)}",
        remedy="A machine that was made anew has a new key; somebody between you and it has one as well. Compare the "
        f"offered key with what the provider shows, then run `uploader login` for {target} again with "
        f"--host-key {fingerprint(offered)}.",
    )
