"""One service: its sign-in reaches nobody else, its time is counted, its certificate is the one that was meant."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.certificates import self_signed
from tests.servers.webuis import FakeComfyUI, FakeWebUI
from uploader.errors import (
    CertificateUnknown,
    ConfigurationError,
    CredentialsRefused,
    NetworkError,
    UploaderError,
    UsageError,
    WebUIRefused,
)
from uploader.http.address import base_fault
from uploader.http.tls import CertificatePin, fetch_fingerprint
from uploader.http.tunnel import Channel
from uploader.secret import Secret
from uploader.session.session import WEBUI_SECONDS
from uploader.webui.client import SignIn, WebUIClient


@pytest.fixture
def webui(tmp_path: Path) -> Iterator[FakeComfyUI]:
    with FakeComfyUI(tmp_path) as running:
        yield running


def fault(call: object, *arguments: object) -> UploaderError:
    with pytest.raises(UploaderError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


# asking -----------------------------------------------------------------------------------------------


def test_json_goes_out_and_comes_back(webui: FakeComfyUI) -> None:
    with WebUIClient(webui.url + "/") as service:
        reply = service.get("/models", {"a": "b c"})
        assert (reply.status, reply.ok, reply.json) == (200, True, True)
        assert isinstance(reply.data, list)
        assert service.post("/x", {"key": ["é"]}).status == 404
    first, second = webui.requests
    assert (first.method, first.query, first.body) == ("GET", {"a": ["b c"]}, None)
    assert (second.method, second.body) == ("POST", {"key": ["é"]})
    assert "origin" not in first.headers  # ComfyUI refuses requests that have one
    assert "cookie" not in first.headers


def test_one_line_serves_all_requests(webui: FakeComfyUI) -> None:
    lines: list[socket.socket] = []

    def dial(seconds: float) -> Channel:
        lines.append(socket.create_connection(("127.0.0.1", webui.port), seconds))
        return lines[-1]

    with WebUIClient("http://10.255.255.1:7860", dial=dial) as service:  # an address that nobody here could dial
        for _ in range(3):
            assert service.get("/models").ok
    assert len(lines) == 1
    assert lines[0].fileno() == -1
    assert webui.requests[0].headers["host"] == "10.255.255.1:7860"


def test_null_and_nothing_are_told_apart(webui: FakeComfyUI) -> None:
    with WebUIClient(webui.url) as service:
        webui.answer = lambda seen: (200, None)  # type: ignore[method-assign]
        assert (service.get("/x").json, service.get("/x").data) == (True, None)
        webui.answer = lambda seen: (204, None)  # type: ignore[method-assign]
        assert (service.get("/x").json, service.get("/x").ok) == (False, True)


def test_an_answer_without_end_is_given_up_on(webui: FakeComfyUI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uploader.webui.client._MOST_BYTES", 1000)
    webui.answer = lambda seen: (200, "x" * 100_000)  # type: ignore[method-assign]
    with WebUIClient(webui.url) as service, pytest.raises(WebUIRefused, match="more than"):
        service.get("/x")


def test_redirects_are_not_followed(webui: FakeComfyUI) -> None:
    webui.fault = "redirect"
    with WebUIClient(webui.url) as service:
        assert service.get("/x").status == 302
    assert len(webui.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_sign_in_says_whether_there_was_one(webui: FakeComfyUI, status: int) -> None:
    webui.fault = status
    with WebUIClient(webui.url) as service, pytest.raises(CredentialsRefused, match="asks for a sign-in"):
        service.get("/x")
    with (
        WebUIClient(webui.url, sign_in=SignIn.parse(Secret("geheim"))) as service,
        pytest.raises(CredentialsRefused, match="refuses our sign-in") as caught,
    ):
        service.get("/x")
    assert "geheim" not in f"{caught.value.message} {caught.value.remedy}"


# time -------------------------------------------------------------------------------------------------


def test_all_requests_together_take_no_longer_than_allowed(webui: FakeComfyUI) -> None:
    webui.fault = "hang"
    with WebUIClient(webui.url, seconds=0.3) as service:
        began = time.monotonic()
        assert isinstance(fault(service.get, "/x"), NetworkError)
        assert 0.2 < time.monotonic() - began < 3
        began = time.monotonic()
        for _ in range(20):
            assert isinstance(fault(service.get, "/x"), NetworkError)
        assert time.monotonic() - began < 0.3


def test_an_answer_that_drips_is_no_way_round_it(webui: FakeComfyUI) -> None:
    webui.fault = "drip"
    with WebUIClient(webui.url, seconds=0.3) as service:
        began = time.monotonic()
        assert isinstance(fault(service.get, "/x"), NetworkError)
        assert time.monotonic() - began < 3


def test_more_time_can_be_allowed_for_what_takes_long(webui: FakeComfyUI) -> None:
    with WebUIClient(webui.url, seconds=0.0) as service:
        assert isinstance(fault(service.get, "/models"), NetworkError)
        service.allow(5.0)
        assert service.get("/models").ok


def test_a_line_that_takes_no_bytes_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # listens, and never answers
        service = WebUIClient(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3)
        with service:
            assert "in time" in fault(service.get, "/x").message


def test_the_allowance_is_ten_seconds_unless_told_otherwise() -> None:
    assert WEBUI_SECONDS == 10.0


def test_who_is_not_there_is_named(webui: FakeComfyUI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with WebUIClient(f"http://127.0.0.1:{port}") as service:
        assert "cannot be reached" in fault(service.get, "/x").message
    with WebUIClient("http://nobody.invalid") as service:
        assert "no machine is known" in fault(service.get, "/x").message
    webui.fault = "cut"
    with WebUIClient(webui.url) as service:
        assert "cut the connection" in fault(service.get, "/x").message


# signing in -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "header", "value"),
    [
        ("me:pass", "Authorization", "Basic " + base64.b64encode(b"me:pass").decode()),
        ("me:pass:word é", "Authorization", "Basic " + base64.b64encode("me:pass:word é".encode()).decode()),
        ("  token\n", "Authorization", "Bearer token"),
        ("X-Api-Key: abc def", "X-Api-Key", "abc def"),
        ("Cookie: swarm_token=1", "Cookie", "swarm_token=1"),
    ],
)
def test_a_sign_in_is_what_it_looks_like(secret: str, header: str, value: str) -> None:
    parsed = SignIn.parse(Secret(secret))
    assert (parsed.header, parsed.value.reveal()) == (header, value)
    assert "pass" not in repr(parsed)
    assert "token" not in repr(parsed)


@pytest.mark.parametrize("secret", ["", "  ", "tok\nen", "töken", "to\x00ken"])
def test_what_no_header_can_carry_is_refused_without_being_shown(secret: str) -> None:
    error = fault(SignIn.parse, Secret(secret))
    assert isinstance(error, UsageError)
    assert not secret.strip() or secret.strip() not in error.message


def test_the_sign_in_is_sent_with_each_request(webui: FakeComfyUI) -> None:
    webui.auth = "Bearer tok"
    with WebUIClient(webui.url, sign_in=SignIn.parse(Secret("tok"))) as service:
        assert service.get("/models").ok
        assert service.get("/models").ok


def test_it_goes_over_no_network_in_the_clear(webui: FakeComfyUI) -> None:
    sign_in = SignIn.parse(Secret("tok"))
    error = fault(lambda: WebUIClient("http://webui.example.com", sign_in=sign_in))
    assert isinstance(error, UsageError)
    assert "--webui-tunnel" in str(error.remedy)
    WebUIClient("https://webui.example.com", sign_in=sign_in)
    WebUIClient("http://127.0.0.1:7860", sign_in=sign_in, dial=lambda seconds: socket.socket())


def test_user_and_password_are_traded_for_a_token_where_asked(webui: FakeComfyUI) -> None:
    with WebUIClient(webui.url, sign_in=SignIn.parse(Secret("me:geheim"))) as service:
        webui.answer = lambda seen: (200, {"token": "tok"})  # type: ignore[method-assign]
        service.trade("/login", "email", "password", "token")
        assert webui.requests[-1].body == {"email": "me", "password": "geheim"}
        service.get("/x")
        assert webui.requests[-1].headers["authorization"] == "Bearer tok"
    webui.requests.clear()
    with WebUIClient(webui.url, sign_in=SignIn.parse(Secret("token"))) as service:
        service.trade("/login", "email", "password", "token")
    assert webui.requests == []


@pytest.mark.parametrize(
    "base",
    [
        *("", "webui", "ftp://h", "http://", "http://me:pass@h", "http://h/?token=1", "http://h#x", "http://[::1"),
        *("http://h h", "http://h:99999", "http://hé"),
    ],
)
def test_what_is_no_address_is_refused(base: str) -> None:
    assert base_fault(base)
    with pytest.raises(UsageError):
        WebUIClient(base)


@pytest.mark.parametrize("base", ["http://h", "https://h:7860/", "https://h/sub/path", "http://[::1]:80"])
def test_what_is_one_is_taken(base: str) -> None:
    assert base_fault(base) is None


# certificates -----------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[FakeWebUI]:
    with FakeComfyUI(tmp_path, tls=self_signed(tmp_path).context) as running:
        yield running


def test_a_certificate_that_nobody_vouches_for_is_refused_before_anything_is_sent(secure: FakeWebUI) -> None:
    with WebUIClient(secure.url, sign_in=SignIn.parse(Secret("tok"))) as service:
        error = fault(service.get, "/models")
    assert isinstance(error, CertificateUnknown)
    assert "--webui-ca" in str(error.remedy)
    assert secure.requests == []


def test_a_given_certificate_is_trusted_and_another_one_is_not(tmp_path: Path, secure: FakeWebUI) -> None:
    with WebUIClient(secure.url, trust=CertificatePin.parse(str(tmp_path / "box.pem"))) as service:
        assert service.get("/models").ok
    other = self_signed(tmp_path, "other")
    with WebUIClient(secure.url, trust=CertificatePin(ca=other.file)) as service:
        assert isinstance(fault(service.get, "/models"), CertificateUnknown)


def test_a_pinned_fingerprint_is_trusted_and_another_one_is_not(tmp_path: Path, secure: FakeWebUI) -> None:
    pinned = fetch_fingerprint(secure.url, 5.0)
    assert secure.requests == []
    with WebUIClient(secure.url, trust=CertificatePin.parse(pinned)) as service:
        assert service.get("/models").ok
    other = self_signed(tmp_path, "other").fingerprint
    with WebUIClient(
        secure.url, trust=CertificatePin.parse(f"SHA256:{other}"), sign_in=SignIn.parse(Secret("tok"))
    ) as service:
        secure.requests.clear()
        error = fault(service.get, "/models")
    assert isinstance(error, CertificateUnknown)
    assert pinned in error.message
    assert secure.requests == []


def test_a_fingerprint_is_read_in_the_ways_it_is_written(tmp_path: Path) -> None:
    made = self_signed(tmp_path).fingerprint
    colons = ":".join(made[at : at + 2].upper() for at in range(0, 64, 2))
    assert (
        CertificatePin.parse(f"SHA256:{colons}")
        == CertificatePin.parse(f"sha256:{made}")
        == CertificatePin(fingerprint=made)
    )
    assert CertificatePin.parse(None) == CertificatePin()
    with pytest.raises(UsageError, match="no certificate's fingerprint"):
        CertificatePin.parse("SHA256:abc")


def test_a_file_without_certificates_is_named(tmp_path: Path, secure: FakeWebUI) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with WebUIClient(secure.url, trust=CertificatePin.parse(str(tmp_path / name))) as service:
            error = fault(service.get, "/models")
        assert isinstance(error, ConfigurationError)
        assert name in error.message


def test_plain_http_where_https_was_said_is_named(webui: FakeComfyUI) -> None:
    with WebUIClient(f"https://127.0.0.1:{webui.port}") as service:
        assert "does not speak https" in fault(service.get, "/models").message


def test_a_handshake_that_hangs_ends_in_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        WebUIClient(f"https://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3) as service,
    ):
        assert "in time" in fault(service.get, "/x").message
