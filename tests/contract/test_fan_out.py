"""One push to several targets at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, LORAS, World, serve, world
from tests.servers.http_origin import Origin
from tests.servers.models import safetensors
from uploader.api import LoginRequest
from uploader.demo.server import EmbeddedServer
from uploader.errors import UsageError
from uploader.events import Began, Ended, Event, Planned, silence
from uploader.result import Report
from uploader.session.session import Session

LINK = "/style.safetensors?token=hush-hush"
MODEL = safetensors("checkpoint", size_bytes=1 << 20)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[World]:
    """Targets canvas, second and third, on one server, each with a root of its own."""
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server)
        for name in ("second", "third"):
            add(here, server, name)
        yield here


def add(here: World, server: object, name: str, port: int | None = None) -> None:
    assert isinstance(server, EmbeddedServer)
    for folder in (CHECKPOINTS, LORAS):
        (server.root / name / folder).mkdir(parents=True)
    here.app.login(
        LoginRequest(
            "generic",
            name=name,
            host=server.host,
            port=port or server.port,
            user=server.user,
            root=name,
            webui="a1111",
            host_key=None if port else server.fingerprint,
            check=port is None,
        )
    )


def statuses(report: Report) -> dict[str, str]:
    return {outcome.target: outcome.error.code if outcome.error else outcome.status for outcome in report.outcomes}


def test_push_to_several_has_an_outcome_for_each(three: World) -> None:
    model = three.model()
    report = three.push(model, to=("canvas", "second", "third"))
    assert statuses(report) == dict.fromkeys(("canvas", "second", "third"), "placed")
    assert [outcome.target for outcome in report.outcomes] == ["canvas", "second", "third"]
    for root in ("webui", "second", "third"):
        placed = three.root.parent / root / CHECKPOINTS / model.name
        assert placed.read_bytes() == model.read_bytes()
    rows = {event.item: event.name for event in three.events if isinstance(event, Began)}
    assert sorted(rows.values()) == [f"{name}: {model.name}" for name in ("canvas", "second", "third")]
    assert {event.item for event in three.events if isinstance(event, Ended)} == set(rows)
    assert [event for event in three.events if isinstance(event, Planned)] == [Planned(3, 3 * model.stat().st_size)]


def test_fan_out_link_is_resolved_once(three: World) -> None:
    with Origin() as origin:
        origin.serve("/style.safetensors", MODEL, etag='"v1"')
        report = three.push(origin.url(LINK), to=("canvas", "second"))
        resolved = [request for request in origin.requests if request.range == "bytes=0-1023"]
    assert statuses(report) == {"canvas": "placed", "second": "placed"}
    assert len(resolved) == 1
    assert "hush-hush" not in str(three.events)


def test_fan_out_link_over_disk_reaches_every_target(three: World) -> None:
    with Origin() as origin:
        origin.serve("/style.safetensors", MODEL, ranges=False)
        report = three.push(origin.url(LINK), to=("canvas", "second", "third"))
    assert statuses(report) == dict.fromkeys(("canvas", "second", "third"), "placed")
    assert {outcome.route for outcome in report.outcomes} == {"local"}


def test_fan_out_unreachable_target_delays_no_other(three: World) -> None:
    with serve(three.disk.parent / "gone", "embedded") as gone:
        assert isinstance(gone, EmbeddedServer)
        port = gone.port
        add(three, gone, "gone", port)
    report = three.push(three.model(), to=("gone", "canvas"))
    assert statuses(report)["canvas"] == "placed"
    assert statuses(report)["gone"] in ("network", "host-key-unknown", "credentials-missing")
    assert report.exit_code != 0


def test_fan_out_refusal_fails_only_its_own_target(three: World) -> None:
    model = three.model()
    (three.root.parent / "second" / CHECKPOINTS / model.name).write_bytes(b"other")
    report = three.push(model, to=("canvas", "second"))
    assert statuses(report) == {"canvas": "placed", "second": "exists"}


def test_push_with_one_bad_reference_moves_nothing(three: World) -> None:
    report = three.push(three.disk / "none.safetensors", three.model(), to=("canvas", "second"))
    assert statuses(report) == {"canvas": "source-missing", "second": "source-missing"}
    assert three.there == {}


def test_fan_out_dry_run_plan_names_each_target(three: World) -> None:
    dry = three.dry(three.model(), to=("canvas", "second"))
    assert dry.target == "canvas, second"
    assert [step.target for step in dry.steps] == ["canvas", "second"]
    assert {step.action for step in dry.steps} == {"send"}
    assert three.there == {}


def test_fan_out_target_named_twice_is_pushed_once(three: World) -> None:
    assert len(three.push(three.model(), to=("canvas", "canvas")).outcomes) == 1


def test_fan_out_slow_target_delays_no_other_outcome(three: World) -> None:
    """The outcomes of the other targets arrive while one target is still waited for."""
    ended = threading.Event()
    seen: list[Event] = []

    def watch(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Ended) and event.item.startswith("second"):
            ended.set()
        if isinstance(event, Began) and event.item.startswith("canvas"):
            assert ended.wait(30)

    three.app.session.observer = watch
    assert statuses(three.push(three.model(), to=("canvas", "second"))) == {"canvas": "placed", "second": "placed"}


# groups -----------------------------------------------------------------------------------------------


@pytest.fixture
def session(three: World) -> Session:
    return Session(environ={}, prompter=None, observer=silence, state=three.state)


def test_group_in_push_stands_for_its_targets(three: World, session: Session) -> None:
    with session.targets.path.open("a") as file:
        file.write('\n[groups]\nrented = ["third", "canvas"]\n')
    assert [target.name for target in session.choose_targets(["@rented"])] == ["third", "canvas"]
    assert [target.name for target in session.choose_targets(["canvas", "@rented"])] == ["canvas", "third"]
    assert len(three.push(three.model(), to=("@rented",)).outcomes) == 2
    with pytest.raises(UsageError, match="names 2 targets"):
        session.choose_target("@rented")
    with pytest.raises(UsageError, match=r"no group @rent; there are: @rented"):
        session.choose_targets(["@rent"])


def test_logout_leaves_a_group_that_names_the_lost_target(three: World, session: Session) -> None:
    with session.targets.path.open("a") as file:
        file.write('\n[groups]\nrented = ["third", "canvas"]\nnone = []\n')
    three.app.logout("third")
    assert [target.name for target in session.targets.all()] == ["canvas", "second"]
    with pytest.raises(UsageError, match="no target 'third'"):
        session.choose_targets(["@rented"])
    with pytest.raises(UsageError, match="@none is empty"):
        session.choose_targets(["@none"])
