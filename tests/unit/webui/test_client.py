"""The client of one WebUI: its sign-in goes nowhere else, its time is limited, its certificate is pinned."""

from __future__ import annotations

import base64
import socket
import threading
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


def test_client_sends_and_reads_json(webui: FakeComfyUI) -> None:
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


def test_client_several_requests_use_one_connection(webui: FakeComfyUI) -> None:
    lines: list[socket.socket] = []

    def dial(seconds: float) -> Channel:
        lines.append(socket.create_connection(("127.0.0.1", webui.port), seconds))
        return lines[-1]

    with WebUIClient("http://10.255.255.1:7860", dial=dial) as service:  # not reachable from here
        for _ in range(3):
            assert service.get("/models").ok
    assert len(lines) == 1
    assert lines[0].fileno() == -1
    assert webui.requests[0].headers["host"] == "10.255.255.1:7860"


def test_client_tells_null_from_no_json(webui: FakeComfyUI) -> None:
    with WebUIClient(webui.url) as service:
        webui.answer = lambda seen: (200, None)  # type: ignore[method-assign]
        assert (service.get("/x").json, service.get("/x").data) == (True, None)
        webui.answer = lambda seen: (204, None)  # type: ignore[method-assign]
        assert (service.get("/x").json, service.get("/x").ok) == (False, True)


def test_client_endless_answer_is_refused(webui: FakeComfyUI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("uploader.webui.client._MOST_BYTES", 1000)
    webui.answer = lambda seen: (200, "x" * 100_000)  # type: ignore[method-assign]
    with WebUIClient(webui.url) as service, pytest.raises(WebUIRefused, match="more than"):
        service.get("/x")


def test_client_follows_no_redirect(webui: FakeComfyUI) -> None:
    webui.fault = "redirect"
    with WebUIClient(webui.url) as service:
        assert service.get("/x").status == 302
    assert len(webui.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_client_refused_sign_in_says_if_there_was_one(webui: FakeComfyUI, status: int) -> None:
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


@pytest.mark.timing
def test_client_all_requests_share_one_time_limit(webui: FakeComfyUI) -> None:
    webui.fault = "hang"
    with WebUIClient(webui.url, seconds=0.3) as service:
        began = time.monotonic()
        assert isinstance(fault(service.get, "/x"), NetworkError)
        assert 0.2 < time.monotonic() - began < 3
        began = time.monotonic()
        for _ in range(20):
            assert isinstance(fault(service.get, "/x"), NetworkError)
        assert time.monotonic() - began < 0.3


def test_client_dripping_answer_ends_in_time(webui: FakeComfyUI) -> None:
    webui.fault = "drip"
    with WebUIClient(webui.url, seconds=0.3) as service:
        began = time.monotonic()
        assert isinstance(fault(service.get, "/x"), NetworkError)
        assert time.monotonic() - began < 3


def test_client_allow_gives_more_time(webui: FakeComfyUI) -> None:
    with WebUIClient(webui.url, seconds=0.0) as service:
        assert isinstance(fault(service.get, "/models"), NetworkError)
        service.allow(5.0)
        assert service.get("/models").ok


def test_client_silent_server_ends_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # listens, and never answers
        service = WebUIClient(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3)
        with service:
            assert "in time" in fault(service.get, "/x").message


def test_client_late_connection_sends_nothing(webui: FakeComfyUI) -> None:
    """As when a name is looked up for longer than the request may take."""
    released, closed = threading.Event(), threading.Event()

    class Late(socket.socket):
        def close(self) -> None:
            super().close()
            closed.set()

    def dial(seconds: float) -> Channel:
        released.wait(20)
        line = Late()
        line.connect(("127.0.0.1", webui.port))
        return line

    with WebUIClient("http://127.0.0.1:7860", dial=dial, seconds=0.2) as service:
        assert "in time" in fault(service.get, "/x").message
        released.set()
        assert closed.wait(20)
    assert webui.requests == []


def test_client_time_limit_is_ten_seconds_by_default() -> None:
    assert WEBUI_SECONDS == 10.0


def test_client_unreachable_server_is_named(webui: FakeComfyUI) -> None:
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
def test_sign_in_is_parsed_by_its_form(secret: str, header: str, value: str) -> None:
    parsed = SignIn.parse(Secret(secret))
    assert (parsed.header, parsed.value.reveal()) == (header, value)
    assert "pass" not in repr(parsed)
    assert "token" not in repr(parsed)


@pytest.mark.parametrize("secret", ["", "  ", "tok\nen", "töken", "to\x00ken"])
def test_sign_in_unfit_for_a_header_is_refused_unseen(secret: str) -> None:
    error = fault(SignIn.parse, Secret(secret))
    assert isinstance(error, UsageError)
    assert not secret.strip() or secret.strip() not in error.message


def test_client_sends_sign_in_with_each_request(webui: FakeComfyUI) -> None:
    webui.auth = "Bearer tok"
    with WebUIClient(webui.url, sign_in=SignIn.parse(Secret("tok"))) as service:
        assert service.get("/models").ok
        assert service.get("/models").ok


def test_client_sign_in_over_plain_http_is_refused(webui: FakeComfyUI) -> None:
    sign_in = SignIn.parse(Secret("tok"))
    error = fault(lambda: WebUIClient("http://webui.example.com", sign_in=sign_in))
    assert isinstance(error, UsageError)
    assert "--webui-tunnel" in str(error.remedy)
    WebUIClient("https://webui.example.com", sign_in=sign_in)
    WebUIClient("http://127.0.0.1:7860", sign_in=sign_in, dial=lambda seconds: socket.socket())


def test_client_trade_replaces_password_by_token(webui: FakeComfyUI) -> None:
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
def test_base_fault_bad_address_is_refused(base: str) -> None:
    assert base_fault(base)
    with pytest.raises(UsageError):
        WebUIClient(base)


@pytest.mark.parametrize("base", ["http://h", "https://h:7860/", "https://h/sub/path", "http://[::1]:80"])
def test_base_fault_good_address_is_accepted(base: str) -> None:
    assert base_fault(base) is None


# certificates -----------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[FakeWebUI]:
    with FakeComfyUI(tmp_path, tls=self_signed(tmp_path).context) as running:
        yield running


def test_client_untrusted_certificate_sends_nothing(secure: FakeWebUI) -> None:
    with WebUIClient(secure.url, sign_in=SignIn.parse(Secret("tok"))) as service:
        error = fault(service.get, "/models")
    assert isinstance(error, CertificateUnknown)
    assert "--webui-ca" in str(error.remedy)
    assert secure.requests == []


def test_client_trusts_the_given_certificate_alone(tmp_path: Path, secure: FakeWebUI) -> None:
    with WebUIClient(secure.url, trust=CertificatePin.parse(str(tmp_path / "box.pem"))) as service:
        assert service.get("/models").ok
    other = self_signed(tmp_path, "other")
    with WebUIClient(secure.url, trust=CertificatePin(ca=other.file)) as service:
        assert isinstance(fault(service.get, "/models"), CertificateUnknown)


def test_client_trusts_the_pinned_fingerprint_alone(tmp_path: Path, secure: FakeWebUI) -> None:
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


def test_pin_parse_accepts_every_spelling(tmp_path: Path) -> None:
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


def test_client_file_without_certificates_is_named(tmp_path: Path, secure: FakeWebUI) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name in ("empty.pem", "missing.pem"):
        with WebUIClient(secure.url, trust=CertificatePin.parse(str(tmp_path / name))) as service:
            error = fault(service.get, "/models")
        assert isinstance(error, ConfigurationError)
        assert name in error.message


def test_client_https_to_a_plain_server_is_named(webui: FakeComfyUI) -> None:
    with WebUIClient(f"https://127.0.0.1:{webui.port}") as service:
        assert "does not speak https" in fault(service.get, "/models").message


def test_client_hanging_handshake_ends_in_time() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        WebUIClient(f"https://127.0.0.1:{silent.getsockname()[1]}", seconds=0.3) as service,
    ):
        assert "in time" in fault(service.get, "/x").message
