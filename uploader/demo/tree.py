"""The files of the embedded server's account: `/` is a folder, and no path or link leads out of it."""

from __future__ import annotations

import functools
import os
import posixpath
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar, cast

import paramiko
from paramiko.sftp import SFTP_FAILURE, SFTP_OK, SFTP_OP_UNSUPPORTED

if TYPE_CHECKING:
    from uploader.demo.server import EmbeddedServer, Gate

_READ_BYTES = 256 * 1024

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


def answered(operation: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T | int]:
    """Turns what the disk refuses into an SFTP status."""

    @functools.wraps(operation)
    def answer(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T | int:
        try:
            return operation(self, *args, **kwargs)
        except OSError as fault:
            return paramiko.SFTPServer.convert_errno(fault.errno or 0)
        except ValueError:  # a NUL in a name
            return SFTP_FAILURE

    return answer


def _apply(path: str, attr: paramiko.SFTPAttributes) -> None:
    if attr.st_size is not None:
        os.truncate(path, attr.st_size)
    if attr.st_mode is not None:
        Path(path).chmod(stat.S_IMODE(attr.st_mode))
    if attr.st_atime is not None and attr.st_mtime is not None:
        os.utime(path, (attr.st_atime, attr.st_mtime))


def _mode(attr: paramiko.SFTPAttributes, default: int) -> int:
    return default if attr.st_mode is None else stat.S_IMODE(attr.st_mode)


class Handle(paramiko.SFTPHandle):
    """One open file. Its session alone uses it, so seeking and writing need no lock."""

    def __init__(self, server: EmbeddedServer, path: str, flags: int, mode: int) -> None:
        super().__init__(flags)
        self.server = server
        self.path = path
        self._append = bool(flags & os.O_APPEND)
        self._fd: int | None = os.open(path, flags | getattr(os, "O_BINARY", 0), mode)

    @property
    def _open_fd(self) -> int:
        if self._fd is None:
            raise OSError("the file is closed")
        return self._fd

    @answered
    def read(self, offset: int, length: int) -> bytes:
        os.lseek(self._open_fd, offset, os.SEEK_SET)
        return os.read(self._open_fd, min(length, _READ_BYTES))

    def write(self, offset: int, data: object) -> int:
        return self.store(offset, cast(bytes, data))

    @answered
    def store(self, offset: int, data: bytes) -> int:
        """Writes all of `data`; a server that lies overrides this one."""
        if not self._append:
            os.lseek(self._open_fd, offset, os.SEEK_SET)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._open_fd, rest) :]
        return SFTP_OK

    @answered
    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._open_fd))

    @answered
    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        _apply(self.path, attr)
        return SFTP_OK

    def close(self) -> None:
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


class Tree(paramiko.SFTPServerInterface):
    """The operations on names. Follows draft-ietf-secsh-filexfer-02: `rename` never takes a name that is there."""

    handle: type[Handle] = Handle

    def __init__(self, gate: paramiko.ServerInterface) -> None:
        super().__init__(gate)
        self.server = cast("Gate", gate).server

    def local(self, path: str, *, follow: bool = True) -> str:
        """Returns the path on this disk. Raises PermissionError when it lies outside."""
        root = str(self.server.root)
        joined = os.path.join(root, *self.canonicalize(path).split("/")[1:])  # noqa: PTH118 - pathlib folds names
        real = os.path.realpath(joined)
        if not follow and os.path.normpath(joined) != root:
            folder, name = os.path.split(os.path.normpath(joined))
            real = str(Path(os.path.realpath(folder), name))
        if not Path(real).is_relative_to(root):
            raise PermissionError(13, "outside of the account")
        return real

    def canonicalize(self, path: str) -> str:
        return posixpath.normpath("/" + path.lstrip("/"))

    @answered
    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle:
        return self.handle(self.server, self.local(path), flags, _mode(attr, 0o666))

    @answered
    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes]:
        with os.scandir(self.local(path)) as entries:
            return [
                paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name) for entry in entries
            ]

    @answered
    def stat(self, path: str) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(Path(self.local(path)).stat())

    @answered
    def lstat(self, path: str) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(Path(self.local(path, follow=False)).lstat())

    @answered
    def remove(self, path: str) -> int:
        Path(self.local(path, follow=False)).unlink()
        return SFTP_OK

    @answered
    def rename(self, oldpath: str, newpath: str) -> int:
        source, destination = self.local(oldpath, follow=False), self.local(newpath, follow=False)
        with self.server.renaming:
            if os.path.lexists(destination):
                return SFTP_FAILURE
            Path(source).rename(destination)
        return SFTP_OK

    @answered
    def posix_rename(self, oldpath: str, newpath: str) -> int:
        if not self.server.behaviour.posix_rename:
            return SFTP_OP_UNSUPPORTED
        with self.server.renaming:
            Path(self.local(oldpath, follow=False)).replace(self.local(newpath, follow=False))
        return SFTP_OK

    @answered
    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        Path(self.local(path, follow=False)).mkdir(_mode(attr, 0o777))
        return SFTP_OK

    @answered
    def rmdir(self, path: str) -> int:
        Path(self.local(path, follow=False)).rmdir()
        return SFTP_OK

    @answered
    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        _apply(self.local(path), attr)
        return SFTP_OK
