from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.servers.http_origin import Origin, Resource
from tests.unit.transfer.bench import Bench, content
from uploader.artifact import Artifact, Digest, LocalFile
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
from uploader.sources.web import WebStream
from uploader.transfer import Fetch

DATA = content(0.75)
WHOLE = hashlib.sha256(DATA).hexdigest()
ETAG = '"v1"'


class Download:
    """Downloads of one link into one cache folder."""

    def __init__(self, bench: Bench, origin: Origin, **behaviour: object) -> None:
        self.bench = bench
        self.origin = origin
        self.resource: Resource = origin.serve("/m.safetensors", DATA, **{"etag": ETAG, **behaviour})
        self.cache = bench.folder / "cache"
        self.http = Http()
        self.artifact = direct.resolve(UrlReference(origin.url("/m.safetensors")), self.http)
        origin.forget()

    def fetch(self, sha256: str | None = None) -> Fetch:
        artifact = self.artifact
        if sha256:
            artifact = Artifact(**{**vars(artifact), "digest": Digest(sha256)})
        return Fetch("item", artifact, direct.open(artifact, self.http), self.cache, self.bench.means())

    def run(self, sha256: str | None = None) -> Artifact:
        return self.fetch(sha256).run()

    def leave_a_part(self, size: int) -> None:
        """An earlier run whose source was cut for good after so many bytes."""
        self.resource.cuts = [size, *[0] * 20]
        with pytest.raises(NetworkError):
            self.run()
        self.resource.cuts = []
        assert [path.stat().st_size for path in self.cache.iterdir()] == [size]
        self.origin.forget()
        self.bench.events.clear()

    @property
    def ranges(self) -> list[str | None]:
        return [request.range for request in self.origin.requests]


Start = Callable[..., Download]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    downloads: list[Download] = []
    with Origin() as origin:

        def begin(**behaviour: object) -> Download:
            downloads.append(Download(Bench(tmp_path), origin, **behaviour))
            return downloads[-1]

        yield begin
        for download in downloads:
            download.http.close()


def test_a_download_becomes_a_file_of_this_disk(start: Start) -> None:
    download = start()
    artifact = download.run()
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.read_bytes() == DATA
    assert artifact.size == len(DATA)
    assert [path.name for path in download.cache.iterdir()] == [artifact.origin.path.name]
    assert artifact.origin.path.name.endswith("-m.safetensors")


def test_a_cut_download_goes_on_where_it_stopped(start: Start) -> None:
    download = start(cuts=[])
    download.resource.cuts = [1_000_000]
    download.run(WHOLE)
    assert download.ranges == [None, "bytes=1000000-"]


def test_a_later_run_goes_on_from_what_an_earlier_one_left(start: Start) -> None:
    download = start()
    download.leave_a_part(1_234_567)
    artifact = download.run(WHOLE)
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.read_bytes() == DATA
    assert download.ranges == ["bytes=1234567-"]
    last = [event for event in download.bench.events if isinstance(event, Progress)][-1]
    assert (last.done, last.resumed) == (len(DATA), 1_234_567)


def test_a_server_that_ignores_the_range_is_read_again_from_its_start(start: Start) -> None:
    download = start()
    download.leave_a_part(1_234_567)
    download.resource.ranges = False
    artifact = download.run(WHOLE)
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.read_bytes() == DATA


def test_without_a_validator_an_earlier_run_s_part_is_not_built_on(start: Start) -> None:
    download = start(etag=None)
    download.leave_a_part(1_234_567)
    download.run(WHOLE)
    assert download.ranges == [None]


def test_a_part_that_is_longer_than_the_file_is_begun_anew(start: Start) -> None:
    download = start()
    download.leave_a_part(1000)
    (part,) = download.cache.iterdir()
    part.write_bytes(DATA + b"x")
    artifact = download.run()
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.read_bytes() == DATA


def test_what_was_downloaded_whole_and_could_not_be_sent_is_not_downloaded_again(start: Start) -> None:
    download = start()
    download.run()
    download.origin.forget()
    artifact = download.run(WHOLE)
    assert download.ranges == []
    assert isinstance(artifact.origin, LocalFile)
    assert artifact.origin.path.read_bytes() == DATA


def test_a_wrong_digest_removes_the_download(start: Start) -> None:
    download = start()
    with pytest.raises(WrongBytes) as caught:
        download.run("0" * 64)
    assert WHOLE in caught.value.message
    assert list(download.cache.iterdir()) == []


def test_a_source_that_changed_meanwhile_is_told_and_its_beginning_removed(start: Start) -> None:
    download = start()
    download.leave_a_part(1000)
    download.resource.content, download.resource.etag = content(0.75, seed=2), '"v2"'
    with pytest.raises(SourceChanged):
        download.run()
    assert list(download.cache.iterdir()) == []


@pytest.mark.parametrize("length", ["length", "chunked"])
def test_a_download_without_ranges_is_whole_or_not_there(start: Start, length: str) -> None:
    download = start(ranges=False, length=length, etag=None)
    download.resource.cuts = [1_000_000]
    download.run(WHOLE)
    assert download.ranges == [None, None]


def test_removing_leaves_nothing(start: Start) -> None:
    download = start()
    fetch = download.fetch()
    fetch.run()
    fetch.remove()
    fetch.remove()
    assert list(download.cache.iterdir()) == []


def test_two_runs_never_write_one_download(start: Start) -> None:
    download = start()
    with download.fetch().alone(), pytest.raises(Busy), download.fetch().alone():
        raise AssertionError("both went in")
    with download.fetch().alone() as fetch:
        fetch.run()


def test_a_stop_keeps_what_arrived(start: Start) -> None:
    download = start(gate=threading.Event(), gate_at=1_000_000)
    faults: list[UploaderError] = []

    def run() -> None:
        try:
            download.run()
        except UploaderError as error:
            faults.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert download.resource.reached.wait(10)
    download.bench.cancelled.set()
    download.http.close()
    thread.join(2)
    assert [type(fault) for fault in faults] == [Interrupted]
    (part,) = download.cache.iterdir()
    assert DATA.startswith(part.read_bytes())


def test_a_cache_that_cannot_be_written_is_told_with_the_ways_out(start: Start) -> None:
    download = start()
    download.cache.write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError) as caught:
        download.run()
    assert "UPLOADER_HOME" in (caught.value.remedy or "")


def test_a_download_that_cannot_be_removed_is_told_as_a_fault_of_the_disk(start: Start) -> None:
    fetch = start().fetch()
    fetch.path.mkdir(parents=True)  # what no unlink removes
    with pytest.raises(ConfigurationError) as caught:
        fetch.remove()
    assert str(fetch.path.parent) in caught.value.message
    assert caught.value.remedy


class Closing(WebStream):
    """Notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True
        super().close()


@pytest.mark.parametrize("sha256", [WHOLE, "0" * 64])
def test_a_download_closes_its_link_whatever_becomes_of_it(start: Start, sha256: str) -> None:
    download = start()
    artifact = replace(download.artifact, digest=Digest(sha256))
    stream = Closing(artifact, download.http)
    fetch = Fetch("item", artifact, stream, download.cache, download.bench.means())
    with suppress(WrongBytes), fetch.alone():
        fetch.run()
    assert stream.closed


def test_a_download_that_another_run_is_at_closes_its_link_too(start: Start) -> None:
    download = start()
    stream = Closing(download.artifact, download.http)
    fetch = Fetch("item", download.artifact, stream, download.cache, download.bench.means())
    with download.fetch().alone(), pytest.raises(Busy), fetch.alone():
        raise AssertionError("both went in")
    assert stream.closed
