"""``/docs/feed/``: its code is run as it is shown, against a real server; its buttons work by keyboard."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import redis
from django.conf import settings as project
from django.test import Client
from playwright.sync_api import Page, expect

from gateway import feed_docs
from gateway.feed_frames import Close, System
from tests.browser import Chromium
from tests.conditions import wait_until
from tests.gateway.feed_world import ROOT, Upstream, Web, web_server
from tests.require import require
from tests.services import free_port, stop

PAGE = "/docs/feed/"


def snippets(text: str) -> dict[str, str]:
    """Return the page's code by file name, as a reader would copy it."""
    found = re.findall(r'data-snippet="([^"]+)"[^>]*><code>(.*?)</code></pre>', text, re.DOTALL)
    return {name: html.unescape(code) for name, code in found}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    limits = {"FEED_MAX_CONNECTIONS_PER_KEY": "20"}
    with web_server(tmp_path_factory.mktemp("docs"), **limits) as web:
        yield web


@pytest.fixture(scope="module")
def upstream(web: Web) -> Iterator[Upstream]:
    with redis.Redis.from_url(web.redis_url) as client:
        world = Upstream(client)
        world.status(ttl=600)
        world.last(61_100)
        yield world


@pytest.fixture(scope="module")
def code(web: Web) -> dict[str, str]:
    return snippets(httpx.get(web.url + PAGE, headers={"Accept-Language": "en"}).text)


@pytest.fixture(scope="module")
def environment(web: Web) -> dict[str, str]:
    pair = web.feed_key("reader of the documentation")
    return os.environ | {"FEED_APP_KEY": pair["app_key"], "FEED_SECRET_KEY": pair["secret_key"]}


@pytest.mark.slow
def test_the_curl_commands_work(web: Web, upstream: Upstream, code: dict[str, str], environment) -> None:
    require(shutil.which("curl"), "curl")
    parts = [code["token.sh"], code["quotes.sh"], "echo", code["ticket.sh"]]

    done = subprocess.run(  # noqa: S603 - the page's own code
        ["bash", "-euo", "pipefail", "-c", "\n".join(parts)],  # noqa: S607 - the reader's shell
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    quotes, ticket = (json.loads(line) for line in done.stdout.splitlines())
    assert quotes["quotes"][0]["values"]["10"] == "-61100"
    assert quotes["missing"] == ["000660"]
    assert ticket["ticket"].startswith("ticket-")


@pytest.mark.slow
def test_the_python_program_prints_prices(
    upstream: Upstream, code: dict[str, str], environment, tmp_path: Path
) -> None:
    path = tmp_path / "prices.py"
    path.write_text(code["prices.py"])

    with subprocess.Popen(  # noqa: S603 - the page's own code
        [sys.executable, str(path)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        stop(process)

    assert line.split() == [b"005930", b"-61100", b"-0.65"]


@pytest.mark.slow
@pytest.mark.browser
def test_the_javascript_server_and_page_show_prices(
    upstream: Upstream, code: dict[str, str], environment, tmp_path: Path, chromium: Chromium
) -> None:
    require(shutil.which("node"), "Node.js")
    for name in ("server.mjs", "index.html"):
        (tmp_path / name).write_text(code[name])
    port = free_port()
    site = f"http://127.0.0.1:{port}"

    def steps(page: Page) -> None:
        page.goto(site)
        expect(page.locator("#price")).to_have_text("005930 -61100")
        expect(page.locator("#status")).to_have_text("")
        wait_until(lambda: upstream.publish(61_200), what="subscribed")
        expect(page.locator("#price")).to_have_text("005930 -61200")

    with (tmp_path / "node.log").open("wb") as log:
        process = subprocess.Popen(
            ["node", "server.mjs"],  # noqa: S607 - the reader's Node.js
            cwd=tmp_path,
            env=environment | {"PORT": str(port)},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: httpx.get(site).status_code == 200 if _listens(port) else None, 20, "node answers")
        chromium.visit(steps)
    finally:
        stop(process)
    assert (tmp_path / "node.log").read_text() == ""


def _listens(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}", timeout=1)
    except httpx.TransportError:
        return False
    return True


@pytest.mark.slow
def test_the_example_prints_rows_and_ends(web: Web, upstream: Upstream, environment) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.feed", "005930", "--rows", "1"],
        cwd=ROOT,
        env=environment | {"FEED_URL": web.url},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"005930 +61,\d00 +-0\.65 % +5204118\n", done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"FEED_SECRET_KEY": "wrong"}, {"FEED_SECRET_KEY": ""}])
def test_the_example_says_what_is_wrong_with_the_key(web: Web, environment, change: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "examples.feed", "005930"],
        cwd=ROOT,
        env=environment | {"FEED_URL": web.url} | change,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode == 2
    assert "8002" in done.stderr or "FEED_SECRET_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.browser
def test_code_is_copied_with_the_keyboard(web: Web, code: dict[str, str], chromium: Chromium) -> None:
    def steps(page: Page) -> list[str]:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(web.url + PAGE)
        copied: list[str] = []
        buttons = page.locator("[data-copies]")
        for place in range(buttons.count()):
            buttons.nth(place).focus()
            page.keyboard.press("Enter" if place % 2 else "Space")
            expect(buttons.nth(place)).to_have_text("Copied")
            copied.append(page.evaluate("navigator.clipboard.readText()"))
        return copied

    assert chromium.visit(steps, language="en-US") == list(code.values())


@pytest.mark.slow
@pytest.mark.browser
def test_without_a_clipboard_the_code_is_selected(web: Web, code: dict[str, str], chromium: Chromium) -> None:
    def steps(page: Page) -> str:
        page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
        page.goto(web.url + PAGE)
        page.locator("[data-copies]").first.click()
        return str(page.evaluate("String(getSelection())"))

    assert chromium.visit(steps, language="en-US").strip() == code["token.sh"]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_anybody_may_read_it_in_both_languages(client: Client, language: str) -> None:
    client.cookies[project.LANGUAGE_COOKIE_NAME] = language

    answer = client.get(PAGE)

    assert answer.status_code == 200
    text = answer.content.decode()
    assert f'<html lang="{language}">' in text
    for word in ("4401", "4408", "B1003", "retry_after", "kiwoom-client"):
        assert word in text
    assert client.post(PAGE).status_code == 405


def test_every_state_and_close_of_the_feed_is_explained() -> None:
    assert {code for code, _word, _meaning in feed_docs.states()} >= {one.value for one in System}
    assert {code for code, _meaning, _todo in feed_docs.closes()} == {int(one) for one in Close}


def test_limits_are_those_in_force(client: Client, settings) -> None:
    settings.GATEWAY_FEED = replace(settings.GATEWAY_FEED, max_topics=123_456, slow_after=2.5)

    text = client.get(PAGE).content.decode()

    assert "123,456" in text
    assert ">2.5<" in text


def test_addresses_are_the_public_ones(client: Client, settings) -> None:
    settings.PUBLIC_URL = "https://feed.example.com"

    code = snippets(client.get(PAGE).content.decode())

    assert "https://feed.example.com/oauth2/token" in code["token.sh"]
    assert 'ws_url="wss://feed.example.com/ws"' in code["prices.py"]
