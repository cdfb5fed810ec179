"""Failures during a push: it ends with identical bytes under the final name, or with no final name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contract.world import CHECKPOINTS, LORAS, World, serve, sha256, world
from tests.examples import examples
from tests.servers.faulty import Cuts
from tests.servers.models import safetensors
from tests.servers.tcp_proxy import Direction, Proxy
from tests.small_config import SMALL
from uploader.events import Progress
from uploader.state.database import Database

CHUNK_BYTES = SMALL.chunk_bytes
QUARTER = CHUNK_BYTES // 4
ROOT = Path(__file__).parents[2]
DREAM = f"{CHECKPOINTS}/dream.safetensors"
SIZE = 17 * QUARTER + 24


@pytest.fixture(params=["full", "embedded"])
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[World, Proxy]]:
    """Yield a server with a shell and one without, each with the proxy that can cut its connections."""
    with serve(tmp_path / "server", request.param) as server, Proxy(server.host, server.port) as line:
        yield world(tmp_path, server, line=line, config=SMALL), line


def leave_a_part(here: World, line: Proxy, model: Path, after: int, **options: object) -> int:
    """Push to a server that disappears for good after `after` bytes. Return the bytes sent."""

    line.cut_after(after, for_good=True)
    report = here.push(model, **options)
    assert line.was_cut.is_set()
    line.admit()
    line.was_cut.clear()
    (outcome,) = report.outcomes
    assert outcome.error is not None
    assert (outcome.error.code, report.exit_code) == ("network", 5)
    assert outcome.error.remedy
    assert not (here.root / DREAM).exists()
    return outcome.bytes_sent


# a cut connection -------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 700, 3_000, 6_000, 20_000, 67_000, 140_000, SIZE, SIZE + 4_000])
def test_push_cut_connection_is_opened_again(proxied: tuple[World, Proxy], after: int) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    line.cut_after(after)
    outcome = here.placed(model)
    assert sha256(here.root / DREAM) == sha256(model)
    assert here.parts == []
    assert SIZE <= outcome.bytes_sent <= SIZE + 4 * CHUNK_BYTES
    assert outcome.resumed_from == 0


@pytest.mark.parametrize("after", [50, 5_000, 40_000])
def test_push_connection_cut_in_a_reply_is_opened_again(proxied: tuple[World, Proxy], after: int) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    line.cut_after(after, "down")
    here.placed(model, connections=2)
    assert sha256(here.root / DREAM) == sha256(model)


@pytest.mark.parametrize("after", [5_000, 31_000, 140_000])
def test_push_several_cut_connections_lose_no_bytes(proxied: tuple[World, Proxy], after: int) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    line.cut_after(after)
    here.placed(model, connections=4)
    assert sha256(here.root / DREAM) == sha256(model)


def test_push_repeatedly_cut_connections_place_the_file(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with Cuts(tmp_path / "server", after=5 * QUARTER, times=4) as server:
        here = world(tmp_path, server, config=SMALL)
        model = here.model(size=SIZE)
        here.placed(model, connections=2)
        assert sha256(here.root / DREAM) == sha256(model)
        assert server.times == 0


def test_push_lost_rename_reply_counts_as_placed(tmp_path: Path) -> None:
    """The proxy cuts at the first byte that the server sends after the final name exists."""
    with serve(tmp_path / "server", "full") as server, Proxy(server.host, server.port) as line:
        here = world(tmp_path, server, line=line, config=SMALL)
        model = here.model()
        total = _bytes_until_rename(here, line, model)
        for cut in range(total - 120, total + 1, 40):
            (here.root / DREAM).unlink(missing_ok=True)
            line.cut_after(cut, "down")
            here.placed(model)
            assert sha256(here.root / DREAM) == sha256(model)
            assert here.parts == []


def _bytes_until_rename(here: World, line: Proxy, model: Path) -> int:
    before = line.down
    here.placed(model)
    return line.down - before


@pytest.mark.parametrize("connections", [1, 3])
def test_push_after_server_loss_resumes_from_the_part(proxied: tuple[World, Proxy], connections: int) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    sent = leave_a_part(here, line, model, 14 * QUARTER, connections=connections)
    assert sent > 0
    (part,) = here.parts
    assert part.stat().st_size > CHUNK_BYTES
    outcome = here.placed(model)
    assert sha256(here.root / DREAM) == sha256(model)
    # Each of several connections may have sent a part of its chunk.
    assert outcome.resumed_from >= (CHUNK_BYTES if connections == 1 else 0)
    assert outcome.bytes_sent == SIZE - outcome.resumed_from
    assert here.parts == []
    last = [event for event in here.events if isinstance(event, Progress)][-1]
    assert (last.done, last.resumed) == (SIZE, outcome.resumed_from)


def test_dry_run_with_part_plans_to_resume(proxied: tuple[World, Proxy]) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    leave_a_part(here, line, model, 14 * QUARTER)
    (step,) = here.dry(model).steps
    assert (step.action, step.bytes) == ("resume", SIZE - here.placed(model).resumed_from)


@pytest.mark.parametrize("tamper", ["change", "truncate", "hole", "lengthen"])
def test_push_tampered_part_sends_only_wrong_chunks_again(proxied: tuple[World, Proxy], tamper: str) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    leave_a_part(here, line, model, 14 * QUARTER)
    (part,) = here.parts
    with part.open("r+b") as file:
        match tamper:
            case "change":
                file.seek(CHUNK_BYTES + 5)
                file.write(b"changed")
            case "truncate":
                file.truncate(CHUNK_BYTES + 5)
            case "hole":
                file.seek(100)
                file.write(bytes(CHUNK_BYTES))
            case "lengthen":
                file.truncate(SIZE + 1)
    outcome = here.placed(model)
    assert sha256(here.root / DREAM) == sha256(model)
    assert outcome.bytes_sent == SIZE - outcome.resumed_from
    if tamper in ("change", "truncate"):
        assert outcome.resumed_from > 0


@pytest.mark.parametrize("damage", ["delete", "corrupt"])
def test_push_without_its_upload_record_sends_everything(proxied: tuple[World, Proxy], damage: str) -> None:
    here, line = proxied
    model = here.model(size=SIZE)
    leave_a_part(here, line, model, 14 * QUARTER)
    damaged = {
        "delete": ("DELETE FROM upload", [()]),
        "corrupt": ("UPDATE chunk SET sha256 = 'short' WHERE number = 0", [()]),
    }
    Database(here.state).write(damaged[damage])
    outcome = here.placed(model)
    assert (outcome.resumed_from, outcome.bytes_sent) == (0, SIZE)
    assert sha256(here.root / DREAM) == sha256(model)


# any sequence of failures -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Mishap:
    """The failures in one run and after it. `after` is in thousandths of the bytes, `at` of the part file."""

    way: Direction
    after: int
    tamper: str
    at: int


# Hypothesis draws everything beforehand: how far a run gets depends on threads, and differs each time.
MISHAPS = st.builds(
    Mishap,
    way=st.sampled_from(["up", "up", "down"]),
    after=st.integers(0, 1000),
    tamper=st.sampled_from(["nothing", "change", "truncate", "lengthen"]),
    at=st.integers(0, 1000),
)


@settings(max_examples=examples(6))
@given(
    connections=st.sampled_from([None, 1, 4, 8]),
    small=st.sampled_from([0, 7]),
    mishaps=st.lists(MISHAPS, min_size=1, max_size=3),
)
def test_push_any_cuts_and_tampering_place_no_wrong_bytes(
    tmp_path_factory: pytest.TempPathFactory, connections: int | None, small: int, mishaps: list[Mishap]
) -> None:
    """A large file over several connections, and small ones in one batch."""
    base = tmp_path_factory.mktemp("law")
    with serve(base / "server", "embedded") as server, Proxy(server.host, server.port) as line:
        here = world(base, server, line=line, config=SMALL)
        model = here.disk / "dream.safetensors"
        model.write_bytes(safetensors("checkpoint", size_bytes=9 * QUARTER, seed=3))
        models = [model, *(here.model(f"s{number}.safetensors", 20_000, "lora") for number in range(small))]
        for mishap in mishaps:
            line.cut_after(mishap.after * (11 * QUARTER if mishap.way == "up" else 60_000) // 1000, mishap.way)
            report = here.push(*models, connections=connections)
            for source, outcome in zip(models, report.outcomes, strict=True):
                final = _final(here, source)
                assert final.exists() == (outcome.status != "failed"), outcome
                if final.exists():
                    assert sha256(final) == sha256(source)
            _make_parts(here, models)
            _tamper(here, mishap)
        report = here.push(*models, connections=connections)
        for source in models:
            assert sha256(_final(here, source)) == sha256(source), report.outcomes
        assert here.parts == []


def _final(here: World, source: Path) -> Path:
    return here.root / (CHECKPOINTS if source.name == "dream.safetensors" else LORAS) / source.name


def _make_parts(here: World, models: list[Path]) -> None:
    """Rename each placed file to its part file, or remove it if there is none, so that the next run sends."""
    for source in models:
        final = _final(here, source)
        parts = list(final.parent.glob(f"{source.stem}*.part"))
        if final.exists():
            final.rename(parts[0]) if parts else final.unlink()


def _tamper(here: World, mishap: Mishap) -> None:
    for part in here.parts:
        size = part.stat().st_size
        at = size * mishap.at // 1000
        with part.open("r+b") as file:
            match mishap.tamper:
                case "change":
                    file.seek(at)
                    file.write(b"\0changed\0")
                case "truncate":
                    file.truncate(at)
                case "lengthen":
                    file.truncate(size + at)
