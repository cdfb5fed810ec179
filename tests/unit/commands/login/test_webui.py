"""Login checks the WebUI: its sign-in, its certificate, its folders. An error there never stops a login."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.world import App
from tests.servers.certificates import self_signed
from tests.servers.openssh import OpenSSH, needs_sshd
from tests.servers.webuis import FakeA1111, FakeComfyUI
from tests.unit.commands.login.test_run import Person, kept
from uploader.api import LoginRequest, LoginResult
from uploader.artifact import Kind
from uploader.commands.login.request import WebUISeen
from uploader.errors import CertificateUnknown, CredentialsRefused, NetworkError, UsageError
from uploader.events import silence

__all__ = ["kept"]


class Doubtful(Person):
    """A user who says no to every confirmation."""

    def confirm(self, text: str) -> bool:
        self.asked.append(text)
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSSH]:
    needs_sshd()
    with OpenSSH(tmp_path_factory.mktemp("sshd") / "server") as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("models/Stable-diffusion", "models/Lora", "embeddings"):
        (tmp_path / "sd" / folder).mkdir(parents=True)
    return tmp_path / "sd"


def app(tmp_path: Path, person: Person | None = None, **environ: str) -> App:
    return App(
        environ=environ, prompter=person, observer=silence, state=tmp_path / "state", ssh_folder=tmp_path / "ssh"
    )


def login(app: App, server: OpenSSH, root: Path, **facts: Any) -> LoginResult:
    place = {"host": server.host, "port": server.port, "user": server.user, "host_key": server.fingerprint}
    key = str(server.identity_file)
    given = {"name": "box", "webui": "a1111", "root": str(root), "identity_file": key, **place, **facts}
    result: LoginResult = app.login(LoginRequest("generic", **given))
    return result


def seen(result: LoginResult) -> WebUISeen:
    assert result.webui is not None
    return result.webui


# the sign-in ------------------------------------------------------------------------------------------


def test_login_keeps_the_sign_in_for_its_address_only(
    tmp_path: Path, server: OpenSSH, root: Path, kept: dict[tuple[str, str], str]
) -> None:
    person = Person("wrong", "tok")
    with FakeA1111(root, auth="Bearer tok") as webui, FakeA1111(root) as other:
        result = login(app(tmp_path, person), server, root, webui_url=webui.url)
        assert result.secrets == ("the WebUI's sign-in",)
        assert seen(result).facts is not None
        assert len(person.asked) == 2
        assert list(kept) == [("uploader", "target:box:webui")]
        assert "tok" not in (tmp_path / "state" / "targets.toml").read_text()
        # Another run finds the sign-in; another address does not get it.
        again = app(tmp_path)
        assert again.webui_facts(None).webuis == ("a1111", "reforge")
        login(again, server, root, webui_url=other.url)
        assert all("authorization" not in request.headers for request in other.requests)
        assert "The WebUI's sign-in of box was removed from the keyring." in again.logout("box")
        assert kept == {}


def test_login_sign_in_of_environment_is_not_kept(
    tmp_path: Path, server: OpenSSH, root: Path, kept: dict[tuple[str, str], str]
) -> None:
    with FakeA1111(root, auth="Bearer tok") as webui:
        result = login(app(tmp_path, UPLOADER_WEBUI_AUTH="tok"), server, root, webui_url=webui.url)
    assert seen(result).fault is None
    assert kept == {}


@pytest.mark.parametrize("person", [None, Person("")])
def test_login_without_sign_in_saves_and_reports(
    tmp_path: Path, server: OpenSSH, root: Path, person: Person | None
) -> None:
    with FakeA1111(root, auth="Bearer tok") as webui:
        result = login(app(tmp_path, person), server, root, webui_url=webui.url)
        assert isinstance(seen(result).fault, CredentialsRefused)
        assert app(tmp_path).targets()[0].webui_url == webui.url


def test_login_succeeds_while_the_webui_is_off(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    with FakeA1111(root) as webui:
        url = webui.url
    result = login(app(tmp_path), server, root, webui_url=url)
    assert isinstance(seen(result).fault, NetworkError)
    assert app(tmp_path).targets() == [result.target]


# the certificate --------------------------------------------------------------------------------------


def test_login_pins_a_confirmed_certificate(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    certificate = self_signed(tmp_path)
    with FakeA1111(root, tls=certificate.context) as webui:
        result = login(app(tmp_path, Person()), server, root, webui_url=webui.url)
        assert seen(result).fault is None
        assert result.target.webui_ca == f"SHA256:{certificate.fingerprint}"
        assert app(tmp_path).webui_facts("box").fits


def test_login_does_not_pin_without_a_yes(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    with FakeA1111(root, tls=self_signed(tmp_path).context) as webui:
        for person in (None, Doubtful()):
            result = login(app(tmp_path, person), server, root, webui_url=webui.url)
            assert isinstance(seen(result).fault, CertificateUnknown)
            assert result.target.webui_ca is None
        assert webui.requests == []


def test_login_saves_the_absolute_path_of_a_certificate(
    tmp_path: Path, server: OpenSSH, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    monkeypatch.chdir(tmp_path)
    with FakeA1111(root, tls=certificate.context) as webui:
        result = login(app(tmp_path), server, root, webui_url=webui.url, webui_ca=certificate.file.name)
    assert seen(result).fault is None
    assert result.target.webui_ca == str(certificate.file)


# folders ----------------------------------------------------------------------------------------------


def test_login_offers_the_root_that_the_webui_reads(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    stale = tmp_path / "old"
    (stale / "models/Lora").mkdir(parents=True)
    with FakeA1111(root) as webui:
        refused = login(app(tmp_path, Doubtful()), server, stale, webui_url=webui.url)
        assert refused.target.root == str(stale)
        facts = seen(refused).facts
        assert facts is not None
        assert {Kind.CHECKPOINT, Kind.LORA, Kind.EMBEDDING} <= {one.kind for one in facts.differences}
        result = login(app(tmp_path, Person()), server, stale, webui_url=webui.url)
    assert result.target.root == str(root)
    assert result.target.folders == {}


def test_login_offers_single_folders_below_the_root(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    (root / "disk/lora").mkdir(parents=True)
    with FakeA1111(root) as webui:
        webui.flags["lora_dir"] = f"{root}/disk/lora"
        result = login(app(tmp_path, Person()), server, root, webui_url=webui.url)
        assert result.target.folders == {Kind.LORA: "disk/lora"}
        saved = app(tmp_path)
        assert saved.targets() == [result.target]
        assert saved.webui_facts(None).differences == ()
        # The folders stay at the next login, but not for another WebUI.
        assert login(saved, server, root).target.folders == {Kind.LORA: "disk/lora"}
        assert login(saved, server, root, webui="forge").target.folders == {}


def test_login_without_prompter_changes_nothing_and_reports(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    (root / "disk").mkdir()
    with FakeA1111(root) as webui:
        webui.flags["lora_dir"] = f"{root}/disk"
        result = login(app(tmp_path), server, root, webui_url=webui.url)
    facts = seen(result).facts
    assert facts is not None
    assert [(one.kind, one.theirs, one.there) for one in facts.differences] == [
        (Kind.LORA, (f"{root}/disk",), (f"{root}/disk",))
    ]
    assert result.target.folders == {}


def test_login_folder_with_two_names_is_no_difference(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with FakeA1111(root) as webui:
        facts = seen(login(app(tmp_path), server, tmp_path / "link", webui_url=webui.url)).facts
    assert facts is not None
    assert {one.kind for one in facts.differences} <= {Kind.VAE}  # it exists by neither name


def test_login_reports_another_webui(tmp_path: Path, server: OpenSSH, root: Path) -> None:
    with FakeComfyUI(root) as webui:
        facts = seen(login(app(tmp_path), server, root, webui_url=webui.url)).facts
    assert facts is not None
    assert (facts.webuis, facts.fits) == (("comfyui",), False)


# the flags --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"webui_url": "https://h", "webui_tunnel": 7860}, "do not go together"),
        ({"webui_url": "http://h", "webui_ca": "x.pem"}, "https://"),
        ({"webui_tunnel": 7860, "webui_ca": "x.pem"}, "https://"),
        ({"webui_url": "https://h", "webui_ca": "SHA256:12"}, "fingerprint"),
        ({"webui_url": "https://me:geheim@h"}, "leave that out"),
        ({"webui_url": "webui"}, "https://"),
    ],
)
def test_login_bad_flags_are_refused_before_connecting(tmp_path: Path, facts: dict[str, Any], fault: str) -> None:
    with pytest.raises(UsageError, match=fault) as caught:
        app(tmp_path).login(LoginRequest("generic", name="box", host="h", root="sd", webui="a1111", **facts))
    assert "geheim" not in f"{caught.value.message}{caught.value.remedy}"


def test_login_webui_address_is_kept_replaced_and_removed(tmp_path: Path) -> None:
    here = app(tmp_path)

    def saved(**facts: Any) -> tuple[object, object, object]:
        given = LoginRequest("generic", name="box", host="h", root="sd", webui="a1111", check=False, **facts)
        target = here.login(given).target
        return target.webui_url, target.webui_tunnel, target.webui_ca

    pin = f"SHA256:{'ab' * 32}"
    assert saved(webui_url="https://h", webui_ca=pin) == ("https://h", None, pin)
    assert saved() == ("https://h", None, pin)
    assert saved(webui_url="https://other") == ("https://other", None, None)
    assert saved(webui_tunnel=7860) == (None, 7860, None)
    assert saved(webui_url="") == (None, None, None)
