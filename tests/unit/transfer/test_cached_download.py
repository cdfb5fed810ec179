from __future__ import annotations

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.servers.http_origin import Origin, Resource
from tests.state_rows import chunk_numbers, rows
from tests.unit.transfer.bench import Bench, large
from uploader.artifact import Artifact, Digest, LocalFile, WebFile
from uploader.errors import (
    Busy,
    ConfigurationError,
    Interrupted,
    NetworkError,
    SourceChanged,
    UploaderError,
    WrongBytes,
)
from uploader.events import Progress
from uploader.http import Http
from uploader.reference import UrlReference
from uploader.sources import direct
from uploader.sources.http_stream import WebStream
from uploader.state.cache import Cache, State
from uploader.transfer import CachedDownload
from uploader.transfer.config import TransferConfig

CHUNK_BYTES = TransferConfig.chunk_bytes
SMALL = large(0.75)
DATA = large(4.3)
SIZE = len(DATA)
WHOLE = hashlib.sha256(DATA).hexdigest()
ETAG = '"v1"'
LINK = "/m.safetensors"
MIB = 1024 * 1024


class Download:
    """Downloads of one link into one cache folder."""

    def __init__(self, bench: Bench, origin: Origin, data: bytes = DATA, path: str = LINK, **behaviour: object) -> None:
        self.bench = bench
        self.origin = origin
        self.resource: Resource = origin.serve(path, data, **{"etag": ETAG, **behaviour})
        self.folder = bench.folder / "cache"
        self.cache = Cache(self.folder, bench.uploads, 1 << 40)
        self.http = Http()
        self.artifact = direct.resolve(UrlReference(origin.url(path)), self.http)
        origin.forget()

    def fetch(self, sha256: str | None = None) -> CachedDownload:
        artifact = replace(self.artifact, digest=Digest(sha256)) if sha256 else self.artifact
        return CachedDownload("item", artifact, direct.open(artifact, self.http), self.cache, self.bench.context())

    def run(self, sha256: str | None = None) -> Artifact:
        with self.fetch(sha256).alone() as fetch:
            return fetch.run()

    def got(self, sha256: str | None = None) -> bytes:
        """Return the bytes that a run downloads."""
        origin = self.run(sha256).origin
        assert isinstance(origin, LocalFile)
        return origin.path.read_bytes()

    def leave_a_part(self, cut: int = CHUNK_BYTES + 1000) -> set[int]:
        """Run until each request is cut after `cut` bytes. Return the chunks that the run recorded."""
        self.resource.cuts = [cut, cut, *[0] * 60]
        with pytest.raises(NetworkError):
            self.run()
        self.resource.cuts = []
        self.origin.forget()
        self.bench.events.clear()
        return chunk_numbers(self.bench.state)

    @property
    def progress(self) -> int:
        return max((event.done for event in self.bench.events if isinstance(event, Progress)), default=0)

    @property
    def names(self) -> list[str]:
        """Return the names of the cached files, without the eight digits of their identity, in any order."""
        return [path.name[9:] for path in self.folder.iterdir() if not path.name.startswith(".")]

    @property
    def ranges(self) -> list[str | None]:
        return [request.range for request in self.origin.requests]

    @property
    def asked(self) -> int:
        """Return the bytes requested from the source by ranges."""
        return asked(self.origin)


def asked(origin: Origin) -> int:
    pairs = [re.findall(r"\d+", request.range) for request in origin.requests if request.range]
    return sum(int(pair[1]) + 1 - int(pair[0]) for pair in pairs if len(pair) == 2 and pair != ["0", "1023"])


Start = Callable[..., Download]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    downloads: list[Download] = []
    with Origin() as origin:

        def begin(**behaviour: Any) -> Download:
            downloads.append(Download(Bench(tmp_path, config=TransferConfig()), origin, **behaviour))
            return downloads[-1]

        yield begin
        for download in downloads:
            download.http.close()


# one run ----------------------------------------------------------------------------------------------


def test_download_becomes_a_local_file_with_its_sha256(start: Start) -> None:
    download = start()
    artifact = download.run()
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.read_bytes() == DATA
    assert (artifact.size, artifact.digest) == (SIZE, Digest(WHOLE))
    assert artifact.origin.mtime_ns == artifact.origin.path.stat().st_mtime_ns
    assert download.names == ["m.safetensors"]
    assert rows(download.bench.state, "upload") == []


def test_download_asks_for_each_byte_once(start: Start) -> None:
    download = start()
    download.run(WHOLE)
    assert len(download.ranges) > 1
    assert download.asked == SIZE


def test_progress_grows_to_the_size(start: Start) -> None:
    download = start()
    download.run()
    done = [event.done for event in download.bench.events if isinstance(event, Progress)]
    assert done == sorted(done)
    assert done[-1] == SIZE


def test_range_that_is_cut_is_read_on(start: Start) -> None:
    download = start()
    download.resource.cuts = [1_000_000, 10**9, 5]
    assert download.got(WHOLE) == DATA


@pytest.mark.parametrize("length", ["length", "chunked", "close"])
def test_download_without_ranges_is_complete(start: Start, length: str) -> None:
    download = start(ranges=False, length=length, etag=None)
    if length != "close":
        download.resource.cuts = [1_000_000]
    assert download.got(WHOLE) == DATA
    assert set(download.ranges) == {None}


def test_small_file_takes_one_request(start: Start) -> None:
    download = start(data=SMALL)
    assert download.got() == SMALL
    assert download.ranges == [None]


def test_source_that_stops_ranges_is_read_by_one_request(start: Start) -> None:
    download = start()
    download.resource.ranges = False
    assert download.got(WHOLE) == DATA


def test_chunks_of_another_link_are_not_reused(start: Start) -> None:
    download = start()
    assert download.leave_a_part()
    download.resource.content = other = large(4.3, seed=2)
    origin = download.artifact.origin
    assert isinstance(origin, WebFile)
    download.artifact = replace(download.artifact, origin=replace(origin, url=f"{origin.url}?id=2"))
    assert download.got() == other


def test_replaced_source_raises_and_leaves_no_part(start: Start) -> None:
    download = start()
    download.leave_a_part()
    download.resource.content, download.resource.etag = large(4.3, seed=2), '"v2"'
    with pytest.raises(SourceChanged):
        download.run()
    assert download.names == []


@pytest.mark.parametrize("etag", [ETAG, None])
def test_shortened_source_raises_and_leaves_no_part(start: Start, etag: str | None) -> None:
    download = start(etag=etag)
    download.artifact = replace(download.artifact, digest=Digest(WHOLE))
    download.leave_a_part()
    download.resource.content = DATA[:CHUNK_BYTES]  # the source answers 416 for the ranges past its end
    with pytest.raises(SourceChanged):
        download.run()
    assert download.names == []


def test_source_of_another_length_raises(start: Start) -> None:
    download = start(ranges=False, etag=None)
    download.artifact = replace(download.artifact, size=SIZE + 1)
    download.resource.length = "close"
    with pytest.raises(UploaderError):
        download.run()
    assert "m.safetensors" not in download.names


def test_stop_ends_within_two_seconds_and_keeps_chunks(start: Start) -> None:
    download = start(gate=threading.Event(), gate_at=CHUNK_BYTES + 1000)
    faults: list[UploaderError] = []

    def run() -> None:
        try:
            download.run()
        except UploaderError as error:
            faults.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while download.progress < 2 * CHUNK_BYTES:  # two readers, and each has read more than a chunk
        assert time.monotonic() < deadline
        time.sleep(0.01)
    download.bench.cancelled.set()
    download.http.close()
    thread.join(2)
    assert [type(fault) for fault in faults] == [Interrupted]
    assert download.names == ["m.safetensors.part"]
    assert chunk_numbers(download.bench.state) >= {0, 2}  # a third reader may have read the short last chunk


# a later run ------------------------------------------------------------------------------------------


def test_later_run_downloads_missing_chunks_only(start: Start) -> None:
    download = start()
    kept = download.leave_a_part()
    assert kept
    assert download.got(WHOLE) == DATA
    assert download.asked == SIZE - len(kept) * CHUNK_BYTES
    last = [event for event in download.bench.events if isinstance(event, Progress)][-1]
    assert (last.done, last.resumed) == (SIZE, len(kept) * CHUNK_BYTES)


def test_damaged_chunk_is_downloaded_again(start: Start) -> None:
    download = start()
    kept = download.leave_a_part()
    (part,) = download.folder.glob("*.part")
    with part.open("r+b") as file:
        file.seek(min(kept) * CHUNK_BYTES + 17)
        file.write(b"rotten")
    assert download.got(WHOLE) == DATA
    assert download.asked == SIZE - (len(kept) - 1) * CHUNK_BYTES


@pytest.mark.parametrize("damage", ["gone", "short", "long"])
def test_damaged_part_file_is_downloaded_again(start: Start, damage: str) -> None:
    download = start()
    download.leave_a_part()
    (part,) = download.folder.glob("*.part")
    match damage:
        case "gone":
            part.unlink()
        case "short":
            os.truncate(part, 1000)
        case _:
            os.truncate(part, SIZE + 1000)
    assert download.got(WHOLE) == DATA


def test_link_without_validator_takes_one_request(start: Start) -> None:
    download = start(etag=None)
    download.resource.cuts = [10_000_000, *[0] * 60]
    with pytest.raises(NetworkError):
        download.run()
    download.resource.cuts = []
    download.origin.forget()
    assert download.got() == DATA
    assert download.ranges == [None]


def test_published_digest_allows_resuming(start: Start) -> None:
    download = start(etag=None)
    download.artifact = replace(download.artifact, digest=Digest(WHOLE))
    kept = download.leave_a_part()
    assert download.got() == DATA
    assert download.asked == SIZE - len(kept) * CHUNK_BYTES


def test_part_of_another_file_is_downloaded_again(start: Start) -> None:
    other = large(4.3, seed=3)
    download = start(etag=None, data=other)
    download.artifact = replace(download.artifact, digest=Digest(WHOLE))
    download.leave_a_part()
    download.resource.content = DATA  # the same address and size, no validator: only the digest can tell
    assert download.got() == DATA
    assert download.names == ["m.safetensors"]


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal")
def test_killed_run_has_recorded_all_but_the_last_bytes(tmp_path: Path, start: Start) -> None:
    size = 96 * MIB
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(size)
    download = start(data=big)
    command = [sys.executable, "-m", "tests.unit.transfer.downloading", "fetch", download.origin.url(LINK)]
    process = subprocess.Popen([*command, str(tmp_path), str(64 * MIB)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    there = next(done for done in map(int, process.stdout) if done >= 60 * MIB)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    download.origin.forget()
    artifact = download.run()
    assert artifact.digest is not None
    with big.open("rb") as file:
        assert artifact.digest.hex == hashlib.file_digest(file, "sha256").hexdigest()
    assert download.asked - (size - there) <= 32 * MIB + 3 * CHUNK_BYTES  # at most three readers, under a limit


# the cache --------------------------------------------------------------------------------------------


def test_complete_download_is_reused(start: Start) -> None:
    download = start()
    download.run()
    download.origin.forget()
    for sha256 in (None, WHOLE):
        assert download.got(sha256) == DATA
    assert download.ranges == []


def test_same_digest_at_another_link_is_reused(start: Start) -> None:
    download = start()
    download.run()
    other = start(path="/mirror/other-name.safetensors", etag='"mirror"')
    assert other.got(WHOLE) == DATA
    assert other.ranges == []
    assert other.names == ["m.safetensors"]


def test_another_version_of_the_link_is_downloaded(start: Start) -> None:
    start().run()
    new = large(4.3, seed=4)
    assert start(data=new, etag='"v2"').got() == new


def test_link_without_validator_is_downloaded_again(start: Start) -> None:
    download = start(etag=None)
    download.run()
    download.resource.content = large(4.3, seed=5)
    assert download.got() == download.resource.content


def test_touched_file_is_hashed_and_changed_one_downloaded(start: Start) -> None:
    download = start()
    artifact = download.run()
    assert isinstance(artifact.origin, LocalFile)
    os.utime(artifact.origin.path, ns=(1, 1))
    download.origin.forget()
    assert download.got() == DATA
    assert download.ranges == []
    artifact.origin.path.write_bytes(bytes(SIZE))
    assert download.got() == DATA
    assert download.asked == SIZE


def test_wrong_file_is_set_aside_and_names_both_digests(start: Start) -> None:
    download = start()
    with pytest.raises(WrongBytes) as caught:
        download.run("0" * 64)
    assert "0" * 64 in caught.value.message
    assert WHOLE in caught.value.message
    assert f"--sha256 {WHOLE}" in (caught.value.remedy or "")
    assert download.names == [f"m.safetensors.wrong-{WHOLE[:8]}"]
    (entry,) = download.cache.entries()
    assert (entry.state, entry.sha256, entry.size) == (State.WRONG, WHOLE, SIZE)


def test_second_wrong_file_replaces_the_first(start: Start) -> None:
    download = start()
    for seed in (0, 6):
        download.resource.content = large(4.3, seed)
        with pytest.raises(WrongBytes):
            download.run("0" * 64)
    assert len(download.names) == 1


def test_wrong_file_is_reused_for_its_own_digest(start: Start) -> None:
    download = start()
    with pytest.raises(WrongBytes):
        download.run("0" * 64)
    download.origin.forget()
    assert download.got(WHOLE) == DATA
    assert download.ranges == []
    assert download.names == ["m.safetensors"]


def test_removed_file_leaves_nothing(start: Start) -> None:
    download = start()
    with download.fetch().alone() as fetch:
        fetch.run()
        fetch.remove()
    assert list(download.folder.iterdir()) == []


def test_two_threads_download_once_and_share_the_file(start: Start) -> None:
    download = start()
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(download.got())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [DATA, DATA]
    assert download.asked == SIZE


def test_second_run_of_one_download_is_busy(start: Start) -> None:
    download, other = start(), start()
    with download.fetch().alone(), pytest.raises(Busy), other.fetch().alone():
        raise AssertionError("both went in")
    with other.fetch().alone() as fetch:
        fetch.run()


# the disk ---------------------------------------------------------------------------------------------


def test_unwritable_cache_raises_with_a_remedy(start: Start) -> None:
    download = start()
    download.folder.write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError) as caught:
        download.run()
    assert "UPLOADER_HOME" in (caught.value.remedy or "")


class Filling(WebStream):
    """A stream that fills the disk when its bytes arrive."""

    tries = 0

    def read(self, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.tries += 1
        raise OSError(errno.ENOSPC, "No space left on device")


def test_full_disk_drops_the_oldest_file_first(start: Start) -> None:
    start(path="/old.safetensors", data=SMALL).run()
    download = start(ranges=False)
    stream = Filling(download.artifact, download.http)
    fetch = CachedDownload("item", download.artifact, stream, download.cache, download.bench.context())
    with pytest.raises(ConfigurationError, match="No space left"), fetch.alone():
        fetch.run()
    assert stream.tries == 2
    assert download.names == ["m.safetensors.part"]


# the link ---------------------------------------------------------------------------------------------


class Closing(WebStream):
    """A stream that records its end."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


@contextmanager
def closing(download: Download, sha256: str) -> Iterator[CachedDownload]:
    artifact = replace(download.artifact, digest=Digest(sha256))
    stream = Closing(artifact, download.http)
    yield CachedDownload("item", artifact, stream, download.cache, download.bench.context())
    assert stream.closed


@pytest.mark.parametrize("sha256", [WHOLE, "0" * 64])
def test_download_closes_its_stream(start: Start, sha256: str) -> None:
    with closing(start(), sha256) as fetch, suppress(WrongBytes), fetch.alone():
        fetch.run()


def test_busy_download_closes_its_stream(start: Start) -> None:
    download, other = start(), start()
    with closing(other, WHOLE) as fetch, download.fetch(WHOLE).alone(), pytest.raises(Busy), fetch.alone():
        raise AssertionError("both went in")
