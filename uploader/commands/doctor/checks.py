"""The checks of doctor, in their order on the way to a target, each with its remedy."""

from __future__ import annotations

import posixpath
import secrets
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from uploader.commands.doctor.diagnosis import Check, Diagnosis
from uploader.credentials import password_account
from uploader.errors import (
    CredentialsMissing,
    CredentialsRefused,
    HostKeyChanged,
    HostKeyUnknown,
    KeyringUnavailable,
    NetworkError,
    NoSftp,
    NoSuchRoot,
    RemoteRefused,
    UploaderError,
)
from uploader.remote.interface import Connection
from uploader.remote.sftp import Address, SftpConnector
from uploader.session.session import Session
from uploader.session.target import TargetSession
from uploader.webui.connect import NO_ADDRESS, address_of, reached
from uploader.webui.inspect import facts_of

PROBE_SECONDS = 2.0
"""How long the speed is measured, in seconds."""

_DIAL_SECONDS = 10.0
_WINDOW = 8 << 20
_MOST_PROBE_BYTES = 512 << 20
_CLOCK_SECONDS = 60

_OTHER_WEBUI = "`uploader login` again with --webui ID saves which one it is."
_OTHER_FOLDERS = "`uploader webui` shows them; `uploader login` again offers to use them."


@dataclass
class Doctor:
    """The checks of one target. `clock` returns the time of day, `meter` monotonic seconds."""

    session: Session
    target: TargetSession
    clock: Callable[[], float] = time.time
    meter: Callable[[], float] = time.monotonic
    probe_seconds: float = PROBE_SECONDS

    def run(self) -> Diagnosis:
        """Return what was found. Raises only what no check covers."""
        connector, _ = self.session.connector(self.target.target)
        checks = [*self._outside(connector), *self._inside(connector), self._keyring()]
        return Diagnosis(self.target.name, tuple(checks), tuple(self._private(connector)))

    # on the way there ----------------------------------------------------------------------------------

    def _outside(self, connector: SftpConnector) -> Iterator[Check]:
        try:
            address = connector.address()
        except UploaderError as error:
            yield _failed("address", error)
            return
        if address.jumps or address.proxy_command:
            hop = "a jump host" if address.jumps else "a ProxyCommand"
            yield Check("name resolution", "skipped", f"{address.host} is reached by way of {hop}")
            return
        name = self._resolved(address)
        yield name
        if name.state == "ok":
            yield self._port(address)

    def _resolved(self, address: Address) -> Check:
        try:
            found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        except OSError as error:
            remedy = "Check the host's spelling; rented machines get a new address when they are started again."
            return Check(
                "name resolution",
                "failed",
                f"{address.host} is not known ({error.strerror})",
                remedy,
                NetworkError.exit_code,
            )
        return Check("name resolution", "ok", ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found)))

    def _port(self, address: Address) -> Check:
        began = self.meter()
        try:
            socket.create_connection((address.host, address.port), timeout=_DIAL_SECONDS).close()
        except OSError as error:
            remedy = "Is the instance running, and is this the SSH port that it shows today?"
            reason = error.strerror or "no answer"
            return Check(
                "port", "failed", f"port {address.port} cannot be reached ({reason})", remedy, NetworkError.exit_code
            )
        return Check("port", "ok", f"port {address.port} answers in {(self.meter() - began) * 1000:.0f} ms")

    # on the server ----------------------------------------------------------------------------------------

    def _inside(self, connector: SftpConnector) -> Iterator[Check]:
        began = self.meter()
        try:
            connection = connector.connect()
        except UploaderError as error:
            yield _failed(_stage(error), error)
            return
        try:
            yield from self._facts(connection, self.meter() - began)
            yield from self._root(connection)
            yield self._webui(connection)
        except UploaderError as error:
            yield _failed("connection", error)
        finally:
            connection.close()

    def _facts(self, connection: Connection, seconds: float) -> Iterator[Check]:
        facts = connection.facts
        yield Check("host key", "ok", f"{facts.key_type} {facts.host_key}")
        yield Check("authentication", "ok", f"{facts.auth}; signed in after {seconds:.1f} s")
        largest = f"requests of {facts.request_bytes // 1024} KiB"
        yield Check("SFTP", "ok", f"{facts.software}, {largest}, starts in {facts.home}")
        if not facts.shell:
            yield Check("shell", "ok", "none: bytes are proven by reading them back")
        elif not facts.tools:
            yield Check("shell", "warning", "it has no tool to hash files", "Install python3 or openssl there.")
        else:
            yield Check("shell", "ok", f"with {', '.join(facts.tools)}")
        yield Check("round trip", "ok", f"{self._round_trip(connection) * 1000:.0f} ms")

    def _round_trip(self, connection: Connection) -> float:
        times = []
        for _ in range(5):
            began = self.meter()
            connection.files.stat(connection.files.home)
            times.append(self.meter() - began)
        return statistics.median(times)

    def _root(self, connection: Connection) -> Iterator[Check]:
        files = connection.files
        root = files.resolve(self.target.target.root)
        there = files.stat(root)
        if there is None or not there.is_folder:
            remedy = "Is the instance started with its disk? `uploader login` with --root saves another root."
            yield Check("root", "failed", f"{root} is not there", remedy, NoSuchRoot.exit_code)
            return
        yield Check("root", "ok", root)
        folders = [posixpath.join(root, folder) for folder in self.target.kinds]
        found = [path for path, entry in zip(folders, files.stat_all(folders), strict=True) if _is_folder(entry)]
        if found:
            yield Check("folders", "ok", f"{len(found)} of {len(folders)} that {self.target.webui.name} has are there")
        else:
            remedy = "Is this the WebUI's own root, and is it that WebUI? They are made when their parent is there."
            yield Check("folders", "warning", f"none that {self.target.webui.name} has is there", remedy)
        space = files.space(found[0] if found else root)
        if space is None:
            yield Check("free space", "skipped", "the server does not tell")
        else:
            full = space.free < space.total // 20
            text = f"{space.free / 1e9:.1f} GB of {space.total / 1e9:.1f} GB"
            yield Check("free space", "warning" if full else "ok", text, "`uploader rm` makes room." if full else None)
        room = min(_MOST_PROBE_BYTES, space.free // 4 if space else 64 << 20)
        yield from self._writing(connection, found[0] if found else root, room)

    def _writing(self, connection: Connection, folder: str, room: int) -> Iterator[Check]:
        """Write a file of its own, and always remove it."""
        path = posixpath.join(folder, f".uploader-doctor.{secrets.token_hex(4)}.part")
        try:
            rate = self._speed(connection, path, room)
            there = connection.files.stat(path)
            now = self.clock()
        except RemoteRefused as error:
            yield Check("writing", "failed", error.message, error.remedy or "May it write there?", error.exit_code)
            return
        finally:
            with suppress(UploaderError):
                connection.files.remove(path)
        yield Check("writing", "ok", f"files can be made and removed in {folder}")
        yield Check("speed", "ok", f"{rate / 1e6:.1f} MB/s up, over one connection")
        if there is None or there.mtime is None:
            yield Check("clock", "skipped", "the server tells no times")
        elif abs(apart := there.mtime - now) > _CLOCK_SECONDS:
            word = "ahead of" if apart > 0 else "behind"
            remedy = "Set one of the two right: sync compares the times of files."
            yield Check("clock", "warning", f"the server's is {abs(apart):.0f} s {word} this machine's", remedy)
        else:
            yield Check("clock", "ok", "the server's agrees with this machine's")

    def _speed(self, connection: Connection, path: str, room: int) -> float:
        """Return the bytes per second that the server acknowledged."""
        writer = connection.files.open_writer(path, fresh=True)
        data = secrets.token_bytes(writer.request_bytes)
        began, sent, done = self.meter(), 0, 0
        while self.meter() - began < self.probe_seconds and sent + len(data) <= room:
            writer.send(sent, data)
            sent += len(data)
            done += sum(length for _, length in writer.reap(wait=writer.pending > _WINDOW))
        while writer.pending and self.meter() - began < 2 * self.probe_seconds:
            done += sum(length for _, length in writer.reap())
        seconds = max(self.meter() - began, 0.001)
        writer.close()
        return done / seconds

    def _webui(self, connection: Connection) -> Check:
        """Check the WebUI. One that does not answer stops no model: it is a warning."""
        target, name = self.target.target, "WebUI address"
        if (address := address_of(target)) is None:
            return Check(name, "skipped", "not known", NO_ADDRESS)
        try:
            with reached(target, self.session, connection) as (_, member):
                facts = facts_of(member, target, self.session, connection, files=False)
        except UploaderError as error:
            return Check(name, "warning", error.message, error.remedy)
        text = f"{' or '.join(facts.webuis)}{f' {facts.version}' if facts.version else ''} answers at {address}"
        if not facts.fits:
            return Check(name, "warning", f"{text}, and not {target.webui}", _OTHER_WEBUI)
        if facts.differences:
            kinds = ", ".join(difference.kind for difference in facts.differences)
            return Check(name, "warning", f"{text}, and has other folders for: {kinds}", _OTHER_FOLDERS)
        return Check(name, "ok", text)

    # this machine -------------------------------------------------------------------------------------

    def _keyring(self) -> Check:
        try:
            known = self.session.keyring.get(password_account(self.target.name)) is not None
        except KeyringUnavailable as error:
            return Check("keyring", "warning", error.message, error.remedy)
        return Check("keyring", "ok", "it holds this target's password" if known else "it works, and holds no password")

    def _private(self, connector: SftpConnector) -> Iterator[tuple[str, str]]:
        """Yield each text to mask, and what replaces it in a report."""
        target = self.target.target
        yield target.name, "TARGET"
        yield target.host, "HOST"
        yield target.root, "ROOT"
        yield str(Path.home()), "~"  # masked first: the path pattern ends at a blank, and a home folder may have one
        if target.user:
            yield target.user, "USER"
        if target.webui_url:
            yield target.webui_url, "WEBUI"
            yield target.webui_url.rstrip("/"), "WEBUI"
            yield urlsplit(target.webui_url).hostname or "", "HOST"
        with suppress(UploaderError):
            address = connector.address()
            yield address.host, "HOST"
            yield str(address.port), "PORT"
            for hop in address.jumps:
                user, _, place = hop.rpartition("@")
                yield user, "USER"
                yield place.rpartition(":")[0] if place.count(":") == 1 else place, "HOST"
            if address.user:
                yield address.user, "USER"


def doctor(session: Session, to: str | None) -> Diagnosis:
    """Check everything between this machine and a target's folders. Raises UsageError, ConfigurationError."""
    with TargetSession(session, to) as target:
        return Doctor(session, target).run()


def _stage(error: UploaderError) -> str:
    match error:
        case HostKeyUnknown() | HostKeyChanged():
            return "host key"
        case CredentialsMissing() | CredentialsRefused():
            return "authentication"
        case NoSftp():
            return "SFTP"
        case _:
            return "connection"


def _failed(name: str, error: UploaderError) -> Check:
    return Check(name, "failed", error.message, error.remedy, error.exit_code)


def _is_folder(entry: object) -> bool:
    return getattr(entry, "is_folder", False) is True
