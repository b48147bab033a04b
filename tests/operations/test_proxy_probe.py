"""The proxy's headers, told from three answers; a real nginx with the seed's line and with the fix."""

from __future__ import annotations

import pytest

from incidents.models import Outcome
from portal.monitoring.probes.guard import Guard, Refused, parse_policy
from portal.operations import proxy_probe, reach_verifiers
from portal.operations.proxy_probe import Answer, Finding, Unreachable, judge
from tests.operations import proxies
from tests.services import free_port

LOOPBACK = Guard(parse_policy(["loopback"]))
PARAMETERS = {"path": "/ws", "timeout_s": 5.0}
DAPHNE = 'HTTP Connection headers do not include "upgrade" value (case-insensitive): "close"'
AUTOBAHN = "HTTP Connection header does not include 'upgrade' value (case-insensitive) : keep-alive"


@pytest.mark.parametrize(
    ("full", "bare", "plain", "finding", "arrived"),
    [
        (Answer(101), Answer(101), None, Finding.OK, ""),
        (Answer(101), Answer(400), None, Finding.NOT_FORWARDED, ""),
        (Answer(101), Answer(426), None, Finding.NOT_FORWARDED, ""),
        (Answer(101), Answer(200), None, Finding.NOT_FORWARDED, ""),
        (Answer(101), Answer(502), None, Finding.BAD_GATEWAY, ""),
        (Answer(101), Answer(0, late=True), None, Finding.TIMEOUT, ""),
        (Answer(101), Answer(429), None, Finding.UNCLEAR, ""),
        (Answer(0, late=True), None, None, Finding.TIMEOUT, ""),
        (Answer(504), None, None, Finding.TIMEOUT, ""),
        (Answer(502), None, None, Finding.BAD_GATEWAY, ""),
        (Answer(503), None, None, Finding.BAD_GATEWAY, ""),
        (Answer(404), None, Answer(404), Finding.NOT_FORWARDED, ""),
        (Answer(400), None, Answer(404), Finding.HARD_CODED, ""),
        (Answer(400, AUTOBAHN), None, Answer(404), Finding.HARD_CODED, "keep-alive"),
        (Answer(400, DAPHNE), None, Answer(404), Finding.HARD_CODED, "close"),
        (Answer(426, "invalid Connection header: close"), None, Answer(426), Finding.NOT_FORWARDED, ""),
        (Answer(426, "invalid Connection header: h2"), None, Answer(426), Finding.HARD_CODED, "h2"),
        (Answer(400, "HTTP Connection header missing"), None, Answer(404), Finding.NOT_FORWARDED, ""),
        (Answer(403), None, Answer(403), Finding.UNCLEAR, ""),
        (Answer(301), None, Answer(301), Finding.UNCLEAR, ""),
        (Answer(500), None, Answer(200), Finding.UNCLEAR, ""),
        (Answer(0, "no HTTP answer"), None, Answer(0), Finding.UNCLEAR, ""),
    ],
)
def test_what_three_answers_mean(
    full: Answer, bare: Answer | None, plain: Answer | None, finding: Finding, arrived: str
) -> None:
    seen = judge(full, bare, plain)
    assert (seen.finding, seen.arrived) == (finding, arrived)


@pytest.mark.nginx
@pytest.mark.parametrize(
    ("location", "finding"),
    [
        (proxies.SEED, Finding.NOT_FORWARDED),
        (proxies.MISSING, Finding.NOT_FORWARDED),
        (proxies.WRONG, Finding.HARD_CODED),
        (proxies.FIXED, Finding.OK),
        (proxies.BY_MAP, Finding.OK),
    ],
    ids=["the seed's line", "no header", "hard-coded wrong", "the fix", "the map"],
)
def test_the_headers_of_a_real_nginx_are_told_apart(location: str, finding: Finding) -> None:
    with proxies.websocket_server() as upstream, proxies.proxied(location, upstream) as port:
        seen = proxy_probe.look(f"ws://127.0.0.1:{port}/ws", LOOPBACK, timeout_s=5)
    assert seen.finding is finding, seen


@pytest.mark.nginx
def test_a_dead_server_and_a_silent_one_behind_nginx_are_told_apart() -> None:
    with proxies.proxied(proxies.FIXED, free_port()) as port:
        dead = proxy_probe.look(f"ws://127.0.0.1:{port}/ws", LOOPBACK, timeout_s=5)
    with proxies.silent_server() as upstream, proxies.proxied(proxies.FIXED, upstream) as port:
        silent = proxy_probe.look(f"ws://127.0.0.1:{port}/ws", LOOPBACK, timeout_s=0.5)
    assert (dead.finding, silent.finding) == (Finding.BAD_GATEWAY, Finding.TIMEOUT)


def test_no_proxy_and_a_forbidden_address_say_nothing_of_the_headers() -> None:
    url = f"ws://127.0.0.1:{free_port()}/ws"
    with pytest.raises(Unreachable):
        proxy_probe.look(url, LOOPBACK, timeout_s=1)
    with pytest.raises(Refused):
        proxy_probe.look(url, Guard(), timeout_s=1)


@pytest.mark.nginx
def test_the_verifier_looks_through_the_public_url_and_says_in_words_what_it_saw(settings) -> None:
    settings.LANGUAGE_CODE = "en"
    verdicts = []
    with proxies.websocket_server() as upstream:
        for location in (proxies.SEED, proxies.FIXED):
            with proxies.proxied(location, upstream) as port:
                settings.PUBLIC_URL = f"http://127.0.0.1:{port}"
                verdicts.append(reach_verifiers.upgrade("api-gateway", PARAMETERS))
    away = reach_verifiers.upgrade("api-gateway", PARAMETERS)

    assert [one.outcome for one in verdicts] == [Outcome.FAIL, Outcome.PASS]
    assert "full HTTP 101, bare HTTP 4" in verdicts[0].observed
    assert verdicts[0].method.startswith("WebSocket handshake ws://127.0.0.1:")
    assert away.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("target", ["ws://10.0.0.8:80/ws", "ws://169.254.169.254/", "ws:///nowhere"])
def test_an_address_that_may_not_be_probed_is_unknown_with_its_reason(target: str) -> None:
    verdict = reach_verifiers.upgrade(target, PARAMETERS)
    assert (verdict.outcome, verdict.observed.startswith(target)) == (Outcome.UNKNOWN, True)


def test_without_a_proxy_in_front_nothing_is_claimed(settings) -> None:
    settings.PUBLIC_URL = f"http://127.0.0.1:{settings.PORT}"
    assert reach_verifiers.upgrade("", PARAMETERS).outcome is Outcome.UNKNOWN
