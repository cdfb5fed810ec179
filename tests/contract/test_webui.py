"""The WebUI is notified after a push: each family, over a real SFTP server, with all faults of a WebUI."""

from __future__ import annotations

import base64
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import App, World, serve, world
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.webuis import (
    PASSWORDS,
    FakeA1111,
    FakeComfyUI,
    FakeForge,
    FakeInvokeAI,
    FakeSdNext,
    FakeSwarmUI,
    FakeWebUI,
    all_texts,
)
from tests.unit.commands.login.test_run import kept
from uploader import documents
from uploader.api import LoginRequest, PushRequest, SyncRequest
from uploader.artifact import Kind
from uploader.credentials import keep_sign_in
from uploader.errors import CredentialsRefused, NetworkError, UsageError
from uploader.events import Event, Message
from uploader.result import Notice, Outcome, Report
from uploader.secret import Secret

__all__ = ["kept"]

LISTED = Notice(True, True)
FAMILIES: dict[str, tuple[Callable[..., FakeWebUI], dict[str, str]]] = {
    "a1111": (FakeA1111, {"checkpoint": "models/Stable-diffusion", "lora": "models/Lora", "embedding": "embeddings"}),
    "reforge": (FakeA1111, {"checkpoint": "models/Stable-diffusion", "vae": "models/VAE"}),
    "forge": (FakeForge, {"checkpoint": "models/Stable-diffusion", "lora": "models/Lora"}),
    "forge-neo": (
        FakeForge.neo,
        {"diffusion-model": "models/Stable-diffusion", "embedding": "models/embeddings"},
    ),
    "sdnext": (FakeSdNext, {"checkpoint": "models/Stable-diffusion", "diffusion-model": "models/UNET"}),
    "comfyui": (FakeComfyUI, {"checkpoint": "models/checkpoints", "diffusion-model": "models/diffusion_models"}),
    "invokeai": (FakeInvokeAI, {"checkpoint": "uploaded", "lora": "uploaded"}),
    "swarmui": (FakeSwarmUI, {"checkpoint": "Models/Stable-Diffusion", "lora": "Models/Lora"}),
}
FAULTS = [401, 403, 404, 500, 502, "html", "hang", "drip", "cut", "garbage", "redirect"]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with serve(tmp_path / "server", "embedded") as server:
        yield world(tmp_path, server)


def invokeai(here: World) -> FakeInvokeAI:
    """Return an InvokeAI that sees the same paths as the account, which is locked into its folder."""
    webui = FakeInvokeAI(here.root)
    webui.view = lambda path: here.root.parent / path.lstrip("/")
    return webui


def tell(here: World, webui: FakeWebUI, kind: str = "a1111", **facts: Any) -> World:
    """Save the address of the WebUI in the target."""
    facts.setdefault("webui_url", webui.url)
    here.app.login(LoginRequest("generic", name="canvas", webui=kind, **facts))
    return here


def again(here: World, events: list[Event] | None = None, **how: Any) -> World:
    """Return the same user in another run of the program. `environ` adds to the environment."""
    environ = {**here.app.session.environ, **how.pop("environ", {})}
    app = App(
        environ=environ,
        prompter=how.pop("asker", None),
        observer=(here.events if events is None else events).append,
        state=here.state,
        ssh_folder=here.app.session.ssh_folder,
        wait=lambda seconds: False,
        **how,
    )
    return replace(here, app=app)


def notice(outcome: Outcome) -> Notice:
    assert outcome.status in ("placed", "kept"), outcome.error
    assert outcome.webui is not None
    return outcome.webui


# every family -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_notify_pushed_model_is_listed_by_the_webui(here: World, name: str) -> None:
    make, folders = FAMILIES[name]
    for folder in folders.values():
        (here.root / folder).mkdir(parents=True, exist_ok=True)
    with invokeai(here) if name == "invokeai" else make(here.root) as webui:
        tell(here, webui, name)
        models = [here.model(f"{kind}.safetensors", preset=kind) for kind in folders]
        report = here.push(*models)
        assert report.ok
        for outcome in report.outcomes:
            assert (notice(outcome).refreshed, notice(outcome).listed) == (True, True), outcome
            assert outcome.path is not None
            assert folders[str(outcome.kind)] in outcome.path
        again_told = here.push(*models)
        assert [(outcome.status, notice(outcome).listed) for outcome in again_told.outcomes] == [
            ("kept", True) for _ in models
        ]


def test_notify_many_models_of_a_kind_refresh_once(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        webui.requests.clear()
        report = here.push(
            *(here.model(f"{n}.safetensors") for n in range(4)), here.model("l.safetensors", preset="lora")
        )
        assert [notice(outcome) for outcome in report.outcomes] == [LISTED] * 5
        assert webui.asked("/sdapi/v1/refresh-checkpoints") == 1
        assert webui.asked("/sdapi/v1/sd-models") == 1
        assert webui.asked("/sdapi/v1/refresh-loras") == 1


def test_notify_forge_vae_needs_its_page(here: World) -> None:
    (here.root / "models/VAE").mkdir()
    with FakeForge(here.root) as webui:
        tell(here, webui, "forge")
        told = notice(here.one(here.model("v.safetensors", preset="vae")))
        assert (told.refreshed, told.listed) == (False, False)
        assert "refresh button beside VAE" in str(told.remedy)
        webui.modules = webui.scan_modules()  # the user pressed the refresh button
        assert notice(here.one(here.disk / "v.safetensors")) == Notice(False, True)


def test_notify_kind_that_needs_a_restart_says_so(here: World) -> None:
    (here.root / "models/hypernetworks").mkdir()
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        told = notice(here.one(here.model("h.safetensors"), kind=Kind.HYPERNETWORK))
        assert (told.refreshed, told.listed) == (False, False)
        assert "Restart the WebUI" in str(told.remedy)


def test_notify_untold_kind_has_no_listed_state(here: World) -> None:
    (here.root / "models/adetailer").mkdir()
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        told = notice(here.one(here.model("d.safetensors"), kind=Kind.DETECTOR))
        assert (told.refreshed, told.listed) == (False, None)
        assert told.remedy


def test_notify_controlnet_is_matched_by_name_without_hash(here: World) -> None:
    (here.root / "models/ControlNet").mkdir()
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        assert notice(here.one(here.model("c.safetensors", preset="controlnet"))) == LISTED


def test_notify_comfyui_names_missing_nodes(here: World) -> None:
    (here.root / "models/ipadapter").mkdir()
    with FakeComfyUI(here.root) as webui:
        tell(here, webui, "comfyui")
        told = notice(here.one(here.model("i.safetensors"), kind=Kind.IP_ADAPTER))
        assert (told.refreshed, told.listed) == (False, None)
        assert "custom nodes" in str(told.remedy)


def test_notify_unread_folder_names_the_right_one(here: World) -> None:
    elsewhere = here.root.parent / "other" / "loras"
    elsewhere.mkdir(parents=True)
    with FakeA1111(here.root) as webui:
        webui.flags["lora_dir"] = str(elsewhere)
        webui.PLACES = {**webui.PLACES, "loras": str(elsewhere)}
        tell(here, webui)
        told = notice(here.one(here.model("l.safetensors", preset="lora")))
        assert (told.refreshed, told.listed) == (True, False)
        assert str(elsewhere) in str(told.remedy)


def test_notify_other_webui_is_noted_and_asked(here: World) -> None:
    with FakeComfyUI(here.root) as webui:
        webui.places["checkpoints"] = ["models/Stable-diffusion"]  # as an extra_model_paths.yaml does
        tell(here, webui, "a1111")
        assert notice(here.one(here.model())).listed is True
        assert "saved as AUTOMATIC1111, but ComfyUI answers" in here.said


def test_notify_keeps_the_path_prefix_of_the_address(here: World) -> None:
    with FakeA1111(here.root, prefix="/proxy/7860") as webui:
        tell(here, webui)
        assert notice(here.one(here.model())) == LISTED


def test_notify_swarmui_expired_session_is_renewed(here: World) -> None:
    (here.root / "Models/Stable-Diffusion").mkdir(parents=True)
    with FakeSwarmUI(here.root) as webui:
        tell(here, webui, "swarmui")
        plain = webui.answer

        def answer(seen: Any) -> Any:
            if seen.path.endswith("TriggerRefresh") and webui.session == 0:
                webui.session = 1
            return plain(seen)

        webui.answer = answer  # type: ignore[method-assign]
        assert notice(here.one(here.model())) == LISTED
        assert webui.session == 1


# InvokeAI ---------------------------------------------------------------------------------------------


def test_notify_invokeai_registers_in_place_and_is_awaited(here: World) -> None:
    with invokeai(here) as webui:
        tell(here, webui, "invokeai")
        webui.looks = 4
        outcome = here.one(here.model("my lora é.safetensors", preset="lora"))
        assert notice(outcome) == LISTED
        (install,) = [seen for seen in webui.requests if seen.method == "POST" and seen.path.endswith("install")]
        assert install.query["source"] == ["/webui/uploaded/my lora é.safetensors"]
        assert install.query["inplace"] == ["true"]
        assert webui.jobs[0]["status"] == "completed"


def test_notify_invokeai_known_model_is_not_registered_again(here: World) -> None:
    with invokeai(here) as webui:
        tell(here, webui, "invokeai")
        here.placed(here.model("lora.safetensors", preset="lora"))
        assert notice(here.one(here.disk / "lora.safetensors")) == LISTED
        assert len(webui.jobs) == 1


def test_notify_invokeai_unknown_model_says_what_to_do(here: World) -> None:
    with invokeai(here) as webui:
        tell(here, webui, "invokeai")
        webui.type_of = lambda path: "unknown"
        told = notice(here.one(here.model()))
        assert told.listed
        assert "set its type" in str(told.remedy)


@pytest.mark.parametrize("reason", ["does not see it", "does not like it"])
def test_notify_invokeai_failed_registration_fails_no_push(here: World, reason: str) -> None:
    with invokeai(here) as webui:
        tell(here, webui, "invokeai")
        if reason == "does not see it":
            webui.view = lambda path: Path("/nowhere")
        else:
            webui.breaks = "Unable to determine model type"
        told = notice(here.one(here.model()))
        assert (told.refreshed, told.listed) == (False, None)
        assert "did not register" in str(told.remedy)
        assert "Scan Folder" in str(told.remedy)


def test_notify_invokeai_signs_in_by_e_mail_and_password(here: World) -> None:
    with invokeai(here) as webui:
        webui.account = {"email": "me@example.com", "password": "geheim"}
        for secret, listed in (("me@example.com:geheim", True), ("me@example.com:falsch", None), ("", None)):
            person = again(here, environ={"UPLOADER_WEBUI_AUTH": secret})
            tell(person, webui, "invokeai")
            told = notice(person.one(here.model("lora.safetensors", preset="lora")))
            assert told.listed is listed
            assert "geheim" not in str(told.remedy)


def test_notify_invokeai_without_address_adds_a_notice(here: World) -> None:
    here.app.login(LoginRequest("generic", name="canvas", webui="invokeai"))
    told = notice(here.one(here.model()))
    assert told.refreshed is False
    assert "--webui-url" in str(told.remedy)


# failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        *(("a1111", fault) for fault in FAULTS),
        *((name, fault) for name in ("comfyui", "invokeai", "swarmui") for fault in (500, "html", "hang")),
    ],
)
def test_notify_faulty_webui_fails_no_push(here: World, name: str, fault: int | str) -> None:
    make, folders = FAMILIES[name]
    (here.root / folders["checkpoint"]).mkdir(parents=True, exist_ok=True)
    with make(here.root) as webui:
        tell(here, webui, name)
        webui.fault = fault
        person = again(here, webui_seconds=0.4)
        began = time.monotonic()
        report = person.push(here.model())
        assert time.monotonic() - began < 5
        assert (report.ok, report.exit_code) == (True, 0)
        told = notice(report.outcomes[0])
        assert (told.refreshed, told.listed) == (False, None)
        assert "was not told" in str(told.remedy)


@pytest.mark.parametrize("fault", [500, "html", "hang", "cut"])
def test_notify_late_trouble_fails_no_push(here: World, fault: int | str) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        plain = webui.answer

        def answer(seen: Any) -> Any:
            if seen.path.endswith("cmd-flags"):
                webui.fault = fault
            return plain(seen)

        webui.answer = answer  # type: ignore[method-assign]
        report = again(here, webui_seconds=0.4).push(here.model(), here.model("l.safetensors", preset="lora"))
        assert report.ok
        assert all(notice(outcome).listed is None and notice(outcome).remedy for outcome in report.outcomes)


def test_notify_webui_that_is_off_is_reported(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
    told = notice(here.one(here.model()))
    assert "cannot be reached" in str(told.remedy)
    assert "Is the WebUI running" in str(told.remedy)


def test_notify_defect_of_the_program_fails_no_push(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        events: list[Event] = []

        def observe(event: Event) -> None:
            events.append(event)
            if isinstance(event, Message) and "saved as" in event.text:
                raise ZeroDivisionError

        person = again(here)
        person.app.session.observer = observe
        tell(here, webui, "comfyui")
        told = notice(person.one(here.model(), mkdir=True))
        assert "internal error" in str(told.remedy)
        assert any(isinstance(event, Message) and "Traceback" in event.text for event in events)


def test_notify_ctrl_c_keeps_the_outcomes(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        main = threading.get_ident()
        webui.fault = "hang"
        plain = webui.requests.append

        class Log(list[Any]):
            def append(self, seen: Any) -> None:
                plain(seen)
                signal.pthread_kill(main, signal.SIGINT)

        webui.requests = Log()
        began = time.monotonic()
        report = here.push(here.model())
        assert time.monotonic() - began < 5
        assert "You stopped it" in str(notice(report.outcomes[0]).remedy)
        assert (report.ok, report.exit_code) == (True, 130)


def test_notify_sync_by_kind_names_only_sent_models(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        here.model()
        here.model("style.safetensors", preset="lora")
        request = SyncRequest(str(here.disk), by_kind=True)
        first = here.app.sync(request)
        assert isinstance(first, Report)
        assert [notice(outcome) for outcome in first.outcomes] == [LISTED, LISTED]
        webui.requests.clear()
        second = here.app.sync(request)
        assert isinstance(second, Report)
        assert {(outcome.status, outcome.webui) for outcome in second.outcomes} == {("kept", None)}
        assert list(webui.requests) == []


def test_notify_each_target_has_its_own_webui(here: World) -> None:
    folder = here.root.parent / "second" / "models/Stable-diffusion"
    folder.mkdir(parents=True)
    with FakeA1111(here.root) as webui, FakeA1111(here.root.parent / "second") as other:
        tell(here, webui)
        (target,) = here.app.targets()
        place: dict[str, Any] = {"host": target.host, "port": target.port, "user": target.user, "root": "second"}
        second = LoginRequest(
            "generic", name="second", webui="a1111", webui_url=other.url, accept_new_host_key=True, **place
        )
        here.app.login(second)
        report = here.push(here.model(), to=("canvas", "second"))
        assert [notice(outcome) for outcome in report.outcomes] == [LISTED, LISTED]


@pytest.mark.usefixtures("kept")
def test_notify_environment_sign_in_skips_several_webuis(here: World) -> None:
    folder = here.root.parent / "second" / "models/Stable-diffusion"
    folder.mkdir(parents=True)
    with FakeA1111(here.root) as webui, FakeA1111(here.root.parent / "second") as other:
        tell(here, webui)
        (target,) = here.app.targets()
        place: dict[str, Any] = {"host": target.host, "port": target.port, "user": target.user, "root": "second"}
        here.app.login(
            LoginRequest(
                "generic", name="second", webui="a1111", webui_url=other.url, accept_new_host_key=True, **place
            )
        )
        keep_sign_in("second", other.url, Secret("me:mine"), here.app.session.keyring)
        person = again(here, environ={"UPLOADER_WEBUI_AUTH": "me:geheim"})
        webui.requests.clear()
        other.requests.clear()
        report = person.push(here.model(), to=("canvas", "second"))
        assert [notice(outcome) for outcome in report.outcomes] == [LISTED, LISTED]
        assert [seen for seen in webui.requests if "authorization" in seen.headers] == []
        mine = "Basic " + base64.b64encode(b"me:mine").decode()
        assert {seen.headers["authorization"] for seen in other.requests} == {mine}
        notes = [event.text for event in person.events if isinstance(event, Message) and event.level == "note"]
        assert sum("$UPLOADER_WEBUI_AUTH is given to none of the 2 WebUIs" in text for text in notes) == 1


def test_notify_waits_ten_seconds_at_most() -> None:
    assert App(environ={}, prompter=None).session.webui_seconds == 10.0


def test_notify_without_address_sends_and_reports_nothing(here: World) -> None:
    assert here.placed(here.model()).webui is None


def test_no_notify_sends_no_request(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        webui.requests.clear()
        assert here.placed(here.model(), notify=False).webui is None
        assert webui.requests == []


def test_notify_dry_run_sends_no_request(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        webui.requests.clear()
        here.dry(here.model())
        assert webui.requests == []


def test_notify_failed_item_sends_no_request(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        (here.root / "models/Stable-diffusion/taken.safetensors").write_bytes(b"other bytes")
        report = here.push(here.model("taken.safetensors"), here.model("free.safetensors"))
        assert [outcome.webui for outcome in report.outcomes] == [None, LISTED]


# --select ---------------------------------------------------------------------------------------------


def test_select_switches_to_the_new_checkpoint(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        assert notice(here.one(here.model("new.safetensors"), select=True)) == LISTED
        assert webui.options["sd_model_checkpoint"] == "new.safetensors"


def test_select_switches_swarmui_and_sdnext(here: World, tmp_path: Path) -> None:
    (here.root / "Models/Stable-Diffusion").mkdir(parents=True)
    with FakeSwarmUI(here.root) as swarm:
        tell(here, swarm, "swarmui")
        assert notice(here.one(here.model("a.safetensors"), select=True)) == LISTED
        assert swarm.loaded == "a.safetensors"
    with FakeSdNext(here.root) as sdnext:
        tell(here, sdnext, "sdnext")
        assert notice(here.one(here.model("b.safetensors"), select=True)) == LISTED
        assert sdnext.options["sd_model_checkpoint"] == "b.safetensors"


def test_select_without_a_call_says_how_by_hand(here: World) -> None:
    (here.root / "models/checkpoints").mkdir(parents=True)
    with FakeComfyUI(here.root) as webui:
        tell(here, webui, "comfyui")
        assert "in the loader" in str(notice(here.one(here.model(), select=True)).remedy)


def test_select_failed_switch_fails_no_push(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        webui.models = list  # type: ignore[method-assign]
        plain = webui.get
        listed = [{"title": "x.safetensors", "filename": "/x.safetensors"}]
        webui.get = lambda call: (200, listed) if call == "sd-models" else plain(call)  # type: ignore[method-assign]
        told = notice(here.one(here.model("x.safetensors"), select=True))
        assert told.listed
        assert "not switched" in str(told.remedy)


def test_select_without_checkpoint_switches_nothing(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        before = dict(webui.options)
        assert notice(here.one(here.model("l.safetensors", preset="lora"), select=True)) == LISTED
        assert webui.options == before
        assert "no checkpoint was pushed" in here.said


def test_select_unlisted_checkpoint_is_not_switched_to(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        webui.scan = lambda name: []  # type: ignore[method-assign]
        told = notice(here.one(here.model(), select=True))
        assert (told.refreshed, told.listed) == (True, False)
        assert "`uploader webui` tells more" in str(told.remedy)
        assert "not switched to" in str(told.remedy)


def test_select_is_refused_where_it_cannot_be_done(here: World) -> None:
    with pytest.raises(UsageError, match="its address is not known"):
        here.app.push(PushRequest(("x.safetensors",), select=True))
    with pytest.raises(UsageError, match="do not go together"):
        here.app.push(PushRequest(("x.safetensors",), select=True, notify=False))
    with pytest.raises(UsageError, match="do not go together"):
        here.app.push(PushRequest(("x.safetensors",), select=True, detach=True))


# secrets ----------------------------------------------------------------------------------------------


def everything_said(here: World, report: Report, webui: FakeWebUI) -> list[str]:
    """Return everything that this program printed, stored or sent to the WebUI."""
    sent = [text for seen in webui.requests for text in all_texts([seen.path, seen.query, seen.headers, seen.body])]
    said = [event.text for event in here.events if isinstance(event, Message)]
    written = [path.read_text("utf-8", "replace") for path in here.state.rglob("*") if path.is_file()]
    return [*sent, *said, *written, repr(report), json.dumps(documents.of_report(report))]


def test_notify_sends_no_ssh_secret_to_the_webui(here: World) -> None:
    password = here.app.session.environ["UPLOADER_PASSWORD"]
    with FakeA1111(here.root, auth="Bearer w-e-b") as webui:
        tell(again(here, environ={"UPLOADER_WEBUI_AUTH": "w-e-b"}), webui)
        report = again(here, environ={"UPLOADER_WEBUI_AUTH": "w-e-b"}).push(here.model())
        assert notice(report.outcomes[0]) == LISTED
        encoded = base64.b64encode(f"user:{password}".encode()).decode()
        for text in everything_said(here, report, webui):
            assert password not in text
            assert encoded not in text


@pytest.mark.parametrize("secret", ["me:geheim w0rt", "token-geheim", "X-Api-Key: geheim"])
def test_notify_webui_secret_is_not_printed_or_stored(here: World, secret: str) -> None:
    with FakeA1111(here.root) as other, FakeA1111(here.root) as webui:
        tell(again(here, environ={"UPLOADER_WEBUI_AUTH": secret}), webui)
        webui.fault, webui.elsewhere = "redirect", other.url
        report = again(here, environ={"UPLOADER_WEBUI_AUTH": secret}).push(here.model())
        assert report.ok
        assert other.requests == []
        sent, webui.requests = webui.requests, []
        assert sent
        for text in everything_said(here, report, webui):
            assert "geheim" not in text


def test_notify_secret_is_not_sent_unencrypted(here: World) -> None:
    with FakeA1111(here.root) as webui:
        tell(here, webui, webui_url="http://webui.invalid:7860")
        told = notice(again(here, environ={"UPLOADER_WEBUI_AUTH": "me:geheim"}).one(here.model()))
        assert "without https anyone on the way can read it" in str(told.remedy)
        assert "geheim" not in str(told.remedy)


def test_notify_chooses_basic_or_bearer_by_the_secret(here: World) -> None:
    basic = "Basic " + base64.b64encode(b"me:pass:word").decode()
    for secret, header in (("me:pass:word", basic), ("tok", "Bearer tok")):
        with FakeA1111(here.root, auth=header) as webui:
            person = again(here, environ={"UPLOADER_WEBUI_AUTH": secret})
            tell(person, webui)
            assert notice(person.one(here.model())) == LISTED


def test_facts_keep_only_folders_of_the_command_line(here: World) -> None:
    (here.root / "models/checkpoints").mkdir()
    for make, kind in ((FakeA1111, "a1111"), (FakeComfyUI, "comfyui"), (FakeSdNext, "sdnext")):
        with make(here.root) as webui:
            tell(here, webui, kind)
            report = here.push(here.model())
            facts = here.app.webui_facts(None)
            shown = [repr(facts), json.dumps(documents.of_webui(facts)), *everything_said(here, report, webui)]
            assert any(str(here.root) in text for text in shown[:2])
            assert not any(password in text for text in shown for password in PASSWORDS)


# through the SSH connection ---------------------------------------------------------------------------


@pytest.fixture
def tunnelled(tmp_path: Path) -> Iterator[tuple[OpenSSH, World]]:
    needs_sshd("full")
    with OpenSSH(tmp_path / "server", "full", extra=("AllowTcpForwarding yes", "LogLevel DEBUG1")) as server:
        yield server, world(tmp_path, server)


def test_tunnel_reaches_the_server_own_loopback(tunnelled: tuple[OpenSSH, World]) -> None:
    server, here = tunnelled
    with FakeA1111(here.root, auth="Bearer w-e-b") as webui:
        person = again(here, environ={"UPLOADER_WEBUI_AUTH": "w-e-b"})
        tell(person, webui, webui_url=None, webui_tunnel=webui.port)
        report = person.push(here.model(), here.model("l.safetensors", preset="lora"), select=True)
        assert [notice(outcome) for outcome in report.outcomes] == [LISTED, LISTED]
        assert {seen.headers["host"] for seen in webui.requests} == {f"127.0.0.1:{webui.port}"}
        assert server.wait_for_log("direct-tcpip")
        facts = person.app.webui_facts(None)
        assert facts.models[Kind.CHECKPOINT] == 1


@pytest.mark.parametrize("fault", ["hang", "drip", "cut", 500])
def test_tunnel_faulty_webui_fails_no_push(tunnelled: tuple[OpenSSH, World], fault: int | str) -> None:
    _, here = tunnelled
    with FakeA1111(here.root) as webui:
        tell(here, webui, webui_url=None, webui_tunnel=webui.port)
        webui.fault = fault
        began = time.monotonic()
        told = notice(again(here, webui_seconds=0.4).one(here.model()))
        assert time.monotonic() - began < 5
        assert (told.refreshed, told.listed) == (False, None)


def test_tunnel_to_a_closed_port_is_reported(tunnelled: tuple[OpenSSH, World]) -> None:
    _, here = tunnelled
    with FakeA1111(here.root) as webui:
        tell(here, webui, webui_url=None, webui_tunnel=webui.port)
    assert "nothing listens at port" in str(notice(here.one(here.model())).remedy)


def test_tunnel_without_forwarding_names_the_other_way(tmp_path: Path) -> None:
    with serve(tmp_path / "server", "full") as server:
        here = world(tmp_path, server)
        with FakeA1111(here.root) as webui:
            tell(here, webui, webui_url=None, webui_tunnel=webui.port)
            told = notice(here.one(here.model()))
            assert "does not let connections through" in str(told.remedy)
            assert "--webui-url" in str(told.remedy)


# the facts --------------------------------------------------------------------------------------------


def test_facts_include_the_faults_on_the_disk(here: World) -> None:
    for folder in ("embeddings", "models/VAE", "models/LyCORIS"):
        (here.root / folder).mkdir()
    checkpoints = here.root / "models/Stable-diffusion"
    lora = here.model("l.safetensors", preset="lora").read_bytes()
    embedding = here.model("e.safetensors", preset="embedding").read_bytes()
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        here.placed(here.model("good.safetensors"))
        (checkpoints / "late.safetensors").write_bytes(here.model("late.safetensors").read_bytes())
        (checkpoints / "misplaced.safetensors").write_bytes(lora)
        (checkpoints / "old.gguf").write_bytes(b"GGUF")
        (checkpoints / "readme.txt").write_text("hello")
        (checkpoints / "gone.safetensors.12345678.part").write_bytes(b"half")
        (here.root / "models/LyCORIS/unread.safetensors").write_bytes(lora)
        (here.root / "embeddings/cut.safetensors").write_bytes(embedding[:-100])
        facts = here.app.webui_facts("canvas")
    assert (facts.webuis, facts.fits, facts.checkpoint) == (("a1111", "reforge"), True, "first.safetensors")
    assert facts.models[Kind.CHECKPOINT] == 1
    assert facts.differences == ()
    reasons = {trouble.name: (trouble.listed, trouble.reason.partition(":")[0]) for trouble in facts.problems}
    assert reasons == {
        "late.safetensors": (False, "nothing is wrong with it as far as can be seen"),
        "misplaced.safetensors": (False, "wrong folder"),
        "unread.safetensors": (False, "wrong folder"),
        "old.gguf": (False, "wrong extension"),
        "gone.safetensors.12345678.part": (False, "truncated"),
        "cut.safetensors": (False, "truncated"),
    }


def test_facts_linked_folders_are_read_and_failed_lists_left(here: World) -> None:
    disk = here.root.parent / "disk"
    disk.mkdir()
    (here.root / "models/VAE").symlink_to(disk)
    (here.root / "models/VAE-gone").symlink_to(here.root / "nowhere")
    lora = here.model("l.safetensors", preset="lora").read_bytes()
    (disk / "no-vae.safetensors").write_bytes(lora)
    (here.root / "in-the-root.safetensors").write_bytes(lora)
    (here.root / "models/.hidden").mkdir()
    (here.root / "models/.hidden/x.safetensors").write_bytes(lora)
    with FakeA1111(here.root) as webui:
        tell(here, webui)
        plain = webui.get
        webui.get = lambda call: (500, {}) if call == "sd-models" else plain(call)  # type: ignore[method-assign]
        facts = here.app.webui_facts(None)
    assert Kind.CHECKPOINT not in facts.models
    assert facts.models[Kind.VAE] == 1
    assert {(trouble.path, trouble.listed, trouble.kind) for trouble in facts.problems} == {
        ("models/VAE/no-vae.safetensors", True, Kind.LORA),
        ("in-the-root.safetensors", False, Kind.LORA),
    }


def test_facts_without_address_or_webui_are_refused(here: World) -> None:
    with pytest.raises(UsageError, match="not known where"):
        here.app.webui_facts(None)
    with FakeA1111(here.root, auth="Bearer x") as webui:
        tell(here, webui)
        with pytest.raises(CredentialsRefused):
            here.app.webui_facts(None)
    with pytest.raises(NetworkError):
        here.app.webui_facts(None)
