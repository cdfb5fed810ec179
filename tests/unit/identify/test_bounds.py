"""Bounds for a hostile file: two seconds and 200 MB of memory, measured in a process of its own."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_LARGEST = 8 << 20
_TENSOR = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
_PROGRAM = """
import json, os, resource, sys, time
from pathlib import Path
from uploader.identify.read import read_identity
from uploader.errors import UploaderError
from uploader.identify import refuse

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def measure(path):
    before, began, refused = peak(), time.process_time(), None
    try:
        refuse(read_identity(path, path.name), path.name, allow_pickle=True)
    except UploaderError as error:
        refused = type(error).__name__
    print(json.dumps([refused, time.process_time() - began, peak() - before]), flush=True)

for line in sys.stdin:
    child = os.fork()  # its memory is counted from here on
    if not child:
        measure(Path(line.rstrip()))
        os._exit(0)
    os.waitpid(child, 0)
"""

LookAt = Callable[[Path], str | None]


@pytest.fixture(scope="module")
def look_at() -> Iterator[LookAt]:
    """Look at a file in a process of its own, within the bounds. Return the name of the error that refused it."""
    # What is measured is not traced as well, where lines are counted.
    untraced = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    command = [sys.executable, "-c", _PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=untraced) as process:
        ask, answers = process.stdin, process.stdout
        assert ask is not None
        assert answers is not None

        def look(path: Path) -> str | None:
            ask.write(f"{path}\n")
            ask.flush()
            refused, seconds, memory = json.loads(answers.readline())
            path.unlink()
            assert seconds < 2
            assert memory < 200_000_000
            return str(refused) if refused else None

        yield look
        ask.close()


def raw(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


HOSTILE: dict[str, Callable[[], bytes]] = {
    "of 100 MB": lambda: raw(b"{" + b" " * 99_999_999),
    "of 100 MB that is not there": lambda: (100_000_000).to_bytes(8, "little") + b'{"',
    "of lists": lambda: raw(b'{"a":[' + b"[]," * (_LARGEST // 3 - 9) + b"[]]}"),
    "of numbers": lambda: raw(b'{"a":{"dtype":"U8","shape":[' + b"999," * (_LARGEST // 4 - 99) + b"1]}}"),
    "deep in lists": lambda: raw(b'{"a":' + b"[" * (_LARGEST - 99)),
    "deep in objects": lambda: raw(b'{"a":' * (_LARGEST // 5 - 9)),
    "of one name": lambda: raw(b'{"' + "é".encode() * (_LARGEST // 2 - 99) + b'":1}'),
    "of escapes": lambda: raw(b'{"__metadata__":{"a":"' + b'\\"' * (_LARGEST // 2 - 99) + b'"}}'),
    "of metadata": lambda: raw(
        b'{"__metadata__":{' + b",".join(b'"%07d":"%01000d"' % (n, n) for n in range(8_000)) + b"}}"
    ),
    "of tensors": lambda: raw(("{" + ",".join(f'"{n:060}":{_TENSOR}' for n in range(66_000)) + "}").encode()),
    "of a name twice": lambda: raw(
        ("{" + ",".join(f'"{n:060}":{_TENSOR}' for n in (*range(65_000), 0)) + "}").encode()
    ),
    "of tensors that overlap": lambda: raw(
        (
            "{"
            + ",".join(f'"{n}":{{"dtype":"U8","shape":[9],"data_offsets":[{n},{n + 9}]}}' for n in range(65_000))
            + "}"
        )
        .encode()
        .ljust(_LARGEST)
    ),
}


@pytest.mark.parametrize(
    "make",
    [pytest.param(make, marks=pytest.mark.slow) if id == "of 100 MB" else make for id, make in HOSTILE.items()],
    ids=HOSTILE.keys(),
)
def test_header_that_is_hostile_costs_two_seconds_and_200_mb(
    make: Callable[[], bytes], tmp_path: Path, look_at: LookAt
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(make())
    assert look_at(path) in ("NotAModel", "Truncated")


def text(word: bytes) -> bytes:
    return struct.pack("<Q", len(word)) + word


def block_names() -> bytes:
    """Return as many names as fit, each nearly that of a transformer."""
    start = "t_embedder.blocks.1." + "a" * 80
    names = [f'"{start}{n:05}":{_TENSOR}' for n in range(_LARGEST // (len(start) + 60))]
    return raw(("{" + ",".join(names) + "}").encode())


def endless_tensors() -> bytes:
    axes = struct.pack("<I8Q", 8, *[(1 << 64) - 1] * 8) + struct.pack("<IQ", 0, (1 << 64) - 1)
    infos = b"".join(text(b"x" * 250 + b"%05d" % n) + axes for n in range(65_536))
    return b"GGUF" + struct.pack("<IQQ", 3, 65_536, 0) + infos


def large_names() -> bytes:
    """Return as many tensors as a GGUF may have, with names nearly those of a transformer."""
    rest = struct.pack("<IQIQ", 1, 0, 0, 0)
    infos = b"".join(text(b"t_embedder.blocks.1." + b"a" * 220 + b"%05d" % n) + rest for n in range(65_536))
    return b"GGUF" + struct.pack("<IQQ", 3, 65_536, 0) + infos + bytes(64)


def endless_texts() -> bytes:
    texts = struct.pack("<IIQ", 9, 8, 999_000) + text(b"ab") * 999_000
    return b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text(b"tokens") + texts


MODELS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "names of blocks": ("a.safetensors", block_names),
    "tensors without end": ("a.gguf", endless_tensors),
    "long names": ("a.gguf", large_names),
    "texts without end": ("a.gguf", endless_texts),
}


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS.keys())
def test_model_that_is_hostile_costs_two_seconds_and_200_mb(
    case: tuple[str, Callable[[], bytes]], tmp_path: Path, look_at: LookAt
) -> None:
    name, make = case
    path = tmp_path / name
    path.write_bytes(make())
    look_at(path)


def packed_zip(members: list[tuple[str, bytes]]) -> bytes:
    """Pack each content once, also for several members."""
    packed: dict[int, tuple[bytes, int]] = {}
    out, directory = bytearray(), bytearray()
    for name, content in members:
        if id(content) not in packed:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed[id(content)] = (packer.compress(content) + packer.flush(), zlib.crc32(content))
        data, crc = packed[id(content)]
        fields = struct.pack("<5H3I2H", 20, 0, 8, 0, 0, crc, len(data), len(content), len(name), 0)
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields
        directory += struct.pack("<3H2I", 0, 0, 0, 0, len(out)) + name.encode()
        out += b"PK\x03\x04" + fields + name.encode() + data
    end = struct.pack("<4H2IH", 0, 0, len(members), len(members), len(directory), len(out), 0)
    return bytes(out + directory + b"PK\x05\x06" + end)


def nested_bomb() -> bytes:
    content = b"\x80\x04B" + struct.pack("<I", 15_900_000) + bytes(15_900_000) + b"."
    inner = packed_zip([(f"a/m{n}", content) for n in range(256)])
    return packed_zip([(f"a/z{n}.pkl", inner) for n in range(200)])


_PAIR = b"K\x01K\x01\x86q\x020"
_ORDERED = b"\x80\x02ccollections\nOrderedDict\nq\x000" + _PAIR + b"]q\x01(" + b"h\x02" * 65_536 + b"e0"
_SHAPE = b"(" + b"K\x01" * 100_000 + b"tq\x010" + b"K\x00K\x00h\x01\x87q\x020"
_REBUILD = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x000"
_STATE = b"}q\x01(" + b"".join(b"M" + struct.pack("<H", n) + b"K\x01" for n in range(60_000)) + b"u0"
PICKLES: dict[str, Callable[[], bytes]] = {
    "zips in a zip": nested_bomb,
    "pairs again and again": lambda: _ORDERED + b"h\x00h\x01\x85R0" * 20_000 + b"}.",
    "a shape of many axes": lambda: _REBUILD + _SHAPE + b"(" + b"h\x00h\x02R" * 60_000 + b"t0}.",
    "a state of many tables": lambda: (
        (
            b"\x80\x02cargparse\nNamespace\nq\x000"
            + _STATE
            + b"("
            + b"h\x01" * 100
            + b"tq\x020h\x00)R"
            + b"h\x02b" * 2000
        )
        + b"."
    ),
    "tables in tables": lambda: (
        b"\x80\x02}q\x00" + b"".join(b"}q%c(K\x01h%cK\x02h%cu0" % (n + 1, n, n) for n in range(100)) + b"h\x64."
    ),
    "one large text": lambda: (
        b"\x80\x02X" + struct.pack("<I", 15_900_000) + "\U0001f600".encode() + b"a" * 15_899_996 + b"."
    ),
}


@pytest.mark.parametrize("make", PICKLES.values(), ids=PICKLES.keys())
def test_pickle_that_is_hostile_costs_two_seconds_and_200_mb(
    make: Callable[[], bytes], tmp_path: Path, look_at: LookAt
) -> None:
    path = tmp_path / "a.ckpt"
    path.write_bytes(make())
    look_at(path)
