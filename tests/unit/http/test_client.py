from __future__ import annotations

import datetime
import email.utils
import ipaddress
import logging
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.http_origin import Origin
from uploader import __version__
from uploader.errors import (
    CredentialsRefused,
    NetworkError,
    NoRanges,
    RateLimited,
    SourceChanged,
    SourceMissing,
    SourceRefused,
    UploaderError,
    UsageError,
)
from uploader.http import HEAD_BYTES, Http, is_loopback, shown
from uploader.http.errors import named_faults

CONTENT = bytes(range(256)) * 2000
MODIFIED = "Tue, 15 Nov 2022 12:45:26 GMT"


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin() as server:
        yield server


@pytest.fixture
def http() -> Iterator[Http]:
    with Http() as client:
        yield client


def read(http: Http, url: str, **how: object) -> bytes:
    return b"".join(http.stream(url, **how))  # type: ignore[arg-type]


# one range of many ------------------------------------------------------------------------------------


def range_of(http: Http, url: str, offset: int) -> bytes:
    return read(http, url, offset=offset, length=1000, validator='"v1"', size=len(CONTENT), strict=True)


def paths(origin: Origin) -> list[str]:
    return [request.path.partition("?")[0] for request in origin.requests]


def test_many_ranges_ask_the_service_that_leads_to_them_once(origin: Origin, http: Http) -> None:
    origin.redirect("/link", origin.url("/m?signed=1", "localhost"))
    origin.serve("/m", CONTENT, etag='"v1"')
    for offset in (0, 5000, 10_000):
        assert range_of(http, origin.url("/link"), offset) == CONTENT[offset : offset + 1000]
    assert paths(origin) == ["/link", "/m", "/m", "/m"]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_stream_expired_address_is_asked_for_again(origin: Origin, http: Http, status: int) -> None:
    origin.redirect("/link", origin.url("/old?signed=1", "localhost"))
    old = origin.serve("/old", CONTENT, etag='"v1"')
    origin.serve("/new", CONTENT, etag='"v1"')
    range_of(http, origin.url("/link"), 0)
    origin.redirect("/link", origin.url("/new?signed=2", "localhost"))
    old.failures = [status]
    assert range_of(http, origin.url("/link"), 5000) == CONTENT[5000:6000]
    assert range_of(http, origin.url("/link"), 6000) == CONTENT[6000:7000]
    assert paths(origin) == ["/link", "/old", "/old", "/link", "/new", "/new"]


def test_a_host_in_trouble_is_not_gone_to_again_unasked(origin: Origin, http: Http) -> None:
    origin.redirect("/link", origin.url("/m", "localhost"))
    resource = origin.serve("/m", CONTENT, etag='"v1"')
    range_of(http, origin.url("/link"), 0)
    resource.failures = [500]
    with pytest.raises(NetworkError):
        range_of(http, origin.url("/link"), 0)
    range_of(http, origin.url("/link"), 0)
    assert paths(origin) == ["/link", "/m", "/m", "/link", "/m"]


def test_a_redirect_within_a_host_is_followed_each_time(origin: Origin, http: Http) -> None:
    origin.redirect("/link", "/m")
    origin.serve("/m", CONTENT, etag='"v1"')
    range_of(http, origin.url("/link"), 0)
    range_of(http, origin.url("/link"), 0)
    assert paths(origin) == ["/link", "/m"] * 2


def test_one_range_of_many_that_comes_as_the_whole_says_so(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, etag='"v1"', ranges=False)
    assert range_of(http, origin.url("/m"), 0) == CONTENT[:1000]
    with pytest.raises(NoRanges):
        range_of(http, origin.url("/m"), 5000)


# probe ------------------------------------------------------------------------------------------------


def test_a_probe_tells_size_validator_ranges_and_the_first_bytes(origin: Origin, http: Http) -> None:
    origin.serve(
        "/m", CONTENT, etag='"v1"', last_modified=MODIFIED, disposition='attachment; filename="a b.safetensors"'
    )
    answer = http.probe(origin.url("/m"))
    assert (answer.size, answer.validator, answer.ranges, answer.status) == (len(CONTENT), '"v1"', True, 206)
    assert answer.head == CONTENT[:HEAD_BYTES]
    assert answer.filename == "a b.safetensors"


def test_a_probe_is_one_get_with_a_small_range_and_says_who_asks(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT)
    http.probe(origin.url("/m"))
    (request,) = origin.requests
    assert (request.method, request.range) == ("GET", f"bytes=0-{HEAD_BYTES - 1}")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"].startswith(f"webui-uploader/{__version__} (+https://")


def test_probe_server_without_ranges_is_not_read_to_its_end(origin: Origin, http: Http) -> None:
    gate = threading.Event()
    origin.serve("/m", CONTENT, ranges=False, gate=gate, gate_at=HEAD_BYTES * 2)
    answer = http.probe(origin.url("/m"))
    assert (answer.size, answer.ranges, answer.head) == (len(CONTENT), False, CONTENT[:HEAD_BYTES])


@pytest.mark.parametrize("length", ["chunked", "close"])
def test_a_server_that_does_not_tell_the_size_leaves_it_open(origin: Origin, http: Http, length: str) -> None:
    origin.serve("/m", CONTENT, ranges=False, length=length)
    assert http.probe(origin.url("/m")).size is None


def test_probe_weak_etag_gives_the_date_as_validator(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, etag='W/"v1"', last_modified=MODIFIED)
    assert http.probe(origin.url("/m")).validator == MODIFIED


def test_the_date_of_this_very_moment_tells_no_file_from_another(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, last_modified=email.utils.formatdate(time.time() + 60, usegmt=True))
    assert http.probe(origin.url("/m")).validator is None


@pytest.mark.parametrize("date", ["yesterday", "Tue, 15 Nov 2022 12:45:26 -0000"])
def test_a_date_that_is_none_is_compared_as_it_is(origin: Origin, http: Http, date: str) -> None:
    origin.serve("/m", CONTENT, last_modified=date)
    assert http.probe(origin.url("/m")).validator == date


def test_an_empty_file_has_size_zero(origin: Origin, http: Http) -> None:
    origin.serve("/m", b"")
    assert http.probe(origin.url("/m")).size == 0


def test_probe_wrong_range_counts_as_no_ranges(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, range_shift=7)
    answer = http.probe(origin.url("/m"))
    assert answer.ranges is False
    assert answer.head == CONTENT[:HEAD_BYTES]
    assert answer.size == len(CONTENT)


def test_a_compressed_answer_is_refused(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, headers={"Content-Encoding": "gzip"})
    with pytest.raises(SourceRefused, match="compressed"):
        http.probe(origin.url("/m"))


# stream -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0, 1, 1000, len(CONTENT) - 1, len(CONTENT)])
@pytest.mark.parametrize("ranges", [True, False])
def test_reading_may_begin_anywhere(origin: Origin, http: Http, offset: int, ranges: bool) -> None:
    origin.serve("/m", CONTENT, ranges=ranges)
    got = read(http, origin.url("/m"), offset=offset, size=len(CONTENT), ranges=ranges)
    assert got == CONTENT[offset:]


@pytest.mark.parametrize(("offset", "length"), [(0, 10), (500, 70_000), (len(CONTENT) - 5, 100), (0, 0)])
@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_part_may_be_read(
    origin: Origin, http: Http, offset: int, length: int, ranges: bool, size: int | None
) -> None:
    origin.serve("/m", CONTENT, ranges=ranges)
    got = read(http, origin.url("/m"), offset=offset, length=length, size=size, ranges=ranges)
    assert got == CONTENT[offset : offset + length]


def test_a_cut_download_goes_on_where_it_stopped(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, etag='"v1"', cuts=[100_000])
    got = bytearray()

    def go_on() -> None:
        for chunk in http.stream(origin.url("/m"), offset=len(got), validator='"v1"', size=len(CONTENT)):
            got.extend(chunk)

    with pytest.raises(NetworkError) as caught:
        go_on()
    assert caught.value.retryable
    assert bytes(got) == CONTENT[: len(got)]
    assert got
    begun = len(got)
    go_on()
    assert bytes(got) == CONTENT
    assert origin.requests[-1].range == f"bytes={begun}-"
    assert origin.requests[-1].headers["if-range"] == '"v1"'


@pytest.mark.parametrize("length", ["length", "chunked", "close"])
def test_stream_short_body_is_a_cut_in_every_framing(origin: Origin, http: Http, length: str) -> None:
    origin.serve("/m", CONTENT, cuts=[5000], length=length)
    with pytest.raises(NetworkError):
        read(http, origin.url("/m"), size=len(CONTENT))


def test_a_body_that_ends_before_the_place_to_go_on_is_a_cut(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT[:50], length="close", ranges=False)
    with pytest.raises(NetworkError, match="early"):
        read(http, origin.url("/m"), offset=100, ranges=False)


def test_another_file_in_the_meantime_is_noticed(origin: Origin, http: Http) -> None:
    model = origin.serve("/m", CONTENT, etag='"v1"')
    model.content, model.etag = CONTENT[::-1], '"v2"'
    for offset in (0, 1000):
        with pytest.raises(SourceChanged):
            read(http, origin.url("/m"), offset=offset, validator='"v1"', size=len(CONTENT))


def test_stream_other_size_without_validator_is_changed(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT + b"more")
    for offset in (0, 1000):
        with pytest.raises(SourceChanged):
            read(http, origin.url("/m"), offset=offset, size=len(CONTENT))


def test_stream_file_shorter_than_offset_is_changed(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT[:100])
    with pytest.raises(SourceChanged):
        read(http, origin.url("/m"), offset=5000)


def test_stream_200_of_same_file_is_read_from_start(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, etag='"v1"', ranges=False)
    assert read(http, origin.url("/m"), offset=777, validator='"v1"', size=len(CONTENT)) == CONTENT[777:]


def test_stream_200_of_unnamed_file_is_changed(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, ranges=False)
    with pytest.raises(SourceChanged):
        read(http, origin.url("/m"), offset=777, validator='"v1"', size=len(CONTENT))


def test_a_range_that_begins_elsewhere_is_never_used(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT, range_shift=3)
    with pytest.raises(NetworkError, match="another part"):
        read(http, origin.url("/m"), offset=100, size=len(CONTENT))


def test_stream_at_end_of_unknown_size_yields_nothing(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT)
    assert read(http, origin.url("/m"), offset=len(CONTENT)) == b""


def test_a_silent_server_is_given_up_on(origin: Origin) -> None:
    gate = threading.Event()
    origin.serve("/m", CONTENT, gate=gate, gate_at=100)
    with Http(read_timeout=0.2) as http, pytest.raises(NetworkError, match="in time"):
        read(http, origin.url("/m"), size=len(CONTENT))


def test_closing_the_client_wakes_a_reader_that_waits(origin: Origin) -> None:
    gate = threading.Event()
    model = origin.serve("/m", CONTENT, gate=gate, gate_at=100)
    http = Http()
    caught: list[BaseException] = []

    def reader() -> None:
        try:
            read(http, origin.url("/m"), size=len(CONTENT))
        except UploaderError as error:
            caught.append(error)

    thread = threading.Thread(target=reader)
    thread.start()
    assert model.reached.wait(10)
    http.close()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(caught[0], NetworkError)


def test_a_closed_client_says_so(origin: Origin, http: Http) -> None:
    http.close()
    with pytest.raises(NetworkError, match="closed"):
        http.probe(origin.url("/m"))


# redirects and addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_the_range(origin: Origin, http: Http, status: int) -> None:
    origin.serve("/real/model.safetensors", CONTENT)
    origin.redirect("/m", "/real/model.safetensors?signature=abc", status)
    answer = http.probe(origin.url("/m"))
    assert answer.final_url.endswith("/real/model.safetensors?signature=abc")
    assert answer.ranges
    assert read(http, origin.url("/m"), offset=9, size=len(CONTENT)) == CONTENT[9:]


def test_redirects_that_do_not_end_are_refused(origin: Origin, http: Http) -> None:
    origin.redirect("/m", "/m")
    with pytest.raises(SourceRefused, match="redirects"):
        http.probe(origin.url("/m"))
    assert len(origin.requests) == 9


@pytest.mark.parametrize(
    "to", ["ftp://127.0.0.1/x", "https://[::1", "https://h:99999/", "file:///etc/passwd", "https:///x"]
)
def test_a_redirect_to_no_web_address_is_refused(origin: Origin, http: Http, to: str) -> None:
    origin.redirect("/m", to)
    with pytest.raises(SourceRefused):
        http.probe(origin.url("/m"))


def test_a_redirect_without_an_address_is_refused(origin: Origin, http: Http) -> None:
    origin.fail("/m", 302)
    with pytest.raises(SourceRefused, match="nowhere"):
        http.probe(origin.url("/m"))


def test_plain_http_is_refused_and_its_query_not_shown(http: Http) -> None:
    with pytest.raises(UsageError) as caught:
        http.probe("http://models.invalid/a.safetensors?token=secret")
    assert "secret" not in caught.value.message
    assert "--allow-http" in str(caught.value.remedy)


def test_redirect_to_plain_http_is_refused_always(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certificate(tmp_path, monkeypatch)
    with Origin(context) as origin, Http(allow_http=True) as http:
        origin.redirect("/m", "http://models.invalid/m")
        with pytest.raises(SourceRefused, match="plain http"):
            http.probe(origin.url("/m"))


def test_a_trusted_https_server_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certificate(tmp_path, monkeypatch)
    with Origin(context) as origin, Http() as http:
        origin.serve("/m", CONTENT)
        assert read(http, origin.url("/m"), size=len(CONTENT)) == CONTENT


def test_client_untrusted_certificate_is_not_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = certificate(tmp_path, monkeypatch)
    monkeypatch.delenv("SSL_CERT_FILE")
    with Origin(context) as origin, Http() as http:
        with pytest.raises(SourceRefused, match="certificate") as caught:
            http.probe(origin.url("/m"))
        assert not caught.value.retryable


def test_a_host_that_refuses_connections_is_a_network_error(http: Http) -> None:
    with Origin() as origin:
        url = origin.url("/m")
    with pytest.raises(NetworkError, match="refuses connections"):
        http.probe(url)


def test_a_host_name_that_cannot_be_one_ends_in_a_plain_error(http: Http) -> None:
    with pytest.raises(SourceRefused):
        http.probe(f"https://{'a' * 70}.invalid/m")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]"])
def test_names_of_this_machine_are_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "example.org", "127.0.0.1.example.org", "localhost.example.org", "10.0.0.1"])
def test_other_names_are_not(host: str) -> None:
    assert not is_loopback(host)


def test_an_address_is_shown_without_its_query_or_password() -> None:
    assert shown("https://u:p@host:8443/a/b.safetensors?sig=1#x") == "https://host:8443/a/b.safetensors?…"
    assert shown("https://host/a") == "https://host/a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://[bad?token=SECRET", "https://…"),
        ("x://[", "x://…"),
        ("https://h:99999/x?token=SECRET", "https://h…"),
        ("https://me:SEC/RET@h/x", "https://me…"),
        ("https:///SECRET@h/x", "https://…"),
        ("://SECRET", "…"),
        ("a b://u:SECRET@h", "…"),
        ("sftp://u:SECRET@h/x#SECRET", "sftp://h/x"),
    ],
)
def test_shown_text_without_address_hides_secrets(text: str, expected: str) -> None:
    assert shown(text) == expected


@given(st.text())
def test_anything_can_be_shown(text: str) -> None:
    shown(text)


def test_addresses_are_not_logged(origin: Origin, http: Http, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    origin.serve("/m", CONTENT)
    http.probe(origin.url("/m?token=secret"))
    assert "secret" not in caplog.text


def test_an_answer_prints_no_address(origin: Origin, http: Http) -> None:
    origin.serve("/m", CONTENT)
    assert "secret" not in repr(http.probe(origin.url("/m?token=secret")))


# faults -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "exit_code"),
    [
        (400, SourceRefused, 4),
        (401, CredentialsRefused, 3),
        (403, CredentialsRefused, 3),
        (404, SourceMissing, 4),
        (408, NetworkError, 5),
        (410, SourceMissing, 4),
        (418, SourceRefused, 4),
        (429, RateLimited, 5),
        (451, SourceRefused, 4),
        (500, NetworkError, 5),
        (503, NetworkError, 5),
    ],
)
def test_each_refusal_has_its_name_and_no_query_in_it(
    origin: Origin, http: Http, status: int, error: type[UploaderError], exit_code: int
) -> None:
    origin.fail("/m", status)
    for attempt in (lambda: http.probe(origin.url("/m?t=secret")), lambda: read(http, origin.url("/m?t=secret"))):
        with pytest.raises(error) as caught:
            attempt()
        assert type(caught.value) is error
        assert caught.value.exit_code == exit_code
        assert "127.0.0.1" in caught.value.message
        assert "secret" not in f"{caught.value.message} {caught.value.remedy}"


@pytest.mark.parametrize("status", [429, 503])
def test_the_time_to_wait_is_told_in_seconds(origin: Origin, http: Http, status: int) -> None:
    origin.fail("/m", status, Retry_After="17")
    with pytest.raises(RateLimited) as caught:
        http.probe(origin.url("/m"))
    assert caught.value.wait == 17


def test_a_date_to_wait_for_becomes_seconds(origin: Origin, http: Http) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=100)
    origin.fail("/m", 429, Retry_After=email.utils.format_datetime(later, usegmt=True))
    with pytest.raises(RateLimited) as caught:
        http.probe(origin.url("/m"))
    assert caught.value.wait is not None
    assert 90 < caught.value.wait <= 100


def test_a_waiting_time_that_is_no_time_is_left_open(origin: Origin, http: Http) -> None:
    origin.fail("/m", 429, Retry_After="soon")
    with pytest.raises(RateLimited) as caught:
        http.probe(origin.url("/m"))
    assert caught.value.wait is None


def _all_of(base: type[BaseException]) -> set[type[BaseException]]:
    return {base}.union(*(_all_of(child) for child in base.__subclasses__()))


def _made(kind: type[BaseException]) -> BaseException:
    request = httpx.Request("GET", "https://host/m?token=secret")
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("no", request=request, response=httpx.Response(500, request=request))
    try:
        return kind("no")
    except TypeError:
        return kind()


def test_every_exception_of_httpx_gets_a_name_of_ours() -> None:
    exported = {getattr(httpx, name) for name in httpx.__all__}
    kinds = {kind for kind in exported if isinstance(kind, type) and issubclass(kind, Exception)}
    assert len(kinds) > 20
    for kind in kinds | _all_of(httpx.HTTPError) | _all_of(httpx.StreamError):
        with pytest.raises(UploaderError) as caught, named_faults("host"):
            raise _made(kind)
        assert "host" in caught.value.message
        assert caught.value.exit_code in (4, 5)


def test_an_error_that_is_no_fault_of_the_line_passes_through() -> None:
    with pytest.raises(KeyError), named_faults("host"):
        raise KeyError("a defect")


def certificate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Makes a certificate for 127.0.0.1 and has this process trust it; returns the server's half."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    loopback = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
