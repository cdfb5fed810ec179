"""Where the faults of sockets, of paramiko and of SFTP's status codes become ours."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import paramiko

from uploader.errors import (
    NetworkError,
    NoPermission,
    RemoteMissing,
    RemoteRefused,
    Unsupported,
    UploaderError,
)


class Status(IntEnum):
    """The status codes of SFTP version 3 that mean something of their own (draft-ietf-secsh-filexfer-02, section 7).

    The others, SSH_FX_FAILURE (4) and SSH_FX_BAD_MESSAGE (5), say only that it failed."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    NO_CONNECTION = 6
    CONNECTION_LOST = 7
    OP_UNSUPPORTED = 8


class EndOfFile(RemoteRefused):
    """A file or a listing has no more to give. Never leaves this folder."""


class NothingInCommon(RemoteRefused):
    """The server and we have no algorithm in common."""


_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.EHOSTDOWN)
_AGAIN = "Check the line and run the same command again: what arrived is kept."


@contextmanager
def mapped(where: str) -> Iterator[None]:
    """Turns foreign exceptions into ours. `where` names the server as its user knows it."""
    try:
        yield
    except UploaderError:
        raise
    except (socket.gaierror, UnicodeError) as error:  # a name with an empty or endless label is a UnicodeError
        raise NetworkError(
            f"the name of {where} is not known{_tail(error)}",
            remedy="Check the host's spelling; rented machines get a new address when they are started again.",
        ) from error
    except TimeoutError as error:
        raise NetworkError(f"{where} does not answer", remedy=_AGAIN) from error
    except ConnectionRefusedError as error:
        raise NetworkError(
            f"{where} refuses the connection",
            remedy="Is the instance running, and is this the SSH port it shows today?",
        ) from error
    except paramiko.ssh_exception.IncompatiblePeer as error:
        raise NothingInCommon(
            f"{where} and this program have no way in common to encrypt: {error}",
            remedy="Ask the provider for an image with a current OpenSSH.",
        ) from error
    except paramiko.ChannelException as error:
        raise RemoteRefused(f"{where} refused to open a channel: {error.text}") from error
    except (EOFError, OSError, paramiko.SSHException) as error:
        if isinstance(error, OSError) and error.errno in _UNREACHABLE:
            raise NetworkError(f"{where} cannot be reached{_tail(error)}", remedy=_AGAIN) from error
        raise NetworkError(f"the connection to {where} was lost{_tail(error)}", remedy=_AGAIN) from error


def _tail(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) and error.strerror else str(error)).strip()
    return f" ({text})" if text else ""


def refusal(code: int, text: str, what: str) -> UploaderError:
    """Names a status code that is not OK (draft-ietf-secsh-filexfer-02, section 7).

    `what` says what was tried, such as `write to /x/y`."""
    said = f": {text}" if text and text.lower() not in ("failure", "no such file", "permission denied") else ""
    match code:
        case Status.EOF:
            return EndOfFile(f"cannot {what}: the server says end of file")
        case Status.NO_SUCH_FILE:
            return RemoteMissing(f"cannot {what}: there is no such file or folder on the server{said}")
        case Status.PERMISSION_DENIED:
            return NoPermission(
                f"cannot {what}: the server does not permit it{said}",
                remedy="Is the root right, and may this account write there?",
            )
        case Status.OP_UNSUPPORTED:
            return Unsupported(f"cannot {what}: the server does not know that operation{said}")
        case Status.NO_CONNECTION | Status.CONNECTION_LOST:
            return NetworkError(f"cannot {what}: the server lost its connection{said}", remedy=_AGAIN)
        case _:
            return RemoteRefused(
                f"cannot {what}: the server says only that it failed{said}",
                remedy="A full disk or a quota often looks like this.",
            )
