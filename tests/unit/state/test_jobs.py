from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.state_rows import rows
from uploader.artifact import Digest
from uploader.errors import ConfigurationError, UsageError
from uploader.server_download import JobRecord, JobRecords, ServerFactsStore, ServerTools
from uploader.state.database import Database

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


def test_job_record_comes_back_as_it_was(tmp_path: Path) -> None:
    job_records = JobRecords(Database(tmp_path))
    assert job_records.all() == []
    later = replace(RECORD, part="/b.part", began=2)
    for record in (later, RECORD):
        job_records.save(record)
    assert job_records.all() == [RECORD, later]
    assert job_records.get(RECORD.id) == RECORD
    assert RECORD.digest == Digest("0" * 64)
    assert replace(RECORD, sha256=None).digest is None
    job_records.remove(RECORD)
    job_records.remove(RECORD)
    assert job_records.all() == [later]


def test_job_id_depends_on_target_and_part() -> None:
    assert RECORD.id != replace(RECORD, target="other").id
    assert RECORD.id == replace(RECORD, began=9).id


def test_get_of_an_unknown_id_tells_the_known_ones(tmp_path: Path) -> None:
    job_records = JobRecords(Database(tmp_path))
    with pytest.raises(UsageError, match=r"there is no job 'x'$"):
        job_records.get("x")
    job_records.save(RECORD)
    with pytest.raises(UsageError, match=f"there are: {RECORD.id}"):
        job_records.get("x")


@pytest.mark.parametrize(
    "change",
    [
        {"size": "1"},
        {"size": True},
        {"replace": 1},
        {"kind": "song"},
        {"more": 1},
        {"sha256": 5},
        {"verify": "no"},
    ],
)
def test_job_record_that_makes_no_sense_is_passed_over(tmp_path: Path, change: dict[str, object]) -> None:
    job_records = JobRecords(Database(tmp_path))
    job_records.save(RECORD)
    database = Database(tmp_path)
    ((_, text),) = rows(tmp_path, "job")
    for nonsense in (json.dumps({**json.loads(text), **change}), "[" * 10, "5"):
        database.write(("UPDATE job SET record = ?", [(nonsense,)]))
        assert job_records.all() == []


def test_save_on_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        JobRecords(Database(tmp_path / "file")).save(RECORD)


# what servers can do ----------------------------------------------------------------------------------

GOOD = ServerTools("setsid", ("curl", "python3"))


def test_able_server_is_asked_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def ask() -> ServerTools:
        asked.append(1)
        return GOOD

    for _ in range(2):
        assert ServerFactsStore(Database(tmp_path)).able("SHA256:a", ask) == GOOD
    assert len(asked) == 1
    ServerFactsStore(Database(tmp_path)).able("SHA256:b", ask)
    assert len(asked) == 2
    ServerFactsStore(Database(tmp_path)).forget_able("SHA256:a")
    ServerFactsStore(Database(tmp_path)).able("SHA256:a", ask)
    assert len(asked) == 3


def test_able_that_was_not_enough_is_asked_again(tmp_path: Path) -> None:
    server_facts = ServerFactsStore(Database(tmp_path))
    assert server_facts.able("k", lambda: ServerTools(None, ())) == ServerTools(None, ())
    assert server_facts.able("k", lambda: GOOD) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"starter": "rm -rf", "downloaders": ["curl"]}',
        '{"starter": "setsid", "downloaders": [1]}',
    ],
)
def test_able_that_makes_no_sense_is_asked_again(tmp_path: Path, text: str) -> None:
    server_facts = ServerFactsStore(Database(tmp_path))
    server_facts.able("k", lambda: ServerTools("setsid", ("wget",)))
    Database(tmp_path).write(("UPDATE server SET tools = ?", [(text,)]))
    assert server_facts.able("k", lambda: GOOD) == GOOD


def test_able_on_a_disk_that_refuses_is_asked_each_time(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    server_facts = ServerFactsStore(Database(tmp_path / "file"))
    assert server_facts.able("k", lambda: GOOD) == GOOD
    server_facts.forget_able("k")
