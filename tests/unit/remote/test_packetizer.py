"""Packets are the same on the line as paramiko's own, whichever way they were made; lines that are stuck are lost."""

from __future__ import annotations

import hashlib
import os
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.packet import Packetizer

from tests.servers.openssh import OpenSSH, needs_sshd
from tests.unit.remote.visitors import Visitor
from uploader.errors import NetworkError
from uploader.remote.sftp.packetizer import Batch, BatchedPacketizer, ReadAhead, send_all


@contextmanager
def pair() -> Iterator[tuple[BatchedPacketizer, Packetizer]]:
    """Ours, which sends, and paramiko's own, which reads."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.settimeout(0.1)
    with ours, theirs:
        yield BatchedPacketizer(ours), Packetizer(theirs)


def with_gcm(ours: Any, theirs: Any, nonce: bytes) -> None:
    key = os.urandom(16)
    ours.set_outbound_cipher(AESGCM(key), 16, None, 16, None, aead=True, iv_out=nonce)
    theirs.set_inbound_cipher(AESGCM(key), 16, None, 16, None, aead=True, iv_in=nonce)


def with_ctr(ours: Any, theirs: Any) -> None:
    key, counter, mac_key = os.urandom(16), os.urandom(16), os.urandom(32)
    cipher = Cipher(algorithms.AES(key), modes.CTR(counter))
    ours.set_outbound_cipher(cipher.encryptor(), 16, hashlib.sha256, 32, mac_key, sdctr=True, etm=True)
    theirs.set_inbound_cipher(cipher.decryptor(), 16, hashlib.sha256, 32, mac_key, etm=True)


def batch_of(payloads: list[bytes]) -> Batch:
    batch = Batch()
    for payload in payloads:
        cut = len(payload) // 3
        batch.add(payload[:1], memoryview(payload)[1:cut], payload[max(1, cut) :]) if cut > 1 else batch.add(payload)
    return batch


def received(theirs: Packetizer, count: int) -> list[bytes]:
    messages = [theirs.read_message() for _ in range(count)]
    return [bytes((kind,)) + message.get_remainder() for kind, message in messages]


# packets ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cipher", ["none", "gcm", "ctr"])
def test_what_is_sent_by_one_or_in_batches_is_read_by_paramiko(cipher: str) -> None:
    draw = random.Random(5)
    payloads = [bytes((94,)) + draw.randbytes(size) for size in (0, 1, 2, 10, 11, 12, 13, 27, 28, 29, 1000, 33000, 9)]
    with pair() as (ours, theirs):
        if cipher == "gcm":
            with_gcm(ours, theirs, os.urandom(12))
        elif cipher == "ctr":
            with_ctr(ours, theirs)
        ours.send_message(batch_of(payloads))
        ours.send_message(paramiko.Message(b"\x02between"))
        ours.send_message(batch_of(payloads[:2]))
        assert received(theirs, len(payloads)) == payloads
        assert received(theirs, 3) == [b"\x02between", *payloads[:2]]


def test_the_counter_of_a_nonce_carries_as_paramiko_counts() -> None:
    for counter in (0xFF, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FF00 - 1):
        with pair() as (ours, theirs):
            with_gcm(ours, theirs, b"fixd" + counter.to_bytes(8, "big"))
            payloads = [bytes((94, number)) for number in range(5)]
            ours.send_message(batch_of(payloads))
            assert received(theirs, 5) == payloads


def test_padding_keeps_to_the_rules_of_the_transport() -> None:
    """RFC 4253, section 6: at least four bytes of it, at most 255; the length is a multiple of the block."""
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(5)
        far.settimeout(5)
        ours = BatchedPacketizer(near)
        key, nonce = os.urandom(16), os.urandom(12)
        ours.set_outbound_cipher(AESGCM(key), 16, None, 16, None, aead=True, iv_out=nonce)
        for size in range(1, 70):
            ours.send_message(batch_of([bytes(size)]))
            head = far.recv(4, socket.MSG_WAITALL)
            length = int.from_bytes(head, "big")
            body = far.recv(length + 16, socket.MSG_WAITALL)
            counter = int.from_bytes(nonce[4:], "big") + size - 1
            plain = AESGCM(key).decrypt(nonce[:4] + (counter % 2**64).to_bytes(8, "big"), body, head)
            assert length % 16 == 0
            assert 4 <= plain[0] <= 255
            assert length == 1 + size + plain[0]


def test_threads_that_send_at_once_never_use_a_nonce_twice() -> None:
    with pair() as (ours, theirs):
        with_gcm(ours, theirs, os.urandom(12))
        payloads = [[bytes((94, sender, number)) for number in range(40)] for sender in range(4)]
        threads = [threading.Thread(target=ours.send_message, args=(batch_of(own),)) for own in payloads]
        for thread in threads:
            thread.start()
        got = received(theirs, 160)
        for thread in threads:
            thread.join()
    for sender, own in enumerate(payloads):
        assert [payload for payload in got if payload[1] == sender] == own


def test_new_keys_are_asked_for_after_enough_bytes() -> None:
    with pair() as (ours, theirs):
        ours.REKEY_BYTES = 5000
        with_gcm(ours, theirs, os.urandom(12))
        ours.send_message(batch_of([bytes((94,)) * 2000]))
        assert not ours.need_rekey()
        ours.send_message(batch_of([bytes((94,)) * 3000]))
        assert ours.need_rekey()
        with_gcm(ours, theirs, os.urandom(12))
        with_gcm(BatchedPacketizer(None), ours, os.urandom(12))
        assert not ours.need_rekey()


# a channel's window -----------------------------------------------------------------------------------


class Line:
    """The half of a paramiko transport that a channel sends by."""

    def __init__(self) -> None:
        self.active = True
        self.batches: list[list[bytes]] = []

    def get_log_channel(self) -> str:
        return "tests"

    def _sanitize_packet_size(self, size: int) -> int:
        return size

    def _send_user_message(self, batch: Batch, channel: object) -> None:
        self.batches.append([b"".join(chunks) for chunks in batch.payloads])


def channel_to(line: Line, window: int, largest: int) -> Any:
    channel: Any = paramiko.Channel(7)
    channel._set_transport(line)
    channel._set_window(1 << 20, 32768)
    channel._set_remote_channel(9, window, largest)
    channel.settimeout(5)
    return channel


def test_write_is_cut_into_the_largest_packets_allowed() -> None:
    line = Line()
    channel = channel_to(line, 1 << 20, 32768)
    largest = channel.out_max_packet_size
    data = random.Random(1).randbytes(300_000)
    send_all(channel, [data[:13], memoryview(data)[13:]])
    packets = [packet for batch in line.batches for packet in batch]
    assert all(packet[:5] == b"\x5e\x00\x00\x00\x09" for packet in packets)
    assert all(int.from_bytes(packet[5:9], "big") == len(packet) - 9 <= largest for packet in packets)
    assert b"".join(packet[9:] for packet in packets) == data
    assert channel.out_window_size == (1 << 20) - len(data)
    assert max(map(len, line.batches)) > 1


def test_what_fits_the_window_goes_before_the_rest_is_waited_for() -> None:
    line = Line()
    channel = channel_to(line, 50_000, 32768)
    sender = threading.Thread(target=send_all, args=(channel, [bytes(80_000)]))
    sender.start()
    deadline = time.monotonic() + 5
    while sum(len(packet) - 9 for batch in line.batches for packet in batch) < 50_000:
        assert time.monotonic() < deadline
        time.sleep(0.002)  # another thread's list: nothing else tells
    assert sender.is_alive()
    grown = paramiko.Message()
    grown.add_int(30_000)
    grown.rewind()
    channel._window_adjust(grown)
    sender.join(5)
    assert sum(len(packet) - 9 for batch in line.batches for packet in batch) == 80_000


def test_shut_window_and_closed_channel_have_their_errors() -> None:
    channel = channel_to(Line(), 10, 32768)
    channel.settimeout(0.05)
    with pytest.raises(TimeoutError):
        send_all(channel, [bytes(11)])
    channel.closed = True
    with pytest.raises(OSError, match="closed"):
        send_all(channel, [b"x"])


# the socket -------------------------------------------------------------------------------------------


def test_reading_ahead_hands_out_what_came_in_any_helpings() -> None:
    near, far = socket.socketpair()
    with near, far:
        line = ReadAhead(near)
        data = random.Random(2).randbytes(50_000)
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        got = bytearray()
        for size in (1, 4, 16, 3, 70_000, 5, 70_000, 70_000):
            chunk = line.recv(size)
            assert len(chunk) <= size
            got += chunk
        assert bytes(got) == data
        assert line.recv(10) == b""
        assert line.fileno() == near.fileno()


def test_a_line_that_takes_nothing_for_too_long_is_lost() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.02)
        packets = BatchedPacketizer(ReadAhead(near, silence_seconds=0.2))
        began = time.monotonic()
        with pytest.raises(EOFError):
            packets.write_all(bytes(8_000_000))
        assert 0.2 <= time.monotonic() - began < 5


@pytest.mark.timing
def test_a_line_that_is_slow_is_not_lost() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.settimeout(0.02)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        packets = BatchedPacketizer(ReadAhead(near, silence_seconds=0.25))
        writing = threading.Thread(target=packets.write_all, args=(bytes(30_000),))
        writing.start()
        got = 0
        while got < 30_000:
            got += len(far.recv(4000))
            time.sleep(0.06)  # the line's own slowness
        writing.join()


# real keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ciphers", ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr"])
def test_bytes_survive_new_keys_in_both_directions(tmp_path: Path, ciphers: str) -> None:
    needs_sshd()
    size = 6 << 20
    with OpenSSH(tmp_path / "server", extra=("RekeyLimit 1M", f"Ciphers {ciphers}", "LogLevel DEBUG1")) as server:
        data = random.Random(3).randbytes(size)
        with Visitor(tmp_path).connection(server, identity_file=str(server.identity_file)) as connection:
            files = connection.files
            path = files.resolve("f")
            writer = files.open_writer(path, fresh=True)
            for at in range(0, size, writer.request_bytes):
                writer.send(at, memoryview(data)[at : at + writer.request_bytes])
                writer.reap(wait=writer.pending > 4 << 20)
            writer.close()
            assert (server.home / "f").read_bytes() == data
            assert b"".join(files.read(path, [(at, 1 << 20) for at in range(0, size, 1 << 20)])) == data
            assert connection.hashes(path, [(0, size)]) == [hashlib.sha256(data).hexdigest()]
        assert server.log().count("rekeying in progress") + server.log().count("SSH2_MSG_NEWKEYS received") >= 8


def test_a_line_that_is_stuck_in_the_midst_of_a_write_is_lost(tmp_path: Path) -> None:
    """The server's process is stopped: the system's buffers fill up, and then nothing goes out any more."""
    needs_sshd()
    visitor = Visitor(tmp_path)
    with (
        OpenSSH(tmp_path / "server") as server,
        visitor.connection(server, identity_file=str(server.identity_file), silence_seconds=0.6) as connection,
    ):
        sock: Any = connection._transports[-1].sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        writer = connection.files.open_writer(connection.files.resolve("f"), fresh=True)
        server.freeze_sessions()

        def send() -> None:
            for at in range(0, 64 << 20, writer.request_bytes):
                writer.send(at, bytes(writer.request_bytes))

        began = time.monotonic()
        with pytest.raises(NetworkError):
            send()
        assert time.monotonic() - began < 10
