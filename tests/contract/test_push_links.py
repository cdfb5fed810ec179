"""Links to models, pushed to real servers: relayed through memory, or downloaded first."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.world import CHECKPOINTS, MIB, World, serve, world
from tests.servers.http_origin import Origin
from tests.servers.models import PRESETS, safetensors
from tests.servers.torch_files import Call, Name, torch_zip, weights
from uploader.artifact import Digest, Kind
from uploader.transfer.config import TransferConfig

CHUNK_BYTES = TransferConfig.chunk_bytes

MODEL = safetensors("checkpoint", size_bytes=9 * MIB, seed=5)
LINK = "/get/linked.safetensors"
LINKED = f"{CHECKPOINTS}/linked.safetensors"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as origin:
        yield origin


def cached(here: World) -> list[str]:
    """Return the names of the cached downloads, without the eight digits of their identity."""
    return [entry.name[9:] for entry in here.app.cache().entries]


def cuts_after_inspection(here: World, origin: Origin, via: str) -> list[int]:
    """Return cuts that leave out the requests that inspect a link: the requests of its transfer follow them."""
    here.dry(origin.url(LINK), via=via)
    return [10**9] * len(origin.requests)


def test_link_is_relayed_without_using_this_disk(every: tuple[str, World], origin: Origin) -> None:
    _, here = every
    origin.serve(LINK, MODEL, etag='"v1"')
    outcome = here.placed(origin.url(LINK + "?token=secret"), via="relay")
    assert (outcome.route, outcome.bytes_sent) == ("relay", len(MODEL))
    assert (here.root / LINKED).read_bytes() == MODEL
    assert not (here.state / "cache").exists()
    assert "secret" not in outcome.source + here.said
    assert here.one(origin.url(LINK)).status == "kept"


def test_link_without_ranges_is_cached_on_this_disk(here: World, origin: Origin) -> None:
    origin.serve(LINK, MODEL, ranges=False)
    outcome = here.placed(origin.url(LINK))
    assert outcome.route == "local"
    assert (here.root / LINKED).read_bytes() == MODEL
    assert cached(here) == ["linked.safetensors"]


@pytest.mark.parametrize("sha256", [None, Digest(hashlib.sha256(MODEL).hexdigest())])
def test_link_pushed_twice_downloads_nothing(here: World, origin: Origin, sha256: Digest | None) -> None:
    origin.serve(LINK, MODEL, etag='"v1"')
    first = here.placed(origin.url(LINK), via="local", sha256=sha256)
    origin.forget()
    (here.root / LINKED).unlink()
    second = here.placed(origin.url(LINK), via="local", sha256=sha256)
    assert (second.sha256, second.size) == (first.sha256, len(MODEL))
    assert (here.root / LINKED).read_bytes() == MODEL
    # The dry run reads only the name and the header.
    asked = [re.findall(r"\d+", request.range or "") for request in origin.requests]
    assert all(len(pair) == 2 and int(pair[1]) < MIB for pair in asked)


@pytest.mark.parametrize("via", ["relay", "local"])
@pytest.mark.parametrize("ranges", [True, False])
def test_link_cut_during_transfer_is_continued(here: World, origin: Origin, via: str, ranges: bool) -> None:
    resource = origin.serve(LINK, MODEL, etag='"v1"', ranges=ranges)
    resource.cuts = [*cuts_after_inspection(here, origin, via), 3_000_000, 1_000_000 if ranges else 6_000_000]
    here.placed(origin.url(LINK), via=via)
    assert (here.root / LINKED).read_bytes() == MODEL
    assert resource.cuts == []
    begins = {request.range and request.range.partition("-")[0] for request in origin.requests}
    if ranges:
        assert begins & {
            "bytes=3000000",
            "bytes=1000000",
        }  # the first range, whose connection met one of the two cuts
        assert None not in begins
    else:
        assert [request.range for request in origin.requests[-2:]] == [None, None]


def test_source_cut_while_identified_is_asked_again(here: World, origin: Origin) -> None:
    origin.serve(LINK, MODEL, etag='"v1"', cuts=[10], failures=[503])
    here.placed(origin.url(LINK))
    assert (here.root / LINKED).read_bytes() == MODEL


@contextmanager
def replaced(origin: Origin, *later: bytes) -> Iterator[None]:
    """Serve the model, and replace it each time its transfer has begun."""
    resource = origin.serve(LINK, MODEL, etag='"v1"', gate=threading.Event(), gate_at=MIB)

    def replace() -> None:
        resource.reached.wait(20)
        for number, content in enumerate(later, 2):
            while not any(request.headers.get("if-range") == f'"v{number - 1}"' for request in origin.requests):
                threading.Event().wait(0.005)
            gate, resource.gate = resource.gate, threading.Event() if number <= len(later) else None
            resource.content, resource.etag = content, f'"v{number}"'
            if gate is not None:
                gate.set()

    replacing = threading.Thread(target=replace, daemon=True)
    replacing.start()
    yield
    replacing.join(20)


@pytest.mark.parametrize("via", ["relay", "local"])
def test_link_replaced_on_its_way_is_sent_from_the_start(here: World, origin: Origin, via: str) -> None:
    other = safetensors("checkpoint", size_bytes=10 * MIB, seed=6)
    with replaced(origin, other):
        outcome = here.placed(origin.url(LINK), via=via, limit=200 * MIB)
    assert (here.root / LINKED).read_bytes() == other
    assert (outcome.size, outcome.sha256) == (len(other), hashlib.sha256(other).hexdigest())
    assert here.there == {LINKED: len(other)}
    assert "was replaced at its source" in here.said


@pytest.mark.parametrize("via", ["relay", "local"])
def test_link_replaced_again_and_again_leaves_nothing(here: World, origin: Origin, via: str) -> None:
    later = [safetensors("checkpoint", size_bytes=9 * MIB, seed=seed) for seed in (6, 7)]
    with replaced(origin, *later):
        report = here.push(origin.url(LINK), via=via, limit=200 * MIB)
    assert (report.exit_code, report.outcomes[0].error and report.outcomes[0].error.code) == (7, "source-changed")
    assert (here.there, cached(here)) == ({}, [])


def test_link_that_becomes_another_kind_is_not_placed(here: World, origin: Origin) -> None:
    lora = safetensors("lora", size_bytes=9 * MIB, seed=6)
    with replaced(origin, lora):
        assert here.fails(origin.url(LINK), limit=200 * MIB) == "source-changed"
    assert here.there == {}


@pytest.mark.parametrize("via", ["relay", "local"])
def test_link_of_another_file_than_promised_leaves_nothing(here: World, origin: Origin, via: str) -> None:
    origin.serve(LINK, MODEL, etag='"v1"')
    report = here.push(origin.url(LINK), via=via, sha256=Digest("0" * 64))
    assert (report.exit_code, report.outcomes[0].error and report.outcomes[0].error.code) == (7, "hash")
    assert here.there == {}
    wrong = f"linked.safetensors.wrong-{hashlib.sha256(MODEL).hexdigest()[:8]}"
    assert cached(here) == ([wrong] if via == "local" else [])


@pytest.mark.parametrize(("limit", "code"), [("0", None), ("much", "configuration")])
def test_link_downloads_obey_the_cache_limit(tmp_path: Path, origin: Origin, limit: str, code: str | None) -> None:
    with serve(tmp_path / "server", "embedded") as server:
        here = world(tmp_path, server, UPLOADER_CACHE_LIMIT=limit)
        origin.serve(LINK, MODEL, etag='"v1"')
        error = here.one(origin.url(LINK), via="local").error
        assert (error and error.code) == code
        assert not list((here.state / "cache").glob("*"))


def test_link_interrupted_download_resumes_in_next_run(here: World, origin: Origin) -> None:
    resource = origin.serve(LINK, MODEL, etag='"v1"')
    resource.cuts = [*cuts_after_inspection(here, origin, "local"), CHUNK_BYTES + 1, CHUNK_BYTES - 1, *[0] * 60]
    report = here.push(origin.url(LINK), via="local")
    assert report.exit_code == 5
    assert cached(here) == ["linked.safetensors.part"]
    resource.cuts = []
    origin.forget()
    here.placed(origin.url(LINK), via="local")
    asked = [re.findall(r"\d+", request.range or "") for request in origin.requests]
    fetched = [int(last) + 1 - int(first) for first, last in asked]
    assert sum(size for size in fetched if size > MIB // 2) < len(MODEL)  # the small requests read its header
    assert (here.root / LINKED).read_bytes() == MODEL
    assert cached(here) == ["linked.safetensors"]


def test_link_to_a_web_page_is_refused(here: World, origin: Origin) -> None:
    origin.page("/dream.safetensors")
    report = here.push(origin.url("/dream.safetensors"))
    assert (report.exit_code, report.outcomes[0].error and report.outcomes[0].error.code) == (4, "not-a-model")
    assert here.there == {}


def test_truncated_link_without_length_is_found(here: World, origin: Origin) -> None:
    origin.serve(LINK, MODEL[:-5], ranges=False, length="close")
    report = here.push(origin.url(LINK))
    assert report.exit_code == 7
    assert here.there == {}
    assert cached(here) == []


def test_link_that_is_missing_is_reported(here: World, origin: Origin) -> None:
    report = here.push(origin.url("/nothing.safetensors"))
    assert (report.exit_code, report.outcomes[0].error and report.outcomes[0].error.code) == (4, "source-missing")


VALIDATORS = {
    "an etag": ({"etag": '"v1"'}, {"etag": '"v2"'}),
    "a date": (
        {"last_modified": "Tue, 15 Nov 2022 12:45:26 GMT"},
        {"last_modified": "Wed, 16 Nov 2022 12:45:26 GMT"},
    ),
    "a weak etag": ({"etag": 'W/"v1"'}, {"etag": 'W/"v1"'}),
    "nothing": ({}, {}),
}
"""The headers that a server sends before and after it replaces a file with another one of the same size."""


@pytest.mark.parametrize("via", ["relay", "local"])
@pytest.mark.parametrize("says", VALIDATORS)
def test_link_replaced_between_two_runs_starts_again(here: World, origin: Origin, says: str, via: str) -> None:
    before, after = VALIDATORS[says]
    resource = origin.serve(LINK, MODEL, **before)
    resource.cuts = [*cuts_after_inspection(here, origin, via), 5 * MIB, *[0] * 30]
    assert here.push(origin.url(LINK), via=via).exit_code == 5
    other = safetensors("checkpoint", size_bytes=9 * MIB, seed=6)
    replaced = origin.serve(LINK, other, **after)
    outcome = here.placed(origin.url(LINK), via=via)
    assert (here.root / LINKED).read_bytes() == other
    assert (outcome.bytes_sent, outcome.resumed_from) == (len(other), 0)
    assert replaced.cuts == []


def test_pickle_without_digest_is_scanned_as_a_whole(here: World, origin: Origin) -> None:
    content = torch_zip({"state_dict": weights(PRESETS["checkpoint"])})
    origin.serve("/old.ckpt", content, etag='"v1"')
    link = origin.url("/old.ckpt")
    assert here.fails(link, via="relay") == "route"
    assert here.there == {}
    assert here.placed(link).route == "local"
    assert list(here.there) == [f"{CHECKPOINTS}/old.ckpt"]
    assert here.one(link, via="relay", sha256=Digest(hashlib.sha256(content).hexdigest())).status == "kept"
    assert here.one(link, via="relay", allow_pickle=True).status == "kept"


def test_pickle_link_that_runs_code_is_refused_at_once(here: World, origin: Origin) -> None:
    origin.serve("/evil.pt", torch_zip({"hook": Call(Name("os", "system"), ("id",))}), etag='"v1"')
    error = here.one(origin.url("/evil.pt")).error
    assert error is not None
    assert "os.system" in error.message
    assert (here.there, cached(here)) == ({}, [])


def test_pickle_link_without_size_is_scanned_on_this_disk(here: World, origin: Origin) -> None:
    for name, value in (("clean", {"state_dict": weights(PRESETS["vae"])}), ("evil", Name("os", "system"))):
        origin.serve(f"/{name}.pt", torch_zip(value), ranges=False, length="chunked")
    here.placed(origin.url("/clean.pt"), kind=Kind.VAE)
    assert here.fails(origin.url("/evil.pt"), kind=Kind.VAE) == "not-a-model"
    assert (list(here.there), cached(here)) == (["models/VAE/clean.pt"], ["clean.pt"])
