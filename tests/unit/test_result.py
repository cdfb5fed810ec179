from __future__ import annotations

from uploader.errors import Exists, NetworkError, UploaderError
from uploader.result import Evidence, Failure, Outcome, Report


def failed(error: UploaderError) -> Outcome:
    return Outcome("canvas", "a.safetensors", "failed", error=Failure.of(error))


PLACED = Outcome("canvas", "b.safetensors", "placed")
KEPT = Outcome("canvas", "c.safetensors", "kept")


def test_all_placed_or_kept_is_exit_code_0() -> None:
    report = Report((PLACED, KEPT))
    assert report.ok
    assert report.exit_code == 0


def test_failures_of_one_reason_exit_with_its_code() -> None:
    report = Report((PLACED, failed(NetworkError("cut")), failed(NetworkError("cut again"))))
    assert not report.ok
    assert report.exit_code == 5


def test_failures_for_reasons_that_differ_exit_with_1() -> None:
    assert Report((failed(NetworkError("cut")), failed(Exists("taken")))).exit_code == 1


def test_nothing_to_do_is_no_failure() -> None:
    assert Report(()).ok
    assert Report(()).exit_code == 0


def test_a_failure_says_what_the_error_says() -> None:
    failure = Failure.of(Exists("the name is taken", remedy="Use --replace."))
    assert failure == Failure("exists", "the name is taken", "Use --replace.", 1)


def test_evidence_is_listed_weakest_first() -> None:
    assert [str(evidence) for evidence in Evidence] == ["size", "structure", "samples", "read-back", "remote-hash"]
