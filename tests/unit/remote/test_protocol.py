"""Requests and answers of SFTP 3, and what becomes of answers that no server should give."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import paramiko
import pytest

from uploader.errors import NetworkError, NoPermission, NoSftp, RemoteMissing, RemoteRefused, UploaderError
from uploader.remote.sftp import protocol as wire
from uploader.remote.sftp.errors import EndOfFile
from uploader.remote.sftp.protocol import SftpProtocol, Unpacker, check, string

VERSION = struct.pack(">IBI", 5, wire.VERSION, 3)


class _Line:
    """A channel's part that the protocol speaks with, over a pair of sockets."""

    def __init__(self, ours: socket.socket) -> None:
        self._ours = ours

    def sendall(self, data: bytes) -> None:
        self._ours.sendall(data)

    def recv(self, size: int) -> bytes:
        return self._ours.recv(size)

    def settimeout(self, seconds: float) -> None:
        self._ours.settimeout(seconds)

    def recv_ready(self) -> bool:
        self._ours.setblocking(False)
        try:
            return bool(self._ours.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False
        finally:
            self._ours.settimeout(5)

    def get_transport(self) -> _Alive:
        return _Alive()


class _Alive:
    def join(self, timeout: float) -> None: ...

    def is_active(self) -> bool:
        return True


@contextmanager
def line(said: bytes = VERSION) -> Iterator[tuple[paramiko.Channel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(5)
        theirs.sendall(said)
        yield cast(paramiko.Channel, cast(Any, _Line(ours))), theirs


def answer(kind: int, number: int, payload: bytes) -> bytes:
    return struct.pack(">IBI", 5 + len(payload), kind, number) + payload


def status(number: int, code: int, text: str = "") -> bytes:
    return answer(wire.STATUS, number, struct.pack(">I", code) + string(text) + string("en"))


def test_the_hello_names_the_extensions() -> None:
    body = struct.pack(">BI", wire.VERSION, 3) + string("a@b") + string("1") + string("c") + string(b"\xff")
    with line(struct.pack(">I", len(body)) + body) as (channel, server):
        assert SftpProtocol(channel, "box", plainly).extensions == {"a@b": b"1", "c": b"\xff"}
        assert server.recv(100) == struct.pack(">IBI", 5, wire.INIT, 3)


def plainly(channel: paramiko.Channel, parts: Sequence[bytes | memoryview]) -> None:
    channel.sendall(b"".join(parts))


def test_answers_are_matched_by_their_number_in_any_order() -> None:
    with line() as (channel, server):
        session = SftpProtocol(channel, "box", plainly)
        numbers = [session.post(wire.STAT, string(name)) for name in "abc"]
        assert not session.ready()
        for number in reversed(numbers):
            server.sendall(answer(wire.DATA, number, string(str(number))))
        assert session.wait(numbers[0]) == (wire.DATA, string(str(numbers[0])))
        assert session.ready()
        taken = dict([session.take(), session.take()])
        assert taken == {number: (wire.DATA, string(str(number))) for number in numbers[1:]}
        assert not session.ready()


def test_an_answer_in_single_bytes_is_whole() -> None:
    with line() as (channel, server):
        session = SftpProtocol(channel, "box", plainly)
        number = session.post(wire.STAT, string("a"))
        whole = answer(wire.DATA, number, string("x" * 10))
        server.sendall(whole[:3])
        server.sendall(whole[3:7])
        server.sendall(whole[7:])
        assert session.wait(number) == (wire.DATA, string("x" * 10))


def test_a_request_is_packed_as_the_draft_says() -> None:
    with line() as (channel, server):
        session = SftpProtocol(channel, "box", plainly)
        server.recv(100)
        number = session.post(wire.WRITE, string(b"h"), struct.pack(">QI", 7, 3), memoryview(b"abc"))
        body = struct.pack(">BI", wire.WRITE, number) + string(b"h") + struct.pack(">QI", 7, 3) + b"abc"
        assert server.recv(100) == struct.pack(">I", len(body)) + body


def test_a_bad_status_is_raised_by_call() -> None:
    with line() as (channel, server):
        session = SftpProtocol(channel, "box", plainly)
        server.sendall(status(1, 2, "No such file"))
        with pytest.raises(RemoteMissing, match="look at /x"):
            session.call(wire.STAT, string("/x"), what="look at /x")
        server.sendall(status(2, 0))
        assert session.call(wire.STAT, string("/x"), what="look at /x")[0] == wire.STATUS


@pytest.mark.parametrize("size", [0, 4, 4 * 1024 * 1024 + 1, 0xFFFFFFFF])
def test_a_packet_of_impossible_size_ends_the_line(size: int) -> None:
    with line() as (channel, server):
        session = SftpProtocol(channel, "box", plainly)
        server.sendall(struct.pack(">I", size) + bytes(20))
        with pytest.raises(NetworkError):
            session.take()


def test_an_answer_that_is_cut_is_a_lost_line() -> None:
    with line() as (channel, server):
        session = SftpProtocol(channel, "box", plainly)
        server.sendall(status(1, 0)[:-3])
        server.shutdown(socket.SHUT_WR)
        with pytest.raises(NetworkError):
            session.take()


@pytest.mark.parametrize(
    "said",
    [b"", b"W", b"Welcome\n", b"\x00\x00\x00\x05\x63\x00\x00\x00\x03", b"\x7f\xff\xff\xff", "日本語\n".encode()],
)
def test_what_is_no_hello_is_no_sftp(said: bytes) -> None:
    with line(said) as (channel, server):
        server.shutdown(socket.SHUT_WR)
        with pytest.raises(NoSftp, match="box"):
            SftpProtocol(channel, "box", plainly)


def test_text_before_the_hello_is_shown_without_the_protocol() -> None:
    with line(b"\x1b[1mHello\x1b[0m \r\n  there\n" + VERSION) as (channel, server):
        server.shutdown(socket.SHUT_WR)
        with pytest.raises(NoSftp) as caught:
            SftpProtocol(channel, "box", plainly)
        assert "'[1mHello[0m there'" in caught.value.message


def test_a_silent_server_is_a_lost_line() -> None:
    with line(b"") as (channel, _):
        channel.settimeout(0.1)
        with pytest.raises(NetworkError, match="does not answer"):
            SftpProtocol(channel, "box", plainly)


def test_fields_are_read_in_order() -> None:
    fields = Unpacker(struct.pack(">IQ", 7, 1 << 40) + string("日本") + string(b"\xff") + b"rest")
    assert (fields.number(), fields.long(), fields.text()) == (7, 1 << 40, "日本")
    assert fields.text().encode("utf-8", "surrogateescape") == b"\xff"
    assert fields.rest() == b"rest"
    assert fields.rest() == b""


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"\0\0\0\5abc"])
def test_fields_that_end_too_early_are_refused(data: bytes) -> None:
    with pytest.raises(RemoteRefused):
        Unpacker(data).raw()


def test_a_status_is_read_with_and_without_its_text() -> None:
    check(struct.pack(">I", 0), "x")
    for tail in (b"", string("Permission denied") + string("")):
        with pytest.raises(NoPermission):
            check(struct.pack(">I", 3) + tail, "write")
    with pytest.raises(EndOfFile):
        check(struct.pack(">I", 1), "read")
    with pytest.raises(UploaderError):
        check(b"", "read")
