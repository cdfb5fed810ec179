from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from uploader.artifact import Digest
from uploader.errors import ConfigurationError, UsageError
from uploader.server_download import JobRecord, JobRecords, ServerFactsStore, ServerTools

RECORD = JobRecord(
    target="box",
    source="https://x/m.safetensors?…",
    name="m.safetensors",
    kind="lora",
    path="webui/models/Lora/m.safetensors",
    final="/home/u/webui/models/Lora/m.safetensors",
    part="/home/u/webui/models/Lora/m.safetensors.0123abcd.part",
    size=1000,
    sha256="0" * 64,
    replace=False,
    allow_pickle=False,
    notify=True,
    verify="full",
    began=1.0,
)


def test_a_record_comes_back_as_it_was_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    job_records = JobRecords(tmp_path / "jobs")
    assert job_records.all() == []
    later = replace(RECORD, part="/b.part", began=2)
    for record in (later, RECORD):
        job_records.save(record)
    assert job_records.all() == [RECORD, later]
    assert job_records.get(RECORD.id) == RECORD
    assert RECORD.digest == Digest("0" * 64)
    assert replace(RECORD, sha256=None).digest is None
    assert stat.S_IMODE((tmp_path / "jobs").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "jobs").iterdir()} == {0o600}
    job_records.remove(RECORD)
    job_records.remove(RECORD)
    assert job_records.all() == [later]


def test_one_job_on_two_targets_is_two_jobs() -> None:
    assert RECORD.id != replace(RECORD, target="other").id
    assert RECORD.id == replace(RECORD, began=9).id


def test_a_name_that_is_none_is_told_with_those_that_are(tmp_path: Path) -> None:
    job_records = JobRecords(tmp_path)
    with pytest.raises(UsageError, match=r"there is no job 'x'$"):
        job_records.get("x")
    job_records.save(RECORD)
    with pytest.raises(UsageError, match=f"there are: {RECORD.id}"):
        job_records.get("x")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"size": "1"},
        {"size": True},
        {"replace": 1},
        {"kind": "song"},
        {"more": 1},
        {"sha256": 5},
        {"verify": "no"},
    ],
)
def test_a_file_that_makes_no_sense_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    job_records = JobRecords(tmp_path)
    job_records.save(RECORD)
    path = tmp_path / f"{RECORD.id}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    assert job_records.all() == []
    path.write_text("[" * 10)
    assert job_records.all() == []


def test_a_disk_that_takes_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be written down"):
        JobRecords(tmp_path / "jobs").save(RECORD)


# surveys ----------------------------------------------------------------------------------------------

GOOD = ServerTools("setsid", ("curl", "python3"))


def test_a_server_that_can_is_asked_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask() -> ServerTools:
        asked.append(1)
        return GOOD

    for _ in range(2):
        assert ServerFactsStore(tmp_path / "servers").able("SHA256:a", ask) == GOOD
    assert len(asked) == 1
    ServerFactsStore(tmp_path / "servers").able("SHA256:b", ask)
    assert len(asked) == 2
    ServerFactsStore(tmp_path / "servers").forget_able("SHA256:a")
    ServerFactsStore(tmp_path / "servers").able("SHA256:a", ask)
    assert len(asked) == 3


def test_one_that_could_not_is_asked_again(tmp_path: Path) -> None:
    server_facts = ServerFactsStore(tmp_path)
    assert server_facts.able("k", lambda: ServerTools(None, ())) == ServerTools(None, ())
    assert server_facts.able("k", lambda: GOOD) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"version": 2}',
        '{"version": 1, "able": {"starter": "rm -rf", "downloaders": ["curl"]}}',
        '{"version": 1, "able": {"starter": "setsid", "downloaders": [1]}}',
    ],
)
def test_a_file_that_makes_no_sense_is_found_out_again(tmp_path: Path, text: str) -> None:
    server_facts = ServerFactsStore(tmp_path)
    server_facts.able("k", lambda: GOOD)
    next(tmp_path.glob("*.json")).write_text(text)
    assert server_facts.able("k", lambda: GOOD) == GOOD
