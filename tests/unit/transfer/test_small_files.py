"""Small files are sent together; a file that cannot is left to a step of its own."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote_memory import MemoryServer
from tests.small_config import SMALL
from tests.unit.transfer.bench import FOLDER, Bench, content
from uploader.errors import Interrupted
from uploader.rate_limit import RateLimiter
from uploader.reference import PathReference
from uploader.result import Evidence
from uploader.sources import local
from uploader.transfer import SmallFiles, TransferContext, UploadJob, is_small
from uploader.transfer.batches import batches


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def job(bench: Bench, name: str, data: bytes, **options: object) -> UploadJob:
    path = bench.folder / name
    path.write_bytes(data)
    (artifact,) = local.resolve(PathReference(str(path)))
    made = UploadJob(name, artifact, lambda: local.open(artifact), f"{FOLDER}/{name}", "memory", len(data))
    return replace(made, **options)  # type: ignore[arg-type]


def jobs(bench: Bench, count: int, size: int = 1000) -> list[UploadJob]:
    return [job(bench, f"{number}.pt", content(0.001, seed=number)[:size]) for number in range(count)]


def there(server: MemoryServer) -> set[str]:
    return {path.rpartition("/")[2] for path in server.files}


@pytest.mark.parametrize(("hashes", "evidence"), [(True, Evidence.REMOTE_HASH), (False, Evidence.READ_BACK)])
def test_small_files_are_placed_and_proven(bench: Bench, hashes: bool, evidence: Evidence) -> None:
    bench.server.hashes = hashes
    bundle = SmallFiles(jobs(bench, 20), bench.context())
    results = bundle.run()
    assert len(results) == 20
    for made in bundle.jobs:
        data = bytes(bench.server.files[made.path])
        result = results[made.item]
        assert (result.evidence, result.sha256) == (evidence, hashlib.sha256(data).hexdigest())
        assert result.bytes_sent == bundle.sent(made.item) == len(data)
    assert bench.parts == []
    assert bench.server.connects == 1


def test_small_files_taken_name_is_left_to_its_own_step(bench: Bench) -> None:
    bench.server.files[f"{FOLDER}/1.pt"] = bytearray(b"theirs")
    results = SmallFiles(jobs(bench, 3), bench.context()).run()
    assert set(results) == {"0.pt", "2.pt"}
    assert bench.server.files[f"{FOLDER}/1.pt"] == b"theirs"
    assert there(bench.server) == {"0.pt", "1.pt", "2.pt"}


def test_small_files_changed_file_is_not_sent(bench: Bench) -> None:
    made = jobs(bench, 2)
    (bench.folder / "0.pt").write_bytes(b"written since")
    results = SmallFiles(made, bench.context()).run()
    assert set(results) == {"1.pt"}
    assert there(bench.server) == {"1.pt"}


def test_small_files_file_of_another_run_is_left_out(bench: Bench) -> None:
    made = jobs(bench, 2)
    with bench.uploads.claim("memory", made[0].path):
        assert set(SmallFiles(made, bench.context()).run()) == {"1.pt"}


def test_small_files_lost_connection_is_retried_once(bench: Bench) -> None:
    bench.server.cut_after = [200]
    results = SmallFiles(jobs(bench, 10), bench.context()).run()
    assert len(results) == 10
    assert bench.server.connects == 2
    assert bench.parts == []


def test_small_files_stop_ends_the_run(bench: Bench) -> None:
    bench.cancelled.set()
    with pytest.raises(Interrupted):
        SmallFiles(jobs(bench, 2), bench.context()).run()


def test_batches_are_bounded_and_keep_the_order(bench: Bench) -> None:
    made = jobs(bench, 1, size=10) * 2400
    cut = batches(made, most=1000, most_bytes=SMALL.batch_bytes)
    assert [len(bundle) for bundle in cut] == [1000, 1000, 400]
    assert [one.item for bundle in cut for one in bundle] == [one.item for one in made]
    large = [replace(made[0], size=SMALL.small_bytes)] * 9
    assert [len(bundle) for bundle in batches(large, most=1000, most_bytes=SMALL.batch_bytes)] == [4, 4, 1]
    huge = [replace(made[0], size=size) for size in (1, SMALL.batch_bytes + 1, 1, 1)]
    assert [len(bundle) for bundle in batches(huge, most=1000, most_bytes=SMALL.batch_bytes)] == [1, 1, 2]


def test_is_small_large_sampled_or_limited_job_is_not(bench: Bench) -> None:
    context: TransferContext = bench.context()
    small = job(bench, "a.pt", b"x" * 10)
    assert is_small(small, context)
    assert not is_small(replace(small, size=SMALL.small_bytes + 1), context)
    assert not is_small(replace(small, verify="samples"), context)
    assert not is_small(small, replace(context, limit=RateLimiter(1000.0, bench.cancelled)))
