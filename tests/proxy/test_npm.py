"""Nginx Proxy Manager's configuration, rendered as it does: the tables of deploy/npm.md, wrong and right."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from portal.monitoring.probes.guard import Guard
from portal.monitoring.probes.urls import parse
from portal.operations import proxy_hop, proxy_probe
from portal.operations.proxy_probe import Ask, Finding
from tests.gateway.feed_world import Feed, Web
from tests.monitoring.certificates import Authority
from tests.operations.proxies import silent_server
from tests.proxy import npm
from tests.proxy.fronts import curl
from tests.proxy.npm import Host, advanced_of_the_guide
from tests.services import free_port

pytestmark = pytest.mark.nginx

#: The seed report's block, as it was meant to be pasted.
SEED = 'location /ws { proxy_set_header Connection "upgrade"; }'
PATHS = ("/ws", "/ws/api/dostk/websocket", "/api/dostk/websocket", "/live/")


@pytest.mark.parametrize(
    ("host", "status", "bare", "finding"),
    [
        (Host(), 404, 404, Finding.NOT_FORWARDED),
        (Host(websockets=True), 101, 400, Finding.NOT_FORWARDED),
        (Host(advanced=SEED), 404, 404, Finding.NOT_FORWARDED),
        (Host(websockets=True, advanced=SEED), 404, 404, Finding.NOT_FORWARDED),
        (Host(advanced=advanced_of_the_guide()), 101, 101, Finding.OK),
        (Host(websockets=True, advanced=advanced_of_the_guide()), 101, 101, Finding.OK),
    ],
    ids=[
        "switch off",
        "switch on",
        "the seed's block",
        "the seed's, switch on",
        "the guide",
        "the guide, on",
    ],
)
def test_what_a_proxy_host_does_with_an_upgrade(
    web: Web, certificate: Path, guard: Guard, host: Host, status: int, bare: int, finding: Finding
) -> None:
    with npm.running(host, web.port, certificate) as front:
        place = parse("websocket", front.ws)
        seen = [proxy_probe.send(place, ask, guard, 10).status for ask in (Ask.FULL, Ask.BARE)]
        judged = proxy_probe.look(front.ws, guard, timeout_s=10)

    assert (seen, judged.finding) == ([status, bare], finding)


@pytest.mark.parametrize("path", PATHS)
def test_the_guide_covers_every_websocket_of_the_portal(
    web: Web, certificate: Path, guard: Guard, path: str
) -> None:
    with npm.running(Host(advanced=advanced_of_the_guide()), web.port, certificate) as front:
        url = front.ws.removesuffix("/ws") + path
        bare = proxy_probe.send(parse("websocket", url), Ask.BARE, guard, 10)

    # The dashboard's socket refuses a client that is no page of it; only an upgrade gets that far.
    assert bare.status == (403 if path == "/live/" else 101)


async def test_an_end_user_logs_in_and_everything_is_passed_on(
    web: Web, certificate: Path, guard: Guard, authority: Authority
) -> None:
    with npm.running(Host(websockets=True, advanced=advanced_of_the_guide()), web.port, certificate) as front:
        arrived = proxy_hop.ask(front.url, guard, timeout_s=10)
        silence = proxy_hop.listen(front.ws, guard, timeout_s=10, silence_s=0.5)
        trusting = ssl.create_default_context(cafile=str(authority.file))
        async with connect(front.ws, ssl=trusting, proxy=None) as socket:
            assert (await Feed(socket).login("no token"))["trnm"] == "LOGIN"

    assert proxy_hop.flaws(arrived, scheme="https", host="127.0.0.1") == ()
    assert not silence.cut


def test_a_502_is_a_server_that_is_not_there_and_a_504_one_that_is_too_slow(
    certificate: Path, guard: Guard
) -> None:
    host = Host(websockets=True, advanced=advanced_of_the_guide())
    with npm.running(host, free_port(), certificate) as front:
        gone = proxy_probe.look(front.ws, guard, timeout_s=10)
    with silent_server() as upstream, npm.running(host, upstream, certificate) as front:
        slow = proxy_probe.look(front.ws, guard, timeout_s=0.5)

    assert (gone.finding, gone.seen) == (Finding.BAD_GATEWAY, "full HTTP 502")
    assert slow.finding is Finding.TIMEOUT


def test_passwords_are_tried_by_an_address_only_so_often(
    web: Web, certificate: Path, authority: Authority
) -> None:
    trusting = ssl.create_default_context(cafile=str(authority.file))
    with (
        npm.running(npm.with_limited_tries(), web.port, certificate) as front,
        httpx.Client(base_url=front.url, verify=trusting) as client,
    ):
        tried = [client.post(path).status_code for path in ("/login/", "/admin/login/") * 30]
        page = client.get("/login/")

    assert (tried[:10], set(tried)) == ([403] * 10, {403, 429}), (
        "403 is web's answer to a form without a token"
    )
    assert page.status_code == 200


@pytest.mark.parametrize(("host", "count"), [(Host(), 1), (Host(hsts=True), 2)])
def test_hsts_of_the_form_comes_on_top_of_the_portal_s(
    web: Web, certificate: Path, authority: Authority, host: Host, count: int
) -> None:
    with npm.running(host, web.port, certificate) as front:
        _version, head = curl(authority.file, f"{front.url}/login/")

    assert len(re.findall(r"(?im)^strict-transport-security:", head)) == count
