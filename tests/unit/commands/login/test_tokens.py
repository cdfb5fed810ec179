"""Login and logout for a source: only that source gets the token, and then the token is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.world import App
from tests.servers.civitai import Civitai
from tests.servers.http_origin import Origin
from tests.unit.commands.login.test_run import Person, kept
from uploader.api import LoginRequest, TokenRequest
from uploader.artifact import Service
from uploader.errors import CredentialsMissing, CredentialsRefused, KeyringUnavailable, NetworkError, UsageError
from uploader.secret import Secret

__all__ = ["kept"]

Kept = dict[tuple[str, str], str]
GOOD = TokenRequest(Service.CIVITAI, Secret(f" {Civitai.token}\n"))


@pytest.fixture
def civitai() -> Iterator[Civitai]:
    with Civitai() as service:
        yield service


def app(tmp_path: Path, civitai: Civitai, person: Person | None = None, **environ: str) -> App:
    return App(environ={"CIVITAI_ENDPOINT": civitai.endpoint, **environ}, prompter=person, state=tmp_path)


def test_login_source_checks_the_token_and_keeps_it(tmp_path: Path, civitai: Civitai, kept: Kept) -> None:
    result = app(tmp_path, civitai).login_source(GOOD)
    assert (result.user, result.checked, result.overruled) == ("somebody", True, False)
    assert kept == {("uploader", "source:civitai"): Civitai.token}
    assert [seen.path for seen in civitai.seen] == ["/api/v1/me"]
    civitai.assert_no_token_strayed()


def test_login_source_asks_for_the_token_on_a_terminal(tmp_path: Path, civitai: Civitai, kept: Kept) -> None:
    person = Person(Civitai.token)
    app(tmp_path, civitai, person).login_source(TokenRequest(Service.CIVITAI))
    assert "not shown" in person.asked[0]
    assert kept
    for nobody in (None, Person("")):
        with pytest.raises(CredentialsMissing, match="no token"):
            app(tmp_path, civitai, nobody).login_source(TokenRequest(Service.CIVITAI))


def test_login_source_refused_token_is_not_kept(tmp_path: Path, civitai: Civitai, kept: Kept) -> None:
    with pytest.raises(CredentialsRefused) as caught:
        app(tmp_path, civitai).login_source(TokenRequest(Service.CIVITAI, Secret("outdated-1")))
    assert "outdated-1" not in f"{caught.value.message}{caught.value.remedy}"
    assert kept == {}


def test_login_source_without_check_keeps_the_token(tmp_path: Path, civitai: Civitai, kept: Kept) -> None:
    result = app(tmp_path, civitai, CIVITAI_TOKEN="x").login_source(
        TokenRequest(Service.CIVITAI, Secret("whatever"), check=False)
    )
    assert (result.user, result.checked, result.overruled) == (None, False, True)
    assert civitai.seen == []
    assert kept["uploader", "source:civitai"] == "whatever"


def test_login_source_without_keyring_names_the_variable(tmp_path: Path, civitai: Civitai) -> None:
    with pytest.raises(KeyringUnavailable) as caught:
        app(tmp_path, civitai).login_source(GOOD)
    assert "$CIVITAI_TOKEN" in (caught.value.remedy or "")


def test_login_hugging_face_names_the_user_of_the_token(tmp_path: Path, kept: Kept) -> None:
    with Origin() as origin:
        origin.serve("/api/whoami-v2", b'{"name": "somebody"}', content_type="application/json")
        hf = App(environ={"HF_ENDPOINT": origin.url("")}, prompter=None, state=tmp_path)
        assert hf.login_source(TokenRequest(Service.HUGGINGFACE, Secret("hf_x"))).user == "somebody"
        assert [request.headers["authorization"] for request in origin.requests] == ["Bearer hf_x"]
        origin.fail("/api/whoami-v2", 500)
        with pytest.raises(NetworkError):
            hf.login_source(TokenRequest(Service.HUGGINGFACE, Secret("hf_y")))
    assert kept == {("uploader", "source:huggingface"): "hf_x"}


def test_logout_forgets_a_token_once(tmp_path: Path, civitai: Civitai, kept: Kept) -> None:
    here = app(tmp_path, civitai, CIVITAI_TOKEN="x")
    here.login_source(GOOD)
    said = here.logout("civitai")
    assert "removed" in said[0]
    assert "$CIVITAI_TOKEN is still set" in said[1]
    assert kept == {}
    with pytest.raises(UsageError, match="holds no token"):
        here.logout("civitai")


def test_login_target_named_like_a_source_is_refused(tmp_path: Path, civitai: Civitai) -> None:
    with pytest.raises(UsageError, match="source of models"):
        app(tmp_path, civitai).login(LoginRequest("generic", name="civitai", host="h"))
