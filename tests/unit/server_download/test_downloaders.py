"""The promises of every downloader, tested with the real programs over loopback, in a shell of this machine."""

from __future__ import annotations

import os
import ssl
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.servers.http_origin import Origin
from tests.servers.models import safetensors
from tests.servers.shells import LocalShell, group, needs
from tests.servers.watcher import Watcher
from uploader import server_download as jobs
from uploader.secret import Secret
from uploader.server_download import JobStatus, ServerTools
from uploader.server_download.downloaders import DOWNLOADERS, Downloader, Order, Trouble, choose

CONTENT = safetensors("lora", size_bytes=300_000)
FIRST = 100_000
ABLE = ServerTools("setsid", tuple(one.name for one in DOWNLOADERS))


@pytest.fixture(params=DOWNLOADERS, ids=lambda one: one.name)
def by(request: pytest.FixtureRequest) -> Downloader:
    downloader: Downloader = request.param
    needs(downloader.name)
    return downloader


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@dataclass
class Place:
    """A home folder on a server. The name of its part file has quotes and commands, which a shell must not run."""

    shell: LocalShell
    by: Downloader

    def __post_init__(self) -> None:
        self.part = self.shell.home / 'it\'s $(touch pwned) "`x`".part'
        self.part.touch()
        self.part.chmod(0o664)
        self.key = jobs.key_of(str(self.part))

    def fetch(self, link: str, **order: Any) -> JobStatus:
        """Download to the end. Return how it ended."""
        given: dict[str, Any] = {
            "size": len(CONTENT),
            "validator": '"v1"',
            "ranges": True,
            "plain": True,
            **order,
        }
        jobs.start(self.shell, self.key, Order(Secret(link), str(self.part), **given), self.by, ABLE)
        deadline = time.monotonic() + 30
        while (status := jobs.look(self.shell, self.key)).state == "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert status.state == "ended"
        assert status.by == self.by.name
        return status

    def begin(self, link: str) -> int:
        """Start a download. Return the number of its leading process."""
        order = Order(Secret(link), str(self.part), len(CONTENT), '"v1"', ranges=True, plain=True)
        jobs.start(self.shell, self.key, order, self.by, ABLE)
        return int((self.shell.home / ".uploader" / self.key / "pid").read_text().split()[0])

    def trouble(self, link: str, **order: Any) -> tuple[Trouble | None, int]:
        status = self.fetch(link, **order)
        return jobs.trouble_of(status), status.status

    @property
    def log(self) -> str:
        return (self.shell.home / ".uploader" / self.key / "log").read_text()


@contextmanager
def gone(gate: threading.Event) -> Iterator[None]:
    """Release a source that waits, in the end."""
    try:
        yield
    finally:
        gate.set()


@pytest.fixture
def place(tmp_path: Path, by: Downloader) -> Place:
    return Place(LocalShell(tmp_path), by)


def test_survey_finds_each_downloader_by_its_version(tmp_path: Path, by: Downloader) -> None:
    assert by.name in jobs.survey(LocalShell(tmp_path)).downloaders


@pytest.mark.parametrize("told", ["", "BusyBox v1.35.0 multi-call binary.", "curl 7.29.0 (x86_64)", "2.7.18"])
def test_usable_old_or_other_program_is_false(told: str) -> None:
    assert not any(one.usable(told) for one in DOWNLOADERS)


def test_choose_takes_the_first_that_is_there() -> None:
    assert choose(ABLE.downloaders).name == "curl"  # type: ignore[union-attr]
    assert choose(["wget", "python3"]).name == "python3"  # type: ignore[union-attr]
    assert choose(["wget"]) is None


def test_download_keeps_name_bytes_and_file_mode(place: Place, origin: Origin) -> None:
    origin.serve("/m", CONTENT, etag='"v1"')
    assert place.trouble(origin.url("/m?sig=a%2Fb[1]{c}\\d")) in [(None, 200), (None, 0)]
    assert place.part.read_bytes() == CONTENT
    assert stat.S_IMODE(place.part.stat().st_mode) == 0o664
    asked = origin.requests[0].path  # the programs escape different characters
    assert unquote(asked) == "/m?sig=a/b[1]{c}\\d"
    assert "sig=a%2Fb" in asked
    assert [request.headers["user-agent"].partition("/")[0] for request in origin.requests] == ["webui-uploader"]


def test_cut_download_continues_by_range_of_the_same_file(place: Place, origin: Origin) -> None:
    origin.serve("/m", CONTENT, etag='"v1"', cuts=[FIRST])
    assert place.trouble(origin.url("/m"))[0] is None
    assert place.part.read_bytes() == CONTENT
    second = origin.requests[-1]
    assert second.range is not None
    assert second.headers["if-range"] == '"v1"'
    assert origin.requests[0].headers.get("if-range") is None


def test_source_without_ranges_is_read_from_the_start(place: Place, origin: Origin) -> None:
    origin.serve("/m", CONTENT, ranges=False, cuts=[FIRST])
    assert place.trouble(origin.url("/m"), ranges=False, validator=None)[0] is None
    assert place.part.read_bytes() == CONTENT
    assert [request.range for request in origin.requests] == [None, None]


def test_rest_of_another_file_is_not_appended(place: Place, origin: Origin) -> None:
    place.part.write_bytes(bytes(FIRST))
    origin.serve("/m", CONTENT, etag='"v2"')
    assert place.trouble(origin.url("/m"))[0] is Trouble.CHANGED


@pytest.mark.parametrize("status", [403, 404, 410])
def test_refusal_of_the_source_tells_its_status(place: Place, origin: Origin, status: int) -> None:
    origin.fail("/m", status, b"<html>no</html>")
    assert place.trouble(origin.url("/m")) == (Trouble.STATUS, status)
    assert place.part.read_bytes() == b""
    assert len(origin.requests) == 1


def test_download_server_error_is_tried_again(place: Place, origin: Origin) -> None:
    origin.serve("/m", CONTENT, failures=[503])
    assert place.trouble(origin.url("/m"))[0] is None
    assert place.part.read_bytes() == CONTENT


def test_unknown_name_and_closed_port_are_told_apart(place: Place) -> None:
    assert place.trouble("https://nowhere.invalid/m")[0] is Trouble.NAME
    assert place.trouble("http://127.0.0.1:9/m")[0] is Trouble.CONNECT


def test_unknown_certificate_is_refused(place: Place, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Origin(context) as secure:
        secure.serve("/m", CONTENT)
        assert place.trouble(secure.url("/m", "localhost"), plain=False)[0] is Trouble.CERTIFICATE
    assert place.part.read_bytes() == b""


def test_stop_ends_the_program_and_leaves_no_file(place: Place, origin: Origin) -> None:
    gate = threading.Event()
    held = origin.serve("/m", CONTENT, etag='"v1"', gate=gate, gate_at=FIRST)
    with gone(gate):
        process = place.begin(origin.url("/m"))
        assert held.reached.wait(20)
        assert len(group(process)) >= 2
        jobs.stop(place.shell, place.key)
        assert group(process) == []
    assert sorted(path.name for path in place.shell.home.iterdir()) == sorted([".uploader", place.part.name])
    assert jobs.look(place.shell, place.key).state == "dead"


def test_link_is_not_seen_in_exported_variables(tmp_path: Path, by: Downloader) -> None:
    secret = f"hush-{os.getpid()}-hush"  # unique to this process: the watcher reads all processes of the machine
    names = ("order", "rest", "c", "said", "st", "run", "part", "attempt", "then", "program")
    shell = LocalShell(tmp_path, environ=dict.fromkeys(names, "x"))
    place, gate = Place(shell, by), threading.Event()
    with Origin() as origin, Watcher(tmp_path, [secret]) as watcher, gone(gate):
        held = origin.serve("/m", CONTENT, etag='"v1"', gate=gate, gate_at=FIRST)
        process = place.begin(origin.url(f"/m?sig={secret}"))
        assert held.reached.wait(20)
        seen, deadline = watcher.rounds, time.monotonic() + 20
        while watcher.rounds < seen + 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert group(process)
        jobs.stop(shell, place.key)
    assert watcher.found == []


def test_download_source_without_end_fills_no_disk(place: Place, origin: Origin) -> None:
    origin.serve("/m", bytes(8 << 20))
    assert jobs.trouble_of(place.fetch(origin.url("/m"))) is not None
    assert place.part.stat().st_size <= len(CONTENT) + (2 << 20)


def test_settings_of_the_user_are_not_read(place: Place, origin: Origin) -> None:
    home = place.shell.home
    (home / ".curlrc").write_text('user-agent = "evil"\noutput = "elsewhere"\n')
    (home / ".netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    (home / ".netrc").chmod(0o600)
    before = {path.name for path in home.iterdir()}
    origin.serve("/m", CONTENT)
    assert place.trouble(origin.url("/m"))[0] is None
    assert "evil" not in str(origin.requests)
    assert not any("authorization" in request.headers for request in origin.requests)
    jobs.clear(place.shell, place.key)
    assert {path.name for path in home.iterdir()} == before


def test_download_log_has_numbers_and_no_link(place: Place, origin: Origin) -> None:
    origin.fail("/m", 403)
    place.fetch(origin.url("/m?sig=hush-hush"))
    assert f"of {len(CONTENT)} bytes" in place.log
    assert "hush-hush" not in place.log + place.shell.said
    assert str(origin.url("/")) not in place.log


def test_token_is_sent_to_its_host_and_not_to_a_redirect(place: Place, origin: Origin) -> None:
    with Origin() as other:
        other.serve("/m", CONTENT, etag='"v1"')
        origin.redirect("/m", other.url("/m", "localhost"))
        token = Secret("Authorization: Bearer hush-hush")
        told = place.trouble(origin.url("/m"), header=token)[0]
        assert origin.requests[0].headers["authorization"] == "Bearer hush-hush"
        assert not any("authorization" in request.headers for request in other.requests)
        assert other.requests or told is not None  # with a header curl follows no redirect
        assert place.part.read_bytes() == (CONTENT if told is None else b"")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", ["curl", "python3"])
def test_download_redirect_to_http_needs_consent(tmp_path: Path, name: str, plain: bool) -> None:
    needs(name)
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    make += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(make, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    home = tmp_path / "home"
    home.mkdir()
    (by,) = (one for one in DOWNLOADERS if one.name == name)
    place = Place(LocalShell(home, environ={"SSL_CERT_FILE": str(certificate)}), by)
    with Origin(context) as secure, Origin() as other:
        other.serve("/m", CONTENT)
        secure.redirect("/m", other.url("/m"))
        told = place.trouble(secure.url("/m", "localhost"), plain=plain)[0]
        assert len(secure.requests) >= 1
        assert bool(other.requests) is plain
        assert (told is None) is plain
        assert place.part.read_bytes() == (CONTENT if plain else b"")
