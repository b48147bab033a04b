"""Probes against real servers on loopback; a target's failure is data, whatever it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler

import pytest

from portal.monitoring.probes import http, tls, websocket
from portal.monitoring.probes.base import MAX_DETAIL, ProbeReading, Target
from tests.monitoring.probe_servers import (
    LOCAL,
    dripping,
    http_server,
    replying,
    silent,
    ws_server,
)
from tests.mute import mute
from tests.services import free_port

probe_http = partial(http.probe_http, guard=LOCAL)
probe_tls = partial(tls.probe_tls, guard=LOCAL)
probe_websocket = partial(websocket.probe_websocket, guard=LOCAL)
HOSTILE = "\x1b[31m<script>alert(1)</script>\x00 token=hunter2\u202e" + "x" * 5_000


def test_an_expected_status_passes_with_its_latency() -> None:
    with http_server(replying(200, b"ok")) as url:
        seen = probe_http(Target(url=url))
    assert (seen.ok, seen.status, seen.detail) == (True, 200, "HTTP 200")
    assert seen.latency_ms is not None
    assert 0 < seen.latency_ms < 5_000


def test_another_status_may_be_the_expected_one() -> None:
    with http_server(replying(401)) as url:
        assert probe_http(Target(url=url, expected_status=401)).ok


def test_a_wrong_status_fails_and_shows_the_beginning_of_the_body() -> None:
    with http_server(replying(502, b"<h1>502 Bad Gateway</h1>\nnginx")) as url:
        seen = probe_http(Target(url=url))
    assert (seen.ok, seen.status) == (False, 502)
    assert seen.detail == "HTTP 502, expected 200: <h1>502 Bad Gateway</h1> nginx"


def test_a_redirect_is_not_followed_and_shows_its_destination() -> None:
    with http_server(replying(302, Location="https://example.invalid/login")) as url:
        seen = probe_http(Target(url=url))
    assert (seen.ok, seen.detail) == (False, "HTTP 302, redirects to https://example.invalid/login")


@pytest.mark.parametrize(("probe", "scheme"), [(probe_http, "http"), (probe_websocket, "ws")])
def test_a_refused_connection_fails(probe: Callable[[Target], ProbeReading], scheme: str) -> None:
    seen = probe(Target(url=f"{scheme}://127.0.0.1:{free_port()}/", timeout_s=2))
    assert not seen.ok
    assert "refused" in seen.detail.lower()


@pytest.mark.parametrize(
    ("probe", "scheme"),
    [
        (probe_http, "http"),
        (probe_http, "https"),
        (probe_websocket, "ws"),
        (probe_websocket, "wss"),
        (probe_tls, "tls"),
    ],
)
def test_a_mute_server_fails_within_its_time_limit_and_its_connection_is_closed(
    probe: Callable[[Target], ProbeReading], scheme: str
) -> None:
    with mute() as server:
        began = time.monotonic()
        seen = probe(Target(url=f"{scheme}://127.0.0.1:{server.port}", timeout_s=0.3))
        took = time.monotonic() - began

        assert not seen.ok
        assert "0.3 s" in seen.detail
        assert 0.2 < took < 3
        assert server.closed()


@pytest.mark.parametrize("url", ["http://[", "http://127.0.0.1:99999/", "ftp://127.0.0.1/", "nonsense", ""])
@pytest.mark.parametrize("probe", [probe_http, probe_websocket])
def test_an_impossible_address_is_a_failed_target(probe: Callable[[Target], ProbeReading], url: str) -> None:
    seen = probe(Target(url=url, timeout_s=1))
    assert not seen.ok
    assert seen.detail


@pytest.mark.parametrize(
    ("start", "detail"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", "HTTP 200, body not complete after 0.4 s"),
        (b"HTTP/1.1 200 OK\r\nX-Slow: ", "timeout after 0.4 s"),
    ],
    ids=["body", "headers"],
)
def test_an_answer_that_drips_without_end_fails_at_the_time_limit(start: bytes, detail: str) -> None:
    with http_server(dripping(start)) as url:
        began = time.monotonic()
        seen = probe_http(Target(url=url, timeout_s=0.4))
        took = time.monotonic() - began
    assert (seen.ok, seen.detail) == (False, detail)
    assert took < 3


def test_a_huge_body_is_read_only_up_to_its_bound() -> None:
    sent = 0

    def huge(handler: BaseHTTPRequestHandler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        try:
            for _block in range(2_000):
                handler.wfile.write(b"x" * 64 * 1024)
                sent += 64 * 1024
        except OSError:
            return

    with http_server(huge) as url:
        assert probe_http(Target(url=url)).ok
    assert sent < 500 * http.MAX_BODY, "128 MiB were offered, what the sockets buffer was taken"


def test_hostile_words_of_a_target_are_cut_cleaned_and_masked() -> None:
    with http_server(replying(500, HOSTILE.encode())) as url:
        seen = probe_http(Target(url=url))
    assert seen.detail.startswith("HTTP 500, expected 200: <script>alert(1)</script> token=[secret]")
    assert seen.detail.isprintable()
    assert len(seen.detail) <= MAX_DETAIL


def test_a_first_frame_passes_with_both_latencies() -> None:
    with ws_server(lambda connection: connection.send("hello")) as url:
        seen = probe_websocket(Target(url=url))
    assert (seen.ok, seen.status) == (True, 101)
    assert seen.latency_ms
    assert seen.first_frame_ms is not None


def test_the_frame_to_send_is_sent_for_servers_that_speak_only_when_asked() -> None:
    with ws_server(lambda connection: connection.send(connection.recv())) as url:
        assert probe_websocket(Target(url=url, send='{"trnm":"LOGIN","token":""}')).ok


def test_a_handshake_without_a_frame_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "FIRST_FRAME_S", 0.3)
    with ws_server(silent) as url:
        seen = probe_websocket(Target(url=url))
        relaxed = probe_websocket(Target(url=url, expect_frame=False))
    assert (seen.ok, seen.detail) == (False, "no frame within 0.3 s of the handshake")
    assert (relaxed.ok, relaxed.first_frame_ms) == (True, None)


def test_a_handshake_refused_with_502_fails_with_that_status() -> None:
    with ws_server(silent, lambda connection, _request: connection.respond(502, "Bad Gateway")) as url:
        seen = probe_websocket(Target(url=url))
    assert (seen.ok, seen.status, seen.detail) == (False, 502, "handshake refused with HTTP 502")


def test_a_close_before_the_first_frame_fails_with_its_code_and_masked_reason() -> None:
    with ws_server(lambda connection: connection.close(1013, "token=hunter2 later")) as url:
        seen = probe_websocket(Target(url=url))
    assert (seen.ok, seen.close_code) == (False, 1013)
    assert seen.detail == "closed before the first frame: code 1013 token=[secret] later"


def test_a_frame_over_the_bound_fails() -> None:
    with ws_server(lambda connection: connection.send("x" * (websocket.MAX_FRAME + 1))) as url:
        assert not probe_websocket(Target(url=url)).ok


@pytest.mark.parametrize(
    ("body", "wanted", "ok", "detail"),
    [
        (b'{"status": "UP"}', '"UP"', True, "HTTP 200"),
        (b'{"status": "DOWN"}', '"UP"', False, "HTTP 200, but the body lacks '\"UP\"'"),
        ("정상".encode(), "정상", True, "HTTP 200"),
        (b"\xff\xfe\x00 no text", "ok", False, "HTTP 200, but the body lacks 'ok'"),
    ],
)
def test_a_body_must_hold_what_is_expected(body: bytes, wanted: str, ok: bool, detail: str) -> None:
    with http_server(replying(200, body)) as url:
        seen = probe_http(Target(url=url, body_contains=wanted))
    assert (seen.ok, seen.detail) == (ok, detail)


def test_text_behind_the_bound_is_not_found_and_the_bound_is_told() -> None:
    with http_server(replying(200, b"x" * 10_000_000 + b"needle")) as url:
        seen = probe_http(Target(url=url, body_contains="needle"))
    assert (seen.ok, seen.detail) == (False, "HTTP 200, but the first 64 KiB of the body lacks 'needle'")


def test_credentials_of_the_url_are_sent_and_the_presented_name_is_the_hosts() -> None:
    heard: list[tuple[str, str]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        heard.append((handler.headers["Host"], handler.headers["Authorization"]))
        replying(200)(handler)

    with http_server(answer) as url:
        assert probe_http(Target(url=url.replace("//", "//bob:p%40ss@"), host="api.example.com")).ok
        port = url.rstrip("/").rpartition(":")[2]
    assert heard == [(f"api.example.com:{port}", "Basic Ym9iOnBAc3M=")]
