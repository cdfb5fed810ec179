from dataclasses import replace

import pytest

from tests.unit.cli.builders import failed, placed, plan_for_two, plan_with_a_refusal, step
from uploader.api import Plan
from uploader.cli.show.plan import print_push_plan
from uploader.cli.show.report import outcome_line, print_report
from uploader.errors import Exists, Interrupted, SourceMissing
from uploader.result import Evidence, Notice, Report


def test_what_was_placed_is_one_line_with_its_proof() -> None:
    assert outcome_line(placed()) == (
        "placed  a.safetensors → home/data/models/Lora/ "
        "(2.1 GB, 1.0 GB of it from an earlier run, verified by remote-hash, sha256 abababababab…)"
    )


def test_what_was_there_already_says_so() -> None:
    kept = replace(placed(), status="kept", evidence=Evidence.READ_BACK, resumed_from=0, sha256=None)
    assert outcome_line(kept) == "kept    a.safetensors → home/data/models/Lora/ (2.1 GB, the same bytes by read-back)"


def test_outcomes_go_to_stdout_and_cures_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report((placed(), failed(Exists("it is taken", remedy="Use --replace."), name="b.safetensors"))))
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["placed", "failed"]
    assert out.splitlines()[1] == "failed  b.safetensors (exists)"
    assert err == "error: b.safetensors: it is taken\n  → Use --replace.\n"


def test_a_fault_that_many_share_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = Interrupted("stopped by you", remedy="Run it again.")
    print_report(Report(tuple(failed(stopped, name, name) for name in ("a", "b", "c"))))
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert err == "error: 3 files: stopped by you\n  → Run it again.\n"


def test_a_message_that_names_its_file_does_not_name_it_twice(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report((failed(Exists("models/b.safetensors is taken"), name="b.safetensors"),)))
    assert capsys.readouterr().err == "error: models/b.safetensors is taken\n"


def test_references_that_came_to_nothing_kept_all_others_back(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report((failed(SourceMissing("there is no file b.safetensors")),)))
    out, err = capsys.readouterr()
    assert out == "failed  b.safetensors (source-missing)\n"
    assert err.splitlines()[-1].startswith("Nothing was sent.")


def test_several_targets_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_report(Report((placed(), replace(placed(), target="other"))))
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == ["my-canvas", "other"]


def test_a_plan_shows_each_step_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    print_push_plan(plan_with_a_refusal())
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "send     a.safetensors → models/Lora/ (lora, 144.0 MB, route local)",
        "         is not there yet",
        "refuse   b.safetensors → models/Lora/ (lora, 144.0 MB, route local)",
    ]
    assert err.splitlines() == [
        "Nothing was sent. Without --dry-run up to 144.0 MB would go to my-canvas.",
        "error: models/Lora/b.safetensors exists already",
        "  → Use --replace.",
    ]


def test_what_is_left_to_do_at_the_webui_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [replace(placed(f"{name}.safetensors"), webui=Notice(True, True, "Press R.")) for name in "ab"]
    missed = replace(placed("c.safetensors"), webui=Notice(False, False, "Restart it."))
    print_report(Report((*asked, missed, placed("d.safetensors"))))
    out, err = capsys.readouterr()
    assert ["the WebUI lists it" in line for line in out.splitlines()] == [True, True, False, False]
    assert ["the WebUI does not list it" in line for line in out.splitlines()] == [False, False, True, False]
    assert err == "note: 2 files: Press R.\nnote: c.safetensors: Restart it.\n"


def test_a_plan_for_several_targets_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_push_plan(plan_for_two())
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines if "→" in line] == ["a", "b"]


def test_started_download_is_one_line_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    started = replace(placed(), status="started", evidence=None, sha256=None, resumed_from=0, bytes_sent=0)
    print_report(Report((started,)))
    shown = capsys.readouterr()
    assert shown.out.startswith("started")
    assert "uploader jobs" in shown.err


def test_a_plan_shows_what_is_worth_saying_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    first = step("a.safetensors")
    print_push_plan(Plan("my-canvas", "", (replace(first, item=replace(first.item, warnings=("one", "two"))),)))
    assert capsys.readouterr().out.splitlines()[1:] == [
        "         is not there yet",
        "         note: one",
        "         note: two",
    ]
