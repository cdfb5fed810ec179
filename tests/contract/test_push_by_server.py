"""Route `server`: the server itself downloads, and no payload passes through this machine."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import CHECKPOINTS, World, serve, world
from tests.servers.http_origin import Origin, Resource
from tests.servers.models import PRESETS, safetensors
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.shells import login_shell, needs, tools
from tests.servers.tcp_proxy import Proxy
from tests.servers.torch_files import torch_zip, weights
from tests.servers.watcher import Watcher
from tests.servers.webuis import FakeA1111
from tests.state_rows import rows
from tests.until import until
from uploader.api import LoginRequest
from uploader.artifact import Artifact, Digest, WebFile
from uploader.errors import RouteUnavailable
from uploader.events import Phase
from uploader.http import Http
from uploader.rate_limit import RateLimiter
from uploader.remote.pool import ConnectionPool
from uploader.result import Evidence, Notice, Outcome
from uploader.retry import Retry
from uploader.secret import Secret
from uploader.server_download import JobRecord
from uploader.server_download.run import ServerDownload, ServerDownloadOptions
from uploader.session.session import Session
from uploader.sources import Sources, hand_over, open_stream
from uploader.transfer import TransferContext, UploadJob

MODEL = safetensors("checkpoint", size_bytes=2 << 20)
SHA256 = hashlib.sha256(MODEL).hexdigest()
NAME = "linked.safetensors"
# Of this process alone: a test that looks at all processes must not meet those of another test.
TOKEN, SIGNATURE = f"hush-{os.getpid()}-hush", f"squeamish-{os.getpid()}-ossifrage"
LINK = f"/{NAME}?token={TOKEN}"
SIGNED = f"/store/4711?sig={SIGNATURE}"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OpenSSH]:
    needs("curl")
    needs_sshd()
    with OpenSSH(tmp_path / "server") as server:
        yield server
        for told in server.home.glob(".uploader/*/pid"):
            with _gone():
                os.killpg(int(told.read_text().split()[0]), signal.SIGKILL)


@pytest.fixture
def here(tmp_path: Path, server: OpenSSH) -> World:
    return world(tmp_path, server)


def _gone() -> Any:
    return suppress(ProcessLookupError, ValueError)


def signed(origin: Origin, **behaviour: Any) -> Resource:
    """Serve a link that redirects to a signed one, as the model hosts do."""
    resource = origin.serve(SIGNED.partition("?")[0], MODEL, etag='"v1"', **behaviour)
    origin.redirect(f"/{NAME}", origin.url(SIGNED))
    return resource


def fetches(origin: Origin) -> list[str | None]:
    """Return the ranges that the server itself requested."""
    return [
        request.range
        for request in origin.requests
        if request.headers["user-agent"].endswith(("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"))
    ]


def phases(here: World) -> list[str]:
    return [event.name for event in here.events if isinstance(event, Phase)]


def assert_nothing_left(server: OpenSSH, *kept: str) -> None:
    assert sorted(path.name for path in server.home.iterdir()) == sorted(["webui", *kept])
    assert not list(server.home.rglob("*.part"))
    assert _downloads(server) == []


def _downloads(server: OpenSSH) -> list[str]:
    """Return the processes that run in a job folder of this server."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str((folder / "cwd").readlink()).startswith(f"{server.home}/.uploader"):
                found.append(folder.name)
    return found


class PausedPush:
    """A push in its own thread, whose source pauses after `at` bytes until `release`."""

    def __init__(self, origin: Origin, here: World, at: int = 1 << 20, **options: Any) -> None:
        self.gate = threading.Event()
        self.resource = signed(origin, gate=self.gate, gate_at=at)
        self.outcomes: list[Outcome] = []
        self.thread = threading.Thread(target=lambda: self.outcomes.append(here.one(origin.url(LINK), **options)))

    def __enter__(self) -> PausedPush:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self.thread.join(60)


# results ----------------------------------------------------------------------------------------------


def test_server_download_sends_no_byte_from_here(here: World, server: OpenSSH, origin: Origin) -> None:
    signed(origin)
    outcome = here.placed(origin.url(LINK), sha256=Digest(SHA256))
    assert (outcome.route, outcome.bytes_sent, outcome.evidence) == ("server", 0, Evidence.REMOTE_HASH)
    assert outcome.sha256 == SHA256
    assert (here.root / CHECKPOINTS / NAME).read_bytes() == MODEL
    assert phases(here) == ["resolving", "fetching", "verifying"]
    assert_nothing_left(server)
    assert rows(here.state, "job") == []
    again = here.one(origin.url(LINK), sha256=Digest(SHA256))
    assert (again.status, again.evidence, again.bytes_sent) == ("kept", Evidence.REMOTE_HASH, 0)


def test_server_download_shows_no_token_and_no_link(here: World, server: OpenSSH, origin: Origin) -> None:
    with Watcher(server.home, [TOKEN, SIGNATURE]) as watcher, PausedPush(origin, here) as held:
        assert held.resource.reached.wait(20)
        until(lambda: _downloads(server), "a download on the server")
        seen = watcher.rounds
        until(lambda: watcher.rounds > seen + 5, "looks of the watcher")
    assert held.outcomes[0].status == "placed"
    assert watcher.found == []
    assert {"curl", "sh"} <= watcher.names
    assert TOKEN not in here.said + str(here.events) + str(held.outcomes)
    assert SIGNATURE not in here.said + str(here.events) + str(held.outcomes)
    assert not any(TOKEN.encode() in path.read_bytes() for path in here.state.rglob("*") if path.is_file())


@pytest.mark.parametrize("consent", [False, True])
def test_token_goes_to_the_server_only_with_consent(
    here: World, server: OpenSSH, origin: Origin, consent: bool
) -> None:
    """A source without signed links: the server gets the link itself and the header with the token."""
    origin.serve(f"/{NAME}", MODEL, etag='"v1"')
    session = Session(environ={}, prompter=None, observer=here.events.append, state=here.state)
    link, token = origin.url(f"/{NAME}"), Secret(f"Authorization: Bearer {TOKEN}")
    artifact = Artifact(link, NAME, len(MODEL), WebFile(link, '"v1"', ranges=True), "0123abcd", Digest(SHA256))
    path = str(here.root / CHECKPOINTS / NAME)
    with Http() as http, Watcher(server.home, [TOKEN]) as watcher:
        sources = Sources(http)
        pool, cancelled = ConnectionPool(session.connector(session.choose_target(None))[0]), threading.Event()
        retry, rate_limiter = Retry(cancelled, here.events.append, here.wait), RateLimiter(None, cancelled)
        context = TransferContext(pool, session.uploads, here.events.append, retry, cancelled, rate_limiter)
        job = UploadJob("item", artifact, partial(open_stream, artifact, sources), path, "canvas", len(MODEL))
        known = (link, NAME, "checkpoint", path, path, job.part, len(MODEL), SHA256)
        terms = ServerDownloadOptions(
            JobRecord("canvas", *known, replace=False, allow_pickle=False, notify=True, verify="auto", began=0),
            session.job_records,
            session.server_facts,
            lambda: replace(hand_over(artifact, sources), header=token),
            token=consent,
        )
        download = ServerDownload(job, context, terms)
        try:
            if consent:
                assert download.run() is not None
            else:
                with pytest.raises(RouteUnavailable, match="token's owner alone"):
                    download.run()
        finally:
            pool.close()
    told = [request.headers.get("authorization") for request in origin.requests]
    assert told.count(f"Bearer {TOKEN}") == int(consent)
    assert watcher.found == []
    assert_nothing_left(server)


def test_server_route_plan_names_route_and_reason(here: World, origin: Origin) -> None:
    signed(origin)
    (step,) = here.dry(origin.url(LINK)).steps
    assert (step.item.route, step.bytes) == ("server", 0)
    assert step.reason == "is not there yet; the server downloads it by itself with curl"
    assert here.there == {}


def test_server_download_without_hash_proves_its_structure(here: World, origin: Origin) -> None:
    signed(origin)
    assert here.placed(origin.url(LINK)).evidence is Evidence.STRUCTURE
    assert "no sha256 is published" in here.said
    (here.root / CHECKPOINTS / NAME).unlink()
    assert here.placed(origin.url(LINK), verify="samples").evidence is Evidence.SAMPLES


def test_server_route_source_without_ranges_is_kept_later(here: World, origin: Origin) -> None:
    signed(origin, ranges=False)
    assert here.placed(origin.url(LINK)).route == "server"
    again = here.one(origin.url(LINK))
    assert (again.status, again.evidence) == ("kept", Evidence.REMOTE_HASH)
    (here.root / CHECKPOINTS / NAME).write_bytes(MODEL[::-1])
    assert here.fails(origin.url(LINK)) == "exists"
    assert here.fails(origin.url(LINK), verify="full", via="server") == "route"
    assert here.placed(origin.url(LINK), replace=True).evidence is Evidence.STRUCTURE


def test_limit_with_server_download_tells_the_user(here: World, origin: Origin) -> None:
    signed(origin)
    assert here.placed(origin.url(LINK), limit=1e6).route == "server"
    assert "--limit is about this machine's line" in here.said


def test_push_via_option_overrides_the_server_route(here: World, origin: Origin) -> None:
    signed(origin)
    assert here.placed(origin.url(LINK), via="relay").route == "relay"


# cut connections, killed downloads, detached downloads ------------------------------------------------


def test_detached_download_goes_on_and_the_next_push_joins(here: World, server: OpenSSH, origin: Origin) -> None:
    gate = threading.Event()
    resource = signed(origin, gate=gate, gate_at=1 << 20)
    assert here.one(origin.url(LINK), detach=True).status == "started"
    assert resource.reached.wait(20)
    until(lambda: any(part.stat().st_size for part in here.parts), "the first bytes")
    assert "joins in" in here.dry(origin.url(LINK)).steps[0].reason

    def go() -> None:
        until(lambda: "already: this run joins in" in here.said, "the second run")
        gate.set()

    watching = threading.Thread(target=go)
    watching.start()
    outcome = here.placed(origin.url(LINK), sha256=Digest(SHA256))
    watching.join()
    assert outcome.resumed_from > 0
    assert fetches(origin) == [None]
    assert_nothing_left(server)


def test_server_download_is_known_again_and_told_to_the_webui(here: World, origin: Origin) -> None:
    signed(origin)
    with FakeA1111(here.root) as webui:
        here.app.login(LoginRequest("generic", name="canvas", webui="a1111", webui_url=webui.url))
        assert here.placed(origin.url(LINK)).webui == Notice(True, True)
        assert [(model.name, model.placed) for model in here.app.ls(None)] == [(NAME, True)]
        assert here.one(origin.url(LINK), name="b.safetensors", detach=True).webui is None
        (job,) = here.app.jobs()
        report = here.app.wait_for_job(job.record.id)
    assert report.outcomes[0].webui == Notice(True, True)
    assert {model.name: model.placed for model in here.app.ls(None)} == {NAME: True, "b.safetensors": True}


def test_push_unvouched_pickle_takes_the_local_route(here: World, origin: Origin) -> None:
    content = torch_zip({"state_dict": weights(PRESETS["checkpoint"])})
    origin.serve("/old.ckpt", content, etag='"v1"')
    link, digest = origin.url("/old.ckpt"), Digest(hashlib.sha256(content).hexdigest())
    (step,) = here.dry(link).steps
    assert step.item.route == "local"
    assert "looked through as a whole" in step.reason
    assert here.fails(link, via="server") == "route"
    assert here.fails(link, detach=True) == "route"
    assert here.placed(link).route == "local"
    vouched = (here.dry(link, sha256=digest), here.dry(link, allow_pickle=True))
    assert [plan.steps[0].item.route for plan in vouched] == ["server", "server"]


def test_finished_download_is_placed_without_a_request(here: World, server: OpenSSH, origin: Origin) -> None:
    signed(origin)
    here.one(origin.url(LINK), detach=True)
    until(lambda: [part for part in here.parts if part.stat().st_size == len(MODEL)], "the whole part")
    assert here.placed(origin.url(LINK), sha256=Digest(SHA256)).resumed_from == len(MODEL)
    assert fetches(origin) == [None]
    assert_nothing_left(server)


def test_killed_download_resumes_with_a_range(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here, sha256=Digest(SHA256)) as held:
        assert held.resource.reached.wait(20)
        until(lambda: any(part.stat().st_size for part in here.parts), "the first bytes")
        (process,) = {int(told.read_text().split()[0]) for told in server.home.glob(".uploader/*/pid")}
        held.resource.gate = None
        os.killpg(process, signal.SIGKILL)
    assert held.outcomes[0].status == "placed"
    assert held.outcomes[0].resumed_from == 0  # this run downloaded all of it
    first, second = fetches(origin)
    assert first is None
    assert second is not None
    assert_nothing_left(server)


def test_expired_link_is_resolved_again_and_continued(here: World, server: OpenSSH, origin: Origin) -> None:
    gate = threading.Event()
    resource = signed(origin, gate=gate, gate_at=1 << 20, cuts=[3 << 20, 3 << 20, 3 << 20, (1 << 20) + 5])

    def expire() -> None:
        assert resource.reached.wait(20)
        origin.fail(SIGNED.partition("?")[0], 403)
        origin.serve("/store/4712", MODEL, etag='"v1"')
        origin.redirect(f"/{NAME}", origin.url("/store/4712?sig=fresh"))
        gate.set()

    watching = threading.Thread(target=expire)
    watching.start()
    outcome = here.placed(origin.url(LINK), sha256=Digest(SHA256))
    watching.join()
    assert outcome.route == "server"
    assert [request.path for request in origin.requests if request.path.startswith("/store/4712")]
    assert (here.root / CHECKPOINTS / NAME).read_bytes() == MODEL
    assert_nothing_left(server)


def test_cut_connection_does_not_disturb_the_download(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here) as held:
        assert held.resource.reached.wait(20)
        until(lambda: "fetching" in phases(here), "the download")
        # The job runs in a session of its own, so a lost connection does not end it.
        assert server.kill_sessions()
    assert held.outcomes[0].status == "placed"
    assert fetches(origin) == [None]
    assert_nothing_left(server)


def test_relay_of_a_running_download_is_busy(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here, detach=True) as held:
        held.thread.join(30)
        assert here.fails(origin.url(LINK), via="relay") == "busy"
    here.placed(origin.url(LINK))
    assert_nothing_left(server)


def test_server_route_foreign_part_is_not_resumed(here: World, server: OpenSSH, origin: Origin) -> None:
    signed(origin)
    part = here.dry(origin.url(LINK)).steps[0].item
    (here.root / CHECKPOINTS / f"{NAME}.{part.artifact.identity}.part").write_bytes(bytes(1000))
    assert here.placed(origin.url(LINK), sha256=Digest(SHA256)).resumed_from == 0
    assert fetches(origin) == [None]


def killed(held: PausedPush, server: OpenSSH) -> None:
    """Kill the processes of a paused download, then release its source."""
    (process,) = {int(told.read_text().split()[0]) for told in server.home.glob(".uploader/*/pid")}
    held.resource.gate = None
    os.killpg(process, signal.SIGKILL)


def test_server_route_without_validator_starts_at_zero(here: World, server: OpenSSH, origin: Origin) -> None:
    held = PausedPush(origin, here)
    held.resource.etag = None
    with held:
        assert held.resource.reached.wait(20)
        until(lambda: any(part.stat().st_size for part in here.parts), "the first bytes")
        killed(held, server)
    assert held.outcomes[0].status == "placed"
    assert fetches(origin) == [None, None]


def test_resumed_download_without_digest_is_compared(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here) as held:
        assert held.resource.reached.wait(20)
        until(lambda: any(part.stat().st_size for part in here.parts), "the first bytes")
        killed(held, server)
    assert held.outcomes[0].evidence is Evidence.SAMPLES
    assert any(fetches(origin))


def test_file_that_came_by_itself_ends_its_download(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here, detach=True, sha256=Digest(SHA256)) as held:
        held.thread.join(30)
        assert _downloads(server)
        (here.root / CHECKPOINTS / NAME).write_bytes(MODEL)
        assert here.one(origin.url(LINK), sha256=Digest(SHA256)).status == "kept"
        assert_nothing_left(server)
    assert rows(here.state, "job") == []


def test_record_of_an_unknown_download_is_removed(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here, detach=True, verify="samples", sha256=Digest(SHA256)) as held:
        held.thread.join(30)
        (view,) = here.app.jobs()
        assert view.record.verify == "samples"
        killed(held, server)
        until(lambda: not _downloads(server), "the end of the download")
        shutil.rmtree(server.home / ".uploader")
        cancelled = here.app.cancel_job(view.record.id)
    assert cancelled.left == view.record.part
    assert [part.name for part in here.parts] == [view.record.part.rpartition("/")[2]]
    assert here.app.jobs() == []


def test_relay_after_a_download_removes_its_record(here: World, server: OpenSSH, origin: Origin) -> None:
    with PausedPush(origin, here, detach=True) as held:
        held.thread.join(30)
        killed(held, server)
        until(lambda: not _downloads(server), "the end of the download")
        here.placed(origin.url(LINK), via="relay")
    assert here.app.jobs() == []
    assert_nothing_left(server)


@pytest.mark.timing
def test_server_route_ctrl_c_on_dead_connection_ends_soon(tmp_path: Path, server: OpenSSH, origin: Origin) -> None:
    with Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line)
        gate, main = threading.Event(), threading.get_ident()
        resource, stopped = signed(origin, gate=gate, gate_at=1 << 20), []

        def stop() -> None:
            resource.reached.wait(20)
            until(lambda: "fetching" in phases(here), "the download")
            line.freeze()
            stopped.append(time.monotonic())
            signal.pthread_kill(main, signal.SIGINT)

        watching = threading.Thread(target=stop)
        watching.start()
        try:
            report = here.push(origin.url(LINK))
        finally:
            gate.set()
            watching.join()
        assert time.monotonic() - stopped[0] < 6
    assert report.exit_code == 130
    assert "the server may go on downloading" in here.said


# shells -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "banner"),
    [("fish", ""), ("dash", ""), ("busybox sh", ""), ("bash", "Welcome to the pod"), ("fish", "Hi\n")],
    ids=["fish", "dash", "busybox", "banner", "fish-banner"],
)
def test_server_route_works_with_any_login_shell(tmp_path: Path, origin: Origin, shell: str, banner: str) -> None:
    needs(shell.split()[0], "curl")
    needs_sshd()
    path = tools(tmp_path, "curl", busybox=True) if shell.startswith("busybox") else None
    line = login_shell(tmp_path / "server", shell.split(), path=path, banner=banner)
    with OpenSSH(tmp_path / "server", extra=[line]) as server:
        here = world(tmp_path, server)
        signed(origin)
        outcome = here.placed(origin.url(LINK), sha256=Digest(SHA256), name='it\'s $(x) "`y`".safetensors')
        assert (outcome.route, outcome.bytes_sent) == ("server", 0)
        assert outcome.evidence in (Evidence.REMOTE_HASH, Evidence.READ_BACK)
        assert not (server.home / ".uploader").exists()
        assert not here.parts


@pytest.mark.parametrize(
    ("kind", "reason"), [("sftp_only", "its account runs no commands"), ("embedded", "its account runs no commands")]
)
def test_push_without_shell_relays_and_refuses_server(tmp_path: Path, origin: Origin, kind: str, reason: str) -> None:
    with serve(tmp_path / "server", kind) as server:
        here = world(tmp_path, server)
        signed(origin)
        (step,) = here.dry(origin.url(LINK)).steps
        assert step.item.route == "relay"
        assert reason in step.reason
        error = here.one(origin.url(LINK), via="server").error
        assert error is not None
        assert (error.code, error.exit_code) == ("route", 2)
        assert reason in error.message
        assert here.placed(origin.url(LINK)).route == "relay"


def test_push_without_downloader_relays_and_refuses_server(tmp_path: Path, origin: Origin) -> None:
    needs_sshd()
    line = login_shell(tmp_path / "server", ["bash"], path=tools(tmp_path))
    with OpenSSH(tmp_path / "server", extra=[line]) as server:
        here = world(tmp_path, server)
        signed(origin)
        error = here.one(origin.url(LINK), via="server").error
        assert error is not None
        assert "it has none of curl, python3" in error.message
        assert here.placed(origin.url(LINK)).route == "relay"


# failures ---------------------------------------------------------------------------------------------


def refused_to_the_server(origin: Origin, here: World, status: int = 403, body: bytes = b"<html>no</html>") -> str:
    """Serve a file that this machine may read and the server may not. Return the link."""
    path = SIGNED.partition("?")[0]
    signed(origin)
    origin.unless(path, "https://github.com", Resource(body, status=status, content_type="text/html"))
    return origin.url(LINK)


def test_page_of_a_detached_download_is_no_beginning(here: World, server: OpenSSH, origin: Origin) -> None:
    link = refused_to_the_server(origin, here, status=200)
    assert here.one(link, detach=True).status == "started"
    until(lambda: any(part.stat().st_size for part in here.parts) and not _downloads(server), "an ended download")
    origin.unless(SIGNED.partition("?")[0], "", Resource())
    assert here.placed(link, sha256=Digest(SHA256)).resumed_from == 0
    assert (here.root / CHECKPOINTS / NAME).read_bytes() == MODEL
    assert_nothing_left(server)


def test_failed_detached_download_starts_again(here: World, server: OpenSSH, origin: Origin) -> None:
    link = refused_to_the_server(origin, here)
    assert here.one(link, detach=True).status == "started"
    until(lambda: not _downloads(server), "the end of the download")
    origin.unless(SIGNED.partition("?")[0], "", Resource())
    assert here.one(link, detach=True).status == "started"
    until(lambda: [part for part in here.parts if part.stat().st_size == len(MODEL)], "the whole part")
    assert here.placed(link).status == "placed"
    assert_nothing_left(server)


def test_server_route_unwritable_home_still_works(here: World, server: OpenSSH, origin: Origin) -> None:
    signed(origin)
    (server.home / ".uploader").write_text("a file of somebody's")
    assert here.fails(origin.url(LINK), via="server") == "remote-refused"
    assert here.there == {}
    assert rows(here.state, "job") == []
    assert here.placed(origin.url(LINK)).route == "relay"
    assert "by way of this machine instead" in here.said
    assert (server.home / ".uploader").read_text() == "a file of somebody's"


def test_refusal_to_the_server_goes_by_this_machine(here: World, server: OpenSSH, origin: Origin) -> None:
    link = refused_to_the_server(origin, here)
    outcome = here.placed(link)
    assert outcome.route == "relay"
    assert "gives this file to us and not to the server (403); it goes by way of this machine instead" in here.said
    (here.root / CHECKPOINTS / NAME).unlink()
    error = here.one(link, via="server").error
    assert error is not None
    assert (error.code, error.exit_code) == ("source-refused", 4)
    assert_nothing_left(server)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>", "is a web page"),
        (b'{"error": "verify that you are human"}', "is a JSON text"),
        (b"error code: 1020", "is not the safetensors file"),
    ],
)
def test_server_given_another_answer_names_another_route(
    here: World, server: OpenSSH, origin: Origin, body: bytes, says: str
) -> None:
    error = here.one(refused_to_the_server(origin, here, status=200, body=body), via="server").error
    assert error is not None
    assert error.code == "not-a-model"
    assert says in error.message
    assert "gives this file to us and not to the server" in error.message
    assert "--via relay" in str(error.remedy)
    assert "link" not in str(error.remedy)
    assert here.there == {}
    assert_nothing_left(server)


def test_server_download_of_wrong_bytes_leaves_nothing(here: World, server: OpenSSH, origin: Origin) -> None:
    signed(origin)
    error = here.one(origin.url(LINK), sha256=Digest("0" * 64)).error
    assert error is not None
    assert (error.code, error.exit_code) == ("hash", 7)
    assert here.there == {}
    assert_nothing_left(server)
    assert rows(here.state, "job") == []


def test_source_that_changes_half_way_starts_again(here: World, server: OpenSSH, origin: Origin) -> None:
    resource = signed(origin, cuts=[1 << 20])
    resource.gate = threading.Event()
    resource.gate_at = 1 << 19
    other = safetensors("checkpoint", size_bytes=len(MODEL) + 4096)
    with PausedPush(origin, here) as held:
        assert held.resource.reached.wait(20)
        held.resource.etag = '"v2"'
        held.resource.content = other
        held.resource.cuts = []
        for told in server.home.glob(".uploader/*/pid"):
            os.killpg(int(told.read_text().split()[0]), signal.SIGKILL)
    outcome = held.outcomes[0]
    assert (outcome.status, outcome.size, outcome.route) == ("placed", len(other), "server")
    assert (here.root / CHECKPOINTS / NAME).read_bytes() == other
    assert "is begun anew" in here.said


def test_source_that_becomes_no_model_gets_no_name(here: World, server: OpenSSH, origin: Origin) -> None:
    resource = signed(origin, cuts=[1 << 20])
    resource.gate = threading.Event()
    resource.gate_at = 1 << 19
    with PausedPush(origin, here) as held:
        assert held.resource.reached.wait(20)
        held.resource.etag = '"v2"'
        held.resource.content = MODEL[::-1]
        held.resource.cuts = []
        for told in server.home.glob(".uploader/*/pid"):
            os.killpg(int(told.read_text().split()[0]), signal.SIGKILL)
    error = held.outcomes[0].error
    assert error is not None
    assert error.code == "not-a-model"
    assert here.there == {} or set(here.there) == {str(part.relative_to(here.root)) for part in here.parts}


def test_server_route_full_disk_fails_with_no_space(tmp_path: Path, origin: Origin) -> None:
    needs("curl")
    needs_sshd(disk=True)
    with OpenSSH(tmp_path / "server", disk_mib=8) as server:
        here = world(tmp_path, server)
        with PausedPush(origin, here, via="server") as held:
            assert held.resource.reached.wait(20)
            until(lambda: any(part.stat().st_size for part in here.parts), "the first bytes")
            with (server.home / "other").open("wb", buffering=0) as other, suppress(OSError):
                while other.write(bytes(1 << 16)):
                    pass
        error = held.outcomes[0].error
        assert error is not None
        assert (error.code, error.exit_code) == ("space", 6)
        assert "disk is full" in error.message
        assert [Path(name).suffix for name in here.there] == [".part"]


def test_server_route_of_a_local_file_is_refused(here: World) -> None:
    assert here.fails(here.model(), via="server") == "route"
    assert here.fails(here.model(), detach=True) == "route"
