"""All that a socket, paramiko or a server's status says leaves this room under a name of ours."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import paramiko
import pytest
from paramiko import ssh_exception

from uploader import errors
from uploader.errors import (
    NetworkError,
    NoPermission,
    RemoteMissing,
    RemoteRefused,
    Unsupported,
    UploaderError,
)
from uploader.remote.sftp.errors import EndOfFile, mapped, refusal


def made(kind: type[BaseException]) -> BaseException:
    """One of that kind, with as many arguments as it takes."""
    if kind is ssh_exception.NoValidConnectionsError:
        return ssh_exception.NoValidConnectionsError({("127.0.0.1", 22): OSError("refused")})
    if kind is ssh_exception.BadHostKeyException:
        key = paramiko.ECDSAKey.generate()
        return ssh_exception.BadHostKeyException("host", key, key)
    if kind is paramiko.ChannelException:
        return paramiko.ChannelException(1, "administratively prohibited")
    arguments = max(len(inspect.signature(kind.__init__).parameters) - 1, 1) if "__init__" in vars(kind) else 1
    return kind(*["x"] * arguments)


def foreign() -> Iterator[BaseException]:
    for _, kind in inspect.getmembers(ssh_exception, inspect.isclass):
        if issubclass(kind, Exception) and kind.__module__ == "paramiko.ssh_exception":
            yield made(kind)
    yield from (EOFError(), EOFError("end"), TimeoutError(), TimeoutError("timed out"), OSError("Socket is closed"))
    yield from (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), UnicodeError("label too long"))
    for name in dir(errno):
        if name.startswith("E"):
            code = getattr(errno, name)
            yield OSError(code, os.strerror(code))


@pytest.mark.parametrize("fault", list(foreign()), ids=lambda fault: f"{type(fault).__name__} {fault}"[:50])
def test_every_foreign_fault_gets_a_name_of_ours(fault: BaseException) -> None:
    with pytest.raises(UploaderError) as caught, mapped("box"):
        raise fault
    assert isinstance(caught.value, NetworkError | RemoteRefused)
    assert "box" in caught.value.message
    assert caught.value.__cause__ is fault
    assert "[Errno" not in caught.value.message


def test_every_class_of_paramiko_was_among_them() -> None:
    kinds = {type(fault) for fault in foreign()}
    assert {paramiko.SSHException, paramiko.AuthenticationException, paramiko.ChannelException} <= kinds
    assert len(kinds) > 15


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "is not known"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "refuses the connection"),
        (TimeoutError(), "does not answer"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "cannot be reached"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "was lost (Connection reset by peer)"),
        (EOFError(), "was lost"),
    ],
)
def test_what_often_happens_has_its_own_words(fault: BaseException, words: str) -> None:
    with pytest.raises(NetworkError) as caught, mapped("box"):
        raise fault
    assert words in caught.value.message
    assert caught.value.remedy


def test_our_own_faults_pass_as_they_are() -> None:
    ours = errors.HostKeyUnknown("x")
    with pytest.raises(errors.HostKeyUnknown) as caught, mapped("box"):
        raise ours
    assert caught.value is ours


def test_a_mistake_of_ours_is_not_dressed_up_as_the_networks() -> None:
    with pytest.raises(ZeroDivisionError), mapped("box"):
        _ = 1 // 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, EndOfFile),
        (2, RemoteMissing),
        (3, NoPermission),
        (4, RemoteRefused),
        (5, RemoteRefused),
        (6, NetworkError),
        (7, NetworkError),
        (8, Unsupported),
        (9, RemoteRefused),
        (4711, RemoteRefused),
    ],
)
def test_every_status_has_a_name(code: int, kind: type[UploaderError]) -> None:
    error = refusal(code, "the server's words", "write to /x")
    assert type(error) is kind
    assert "write to /x" in error.message
    if code != 1:
        assert "the server's words" in error.message


def test_a_generic_failure_points_to_a_full_disk() -> None:
    assert "full disk" in (refusal(4, "Failure", "write to /x").remedy or "")
    assert "Failure" not in refusal(4, "Failure", "write to /x").message


def test_paramikos_tracebacks_do_not_reach_the_terminal() -> None:
    program = (
        "import uploader.remote.sftp, logging\n"
        "logging.getLogger('paramiko.transport').error('Exception (client): x')\n"
        "logging.getLogger('paramiko').error('Socket exception')\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stderr == ran.stdout == ""
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("paramiko").handlers)
