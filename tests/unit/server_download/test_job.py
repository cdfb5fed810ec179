"""The programs around a download, in every shell that a server may have as sh, with a downloader of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.servers.shells import LocalShell, group, needs, tools
from tests.until import until
from uploader import server_download as jobs
from uploader.errors import NoPermission, RemoteRefused, RouteUnavailable
from uploader.secret import Secret
from uploader.server_download import JobStatus, ServerTools
from uploader.server_download.downloaders import Order, Trouble

SIZE = 10
ABLE = ServerTools("setsid", ("curl",))


class Slow:
    """A downloader that writes one byte, waits for the file `go` next to the part, and writes the rest."""

    name = "curl"
    version = "true"
    attempt = (
        'printf x >>"$part"; while [ ! -e "${part%/*}/go" ]; do sleep 0.05; done; size "$part"; '
        'while [ "$n" -lt "$whole" ]; do printf y >>"$part"; n=$((n + 1)); done; rc=0; st=200'
    )
    troubles: Mapping[int, Trouble] = {}

    def usable(self, told: str) -> bool:
        return True

    def lines(self, order: Order) -> list[str]:
        return [order.link.reveal()]


class Failing(Slow):
    """A downloader that ends at once and writes nothing."""

    attempt = "rc=22; st=403"


@pytest.fixture(params=["sh", "dash", "bash", "busybox sh"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalShell]:
    words = request.param.split()
    needs(words[0])
    home = tmp_path / "home"
    home.mkdir()
    shell = LocalShell(home, words)
    yield shell
    for state in (home / ".uploader").glob("*/pid") if (home / ".uploader").is_dir() else ():
        with_group = int(state.read_text().split()[0])
        if Path(f"/proc/{with_group}").exists():
            os.killpg(with_group, signal.SIGKILL)


@pytest.fixture
def part(shell: LocalShell) -> Path:
    folder = shell.home / "two words"
    folder.mkdir()
    part = folder / "it's $(x).part"
    part.touch()
    return part


def start(shell: LocalShell, part: Path, by: Slow | None = None, *, able: ServerTools = ABLE, cut: int = 0) -> str:
    key = jobs.key_of(str(part))
    order = Order(Secret("https://x/m"), str(part), SIZE, None, ranges=True, plain=False)
    jobs.start(shell, key, order, by or Slow(), able, cut=cut)
    return key


def ended(shell: LocalShell, key: str) -> JobStatus:
    until(lambda: jobs.look(shell, key).state != "running", "the end of the job")
    return jobs.look(shell, key)


def state_of(shell: LocalShell, key: str) -> Path:
    return shell.home / ".uploader" / key


def test_look_unknown_job_is_none(shell: LocalShell) -> None:
    assert jobs.look(shell, "0123abcd") == JobStatus("none")
    assert not list(shell.home.iterdir())


def test_job_runs_in_its_own_group_with_private_state(shell: LocalShell, part: Path) -> None:
    key = start(shell, part)
    assert jobs.look(shell, key).state == "running"
    folder = state_of(shell, key)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    process = int((folder / "pid").read_text().split()[0])
    assert os.getpgid(process) == os.getsid(process) == process
    assert {str(Path(f"/proc/{process}/fd/{number}").readlink()) for number in (0, 1, 2)} == {"/dev/null"}
    (part.parent / "go").touch()
    assert ended(shell, key) == JobStatus("ended", 0, 200, SIZE, "curl")
    assert part.read_bytes() == b"x" + b"y" * (SIZE - 1)
    assert shell.said == ""


def test_clear_leaves_nothing(shell: LocalShell, part: Path) -> None:
    (part.parent / "go").touch()
    key = start(shell, part)
    ended(shell, key)
    jobs.clear(shell, key)
    assert [path.name for path in shell.home.iterdir()] == ["two words"]
    assert sorted(path.name for path in part.parent.iterdir()) == ["go", part.name]


def test_start_of_a_running_job_changes_nothing(shell: LocalShell, part: Path) -> None:
    key = start(shell, part)
    first = (state_of(shell, key) / "pid").read_text()
    start(shell, part)
    assert (state_of(shell, key) / "pid").read_text() == first
    until(lambda: part.stat().st_size, "the first byte")
    assert part.read_bytes() == b"x"
    with pytest.raises(RemoteRefused):
        jobs.clear(shell, key)
    jobs.stop(shell, key)


def test_stop_ends_every_process_and_keeps_part_and_state(shell: LocalShell, part: Path) -> None:
    key = start(shell, part)
    process = int((state_of(shell, key) / "pid").read_text().split()[0])
    until(lambda: part.stat().st_size, "the first byte")
    jobs.stop(shell, key)
    assert group(process) == []
    assert part.read_bytes() == b"x"
    assert jobs.look(shell, key).state == "dead"
    jobs.stop(shell, key)  # a second stop does nothing
    (part.parent / "go").touch()
    start(shell, part)
    assert ended(shell, key).size == SIZE
    assert part.read_bytes().startswith(b"xxy")


def test_killed_job_is_dead_when_its_number_is_reused(shell: LocalShell, part: Path) -> None:
    key = start(shell, part)
    told = state_of(shell, key) / "pid"
    process, birth, boot = told.read_text().split()
    told.write_text(f"{os.getpid()} {birth} {boot}\n")
    assert jobs.look(shell, key).state == "dead"
    told.write_text(f"{process} {birth} another-boot\n")
    assert jobs.look(shell, key).state == "reset"
    told.write_text(f"{process} {birth} {boot}\n")
    jobs.stop(shell, key)


def test_start_after_reboot_fetches_the_last_bytes_again(shell: LocalShell, part: Path) -> None:
    part.write_bytes(b"0123456")
    (part.parent / "go").touch()
    key = start(shell, part, cut=3)
    ended(shell, key)
    assert part.read_bytes() == b"0123xyyyyy"


def test_look_failed_job_has_its_code_until_the_next_start(shell: LocalShell, part: Path) -> None:
    key = start(shell, part, Failing())
    assert ended(shell, key) == JobStatus("ended", 22, 403, 0, "curl")
    assert "exit code 22, status 403" in (state_of(shell, key) / "log").read_text()
    start(shell, part)
    assert jobs.look(shell, key).state == "running"
    jobs.stop(shell, key)


def test_start_without_setsid_uses_python(shell: LocalShell, part: Path) -> None:
    (part.parent / "go").touch()
    key = start(shell, part, able=ServerTools("python3", ("curl",)))
    assert ended(shell, key).size == SIZE


def test_part_that_commands_do_not_see_is_an_error(shell: LocalShell, part: Path) -> None:
    part.unlink()
    with pytest.raises(RouteUnavailable, match="other folders than its shell"):
        start(shell, part)
    assert not (shell.home / ".uploader").exists()


def test_start_name_with_line_break_is_refused(shell: LocalShell, part: Path) -> None:
    with pytest.raises(RouteUnavailable, match="line break"):
        start(shell, part.with_name("a\nb"))


@pytest.mark.parametrize(
    "order",
    [
        Order(Secret("https://x/m\noutput = /etc/passwd"), "/p", 1, None, True, False),
        Order(Secret("https://x/m"), "/p", 1, '"v"\nx', True, False),
        Order(Secret("https://x/m"), "/p", 1, None, True, False, Secret("A: b\r\nc")),
    ],
)
def test_start_link_with_line_break_is_refused(order: Order, tmp_path: Path) -> None:
    with pytest.raises(RouteUnavailable, match="link with a line break"):
        jobs.start(LocalShell(tmp_path), "ab", order, Slow(), ABLE)


def test_programs_with_a_bad_key_reach_no_folder(shell: LocalShell) -> None:
    for key in ("", "..", "../two words", "x"):
        for call in (jobs.look, jobs.clear, jobs.stop):
            with pytest.raises(RemoteRefused):
                call(shell, key)


def test_start_read_only_home_is_refused(shell: LocalShell, part: Path) -> None:
    (shell.home / ".uploader").write_text("a file")
    with pytest.raises(RemoteRefused):
        start(shell, part)
    assert part.read_bytes() == b""


def test_start_read_only_part_is_refused(part: Path) -> None:
    class Says:
        def run(self, program: str, stdin: bytes = b"", *, silence_seconds: float = 30.0) -> str:
            return "readonly\n"

    with pytest.raises(NoPermission, match="may not write"):
        jobs.start(Says(), "ab", Order(Secret("https://x"), str(part), 1, None, True, False), Slow(), ABLE)


@pytest.mark.parametrize("told", ["", "nonsense", "ended x y z curl", "ended 1 2"])
def test_look_nonsense_answer_raises(told: str) -> None:
    class Says:
        def run(self, program: str, stdin: bytes = b"", *, silence_seconds: float = 30.0) -> str:
            return told

    with pytest.raises(RemoteRefused, match="nothing sensible"):
        jobs.look(Says(), "ab")


def test_survey_finds_programs_in_the_path_of_the_server(tmp_path: Path) -> None:
    needs("busybox", "curl")
    home = tmp_path / "home"
    home.mkdir()
    bare = LocalShell(home, path=tools(tmp_path))
    assert jobs.survey(bare) == ServerTools("setsid", ())
    assert "it has none of curl, python3" in (jobs.why_unable(jobs.survey(bare)) or "")
    some = LocalShell(home, [shutil.which("busybox") or "", "sh"], path=tools(tmp_path, "curl", busybox=True))
    assert jobs.survey(some) == ServerTools("setsid", ("curl",))
    assert jobs.why_unable(jobs.survey(some)) is None
    assert "neither setsid nor python3" in (jobs.why_unable(ServerTools(None, ("curl",))) or "")


def test_start_printf_program_gets_no_link(tmp_path: Path) -> None:
    needs("bash")
    spoken = tmp_path / "spoken"
    spoken.write_text('#!/bin/bash\nenable -n printf\neval "$2"\n')
    spoken.chmod(0o700)
    part = tmp_path / "m.part"
    part.touch()
    with pytest.raises(RouteUnavailable, match="its printf is a program"):
        start(LocalShell(tmp_path, [str(spoken)]), part)
    assert not (tmp_path / ".uploader").exists()


def test_diagnose_tells_clock_and_certificates(tmp_path: Path) -> None:
    found = jobs.diagnose(LocalShell(tmp_path))
    assert found.clock is not None
    assert abs(found.clock - time.time()) < 100
