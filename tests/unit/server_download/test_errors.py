from __future__ import annotations

import pytest

from uploader import server_download as jobs
from uploader.errors import (
    NetworkError,
    NoPermission,
    NoSpace,
    NotAModel,
    RateLimited,
    RemoteRefused,
    SourceChanged,
    SourceMissing,
    SourceRefused,
    UploaderError,
)
from uploader.server_download import JobStatus
from uploader.server_download.job import Findings


def curl(code: int, status: int = 0) -> JobStatus:
    return JobStatus("ended", code, status, 0, "curl")


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (curl(6), NetworkError, "the server finds no machine called src.example"),
        (curl(7), NetworkError, "the server cannot reach src.example"),
        (curl(28), NetworkError, "does not answer the server in time"),
        (curl(56), NetworkError, "cut, again and again"),
        (curl(35), SourceRefused, "do not agree on an encrypted line"),
        (curl(60), SourceRefused, "does not trust the certificate"),
        (curl(33), SourceChanged, "changed while the server downloaded it"),
        (curl(127), RemoteRefused, "curl on the server does not do what it is asked for"),
        (curl(22, 403), SourceRefused, r"to us and not to the server \(403\)"),
        (curl(22, 404), SourceMissing, r"has no such file for the server \(404\)"),
        (curl(22, 429), RateLimited, "slow down"),
        (curl(22, 500), NetworkError, "trouble of its own"),
        (curl(137), RemoteRefused, r"was killed on the server \(signal 9\)"),
        (curl(99), RemoteRefused, r"failed \(exit code 99\)"),
    ],
)
def test_fault_of_each_end_has_its_own_sentence(status: JobStatus, error: type[UploaderError], words: str) -> None:
    told = jobs.fault_of(status, "src.example")
    assert type(told) is error
    assert told.remedy
    with pytest.raises(error, match=words):
        raise told


def test_disk_quota_and_unknown_fault_are_told_apart() -> None:
    full = jobs.fault_of(curl(23), "h", free=0)
    quota = jobs.fault_of(curl(23), "h", free=5_000_000_000)
    unknown = jobs.fault_of(curl(23), "h")
    assert [type(error) for error in (full, quota, unknown)] == [NoSpace, NoSpace, NoPermission]
    assert "disk is full" in full.message
    assert "quota is used up" in quota.message
    assert len({error.message for error in (full, quota, unknown)}) == 3


def test_clock_and_certificate_faults_are_told_apart() -> None:
    now = 1_800_000_000
    clock = jobs.certificate_fault("h", Findings(now - 86_400 * 400, True), now)
    bare = jobs.certificate_fault("h", Findings(now, False), now)
    other = jobs.certificate_fault("h", Findings(now + 60, True), now)
    assert "clock is 400 day(s) behind" in clock.message
    assert "no certificates to check" in bare.message
    assert "ca-certificates" in (bare.remedy or "")
    assert "does not trust" in other.message
    assert "ahead" in jobs.certificate_fault("h", Findings(now + 10**6, True), now).message
    assert "does not trust" in jobs.certificate_fault("h", Findings(None, True), now).message


def test_other_answer_names_another_route() -> None:
    page = NotAModel("a.safetensors is a web page, not a model", remedy="Copy the link of the download itself.")
    told = jobs.other_answer("src.example", page)
    assert "src.example gives this file to us and not to the server" in told.message
    assert "is a web page" in told.message
    assert "--via relay" in str(told.remedy)


def test_one_that_went_well_has_no_trouble() -> None:
    assert jobs.trouble_of(curl(0)) is None
    assert jobs.trouble_of(JobStatus("ended", 1, 0, 0, "unheard-of")) is not None
