"""The nginx configurations of ``deploy/``, each as it is shipped, in front of a real web process."""

from __future__ import annotations

import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from gateway.config import FeedConfig
from gateway.server import PING_INTERVAL
from portal.monitoring.probes.guard import Guard
from portal.operations import proxy_hop, proxy_probe
from tests.gateway.feed_world import Feed, Web
from tests.monitoring.certificates import Authority
from tests.monitoring.probe_servers import http_server
from tests.proxy import fronts
from tests.proxy.fronts import Front, curl
from tests.servers import DEPLOY

pytestmark = pytest.mark.nginx

Start = Callable[[int, Path], AbstractContextManager[Front]]
SHIPPED: dict[str, Start] = {
    "bonghwa.conf": lambda web, _certificate: fronts.bare(web),
    "bonghwa-tls.conf": fronts.bare_tls,
    "compose": lambda web, _certificate: fronts.compose(web),
    "compose with TLS": fronts.compose,
}
WITH_TLS = [name for name in SHIPPED if "TLS" in name.upper()]
LOCATIONS = (DEPLOY / "nginx" / "bonghwa" / "locations.conf").read_text()


@pytest.fixture(params=SHIPPED)
def front(request: pytest.FixtureRequest, web: Web, certificate: Path) -> Iterator[Front]:
    with SHIPPED[request.param](web.port, certificate) as one:
        yield one


@pytest.fixture(params=WITH_TLS)
def tls_front(request: pytest.FixtureRequest, web: Web, certificate: Path) -> Iterator[Front]:
    with SHIPPED[request.param](web.port, certificate) as one:
        yield one


async def test_an_end_user_logs_in_and_the_verifiers_find_nothing(
    front: Front, web: Web, guard: Guard, authority: Authority
) -> None:
    upgrade = proxy_probe.look(front.ws, guard, timeout_s=10)
    arrived = proxy_hop.ask(front.url, guard, timeout_s=10)
    scheme, _, host = front.url.partition("://")
    found = proxy_hop.flaws(arrived, scheme=scheme, host=host)
    silence = proxy_hop.listen(front.ws, guard, timeout_s=10, silence_s=0.5)

    assert upgrade.finding is proxy_probe.Finding.OK, upgrade
    assert (found, arrived.host, silence.cut) == ((), host, False)
    trusting = ssl.create_default_context(cafile=str(authority.file)) if front.tls else None
    async with connect(front.ws, ssl=trusting, proxy=None) as socket:
        assert (await Feed(socket).login("no token"))["trnm"] == "LOGIN"
    complaints = re.findall(r".*\[(?:warn|emerg)\].*", (front.folder / "error.log").read_text())
    assert [one for one in complaints if "http2" not in one] == [], "from 1.25.1 on it is a line of its own"


def test_pages_come_over_http_2_and_browsers_are_told_once_to_remember_tls(
    tls_front: Front, authority: Authority
) -> None:
    version, head = curl(authority.file, f"{tls_front.url}/login/")
    old, _head = curl(authority.file, f"{tls_front.url}/login/", "--http1.1")

    assert (version, old) == ("2", "1.1")
    assert head.startswith("HTTP/2 200")
    assert re.findall(r"(?im)^strict-transport-security: (.*?)\r?$", head) == [
        "max-age=31536000; includeSubDomains; preload"
    ]


def test_plain_http_leads_to_tls(tls_front: Front) -> None:
    answer = httpx.get(f"http://127.0.0.1:{tls_front.plain}/incidents/?page=2")

    assert answer.status_code == 301
    assert answer.headers["location"] == "https://127.0.0.1/incidents/?page=2"


def test_old_tls_is_refused(tls_front: Front, authority: Authority) -> None:
    def version(*options: str) -> int:
        command = ["curl", "-sS", "--cacert", str(authority.file), "-o", "/dev/null", *options, tls_front.url]
        return subprocess.run(command, check=False, capture_output=True).returncode  # noqa: S603 - a fixed program

    # The security level lets this curl itself speak the old versions.
    old = ("--ciphers", "DEFAULT@SECLEVEL=0")
    assert version("--tlsv1.0", "--tls-max", "1.1", *old) == 35
    assert version("--tlsv1.2", "--tls-max", "1.2", *old) == 0


@pytest.mark.parametrize("name", SHIPPED)
def test_static_files_are_kept_compressed_and_served_while_web_is_away(name: str, certificate: Path) -> None:
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        body = b"a { color: red } " * 200
        handler.send_response(200)
        for header, value in (
            ("Content-Type", "text/css"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "max-age=60, public"),
        ):
            handler.send_header(header, value)
        handler.end_headers()
        handler.wfile.write(body)

    with ExitStack() as behind, ExitStack() as before:
        upstream = httpx.URL(behind.enter_context(http_server(answer)))
        front = before.enter_context(SHIPPED[name](upstream.port or 0, certificate))
        client = before.enter_context(httpx.Client(base_url=front.url, verify=False))  # noqa: S501 - who it is, is not the question
        first, second = client.get("/static/a.css"), client.get("/static/a.css")
        pages = [client.get("/a") for _ in range(2)]
        assert asked == ["/static/a.css", "/a", "/a"]

        behind.close()
        third, gone = client.get("/static/a.css"), client.get("/a")

    assert (first.text, first.text) == (second.text, third.text)
    assert gone.status_code == 502
    assert first.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in pages[0].headers


@pytest.mark.parametrize("direction", ["read", "send"])
def test_three_pings_fit_into_the_timeouts(direction: str) -> None:
    (seconds,) = re.findall(rf"(?m)^proxy_{direction}_timeout (\d+)s;", LOCATIONS)

    assert int(seconds) > 3 * PING_INTERVAL
    assert int(seconds) > 3 * FeedConfig().ping_interval


@pytest.mark.parametrize("start", [fronts.bare, fronts.compose], ids=["on a machine", "compose"])
def test_passwords_are_tried_by_an_address_only_so_often_whatever_the_name(
    start: Callable[..., AbstractContextManager[Front]],
) -> None:
    def behind_another(text: str) -> str:
        real = "set_real_ip_from 127.0.0.1;\nreal_ip_header X-Real-IP;\n"
        return real + text if "bonghwa_login_source" in text and "limit_req_zone" in text else text

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        handler.send_response(200)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with ExitStack() as stack:
        upstream = httpx.URL(stack.enter_context(http_server(answer)))
        front = stack.enter_context(start(upstream.port or 0, edit=behind_another))
        client = stack.enter_context(httpx.Client(base_url=front.url))

        def tries(count: int, address: str, path: str = "/login/", verb: str = "POST") -> set[int]:
            asked = (
                client.request(verb, path, headers={"X-Real-IP": address}, data={"username": f"person-{n}"})
                for n in range(count)
            )
            return {one.status_code for one in asked}

        assert tries(15, "192.0.2.1") == {200}
        assert tries(60, "192.0.2.1", "/login/?next=/") == {200, 429}
        assert 429 in tries(15, "192.0.2.1", "/%6cogin/")
        assert 429 in tries(15, "192.0.2.1", "/admin/login/"), "the admin's page takes passwords too"
        assert tries(60, "192.0.2.1", verb="GET") == tries(60, "192.0.2.1", "/oauth2/token") == {200}
        assert tries(15, "192.0.2.2") == {200}
        assert tries(60, "2001:db8:0:1:2:3:4:5") == {200, 429}
        assert 429 in tries(15, "2001:db8:0:1::1"), "the same /64"
        assert tries(15, "2001:db8:0:2::1") == {200}


@pytest.mark.parametrize("path", [fronts.SNIPPET, fronts.TLS_SNIPPET, fronts.COMPOSE / "nginx.conf"])
def test_what_is_kept_of_static_files_is_bounded(path: Path) -> None:
    (cache,) = re.findall(r"(?m)^ *proxy_cache_path (.*);", path.read_text())

    assert "keys_zone=bonghwa_static:1m" in cache
    assert "max_size=32m" in cache


@pytest.mark.parametrize("name", ["site.conf", "site-tls.conf"])
def test_only_the_shared_file_says_how_web_is_asked(name: str) -> None:
    text = (fronts.COMPOSE / name).read_text() + fronts.SNIPPET.read_text() + fronts.TLS_SNIPPET.read_text()

    assert text.count("include bonghwa/locations.conf;") == 3
    assert "proxy_set_header" not in text
    assert "proxy_pass" not in text
