"""What a hostile header may take: two seconds, and 200 MB of memory, measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

_LARGEST = 16 << 20
_TENSOR = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
_PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from uploader.app.resolving import read_identity
from uploader.errors import UploaderError
from uploader.identify import refuse

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

path = Path(sys.argv[1])
before, began, refused = peak(), time.process_time(), None
try:
    refuse(read_identity(path, path.name), path.name, allow_pickle=True)
except UploaderError as error:
    refused = type(error).__name__
print(json.dumps([refused, time.process_time() - began, peak() - before]))
"""


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
        b'{"__metadata__":{' + b",".join(b'"%07d":"%01000d"' % (n, n) for n in range(15_000)) + b"}}"
    ),
    "of tensors": lambda: raw(("{" + ",".join(f'"{n:0160}":{_TENSOR}' for n in range(66_000)) + "}").encode()),
    "of a name twice": lambda: raw(
        ("{" + ",".join(f'"{n:0160}":{_TENSOR}' for n in (*range(65_000), 0)) + "}").encode()
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


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_header_is_refused_within_two_seconds_and_200_megabytes(
    make: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(make())
    done = subprocess.run([sys.executable, "-c", _PROGRAM, str(path)], capture_output=True, text=True, check=True)
    refused, seconds, memory = json.loads(done.stdout)
    assert refused in ("NotAModel", "Truncated")
    assert seconds < 2
    assert memory < 200_000_000
    path.unlink()
