"""The optional servers of the tests are real ones."""

from __future__ import annotations

import asyncio
import http.server
import threading
from collections.abc import Callable, Iterator

import httpx
import psycopg
import pytest
from playwright.sync_api import Page
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.browser import Chromium


@pytest.fixture
def page_url() -> Iterator[str]:
    """A one-page site on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(
                b"<link rel=icon href=data:,><p id=a>1</p><script>a.textContent = 6 * 7</script>"
            )

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def _text(url: str) -> Callable[[Page], str | None]:
    def steps(page: Page) -> str | None:
        page.goto(url)
        return page.text_content("#a")

    return steps


@pytest.mark.browser
def test_chromium_runs_a_page_script(chromium: Chromium, page_url: str) -> None:
    assert chromium.visit(_text(page_url)) == "42"


@pytest.mark.browser
def test_an_error_in_the_console_fails_the_visit(chromium: Chromium, page_url: str) -> None:
    def steps(page: Page) -> None:
        page.goto(page_url)
        page.evaluate("console.error('broken')")

    with pytest.raises(AssertionError, match="broken"):
        chromium.visit(steps)


@pytest.mark.browser
async def test_the_browser_does_not_disturb_asynchronous_tests(chromium: Chromium, page_url: str) -> None:
    assert await asyncio.to_thread(chromium.visit, _text(page_url)) == "42"


@pytest.mark.nginx
async def test_the_deploy_snippet_passes_requests_and_websockets(nginx: Callable[[int], int]) -> None:
    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(connection.request.headers["X-Forwarded-Proto"])

    async with serve(echo, "127.0.0.1", 0) as server:
        port = await asyncio.to_thread(nginx, server.sockets[0].getsockname()[1])
        async with connect(f"ws://127.0.0.1:{port}/ws", proxy=None) as client:
            assert await client.recv() == "http"
        async with httpx.AsyncClient() as client_:
            plain = await client_.get(f"http://127.0.0.1:{port}/")

    assert plain.status_code == 426, "a plain request arrives as a plain request"


@pytest.mark.postgres
def test_postgres_keeps_rows(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        row = connection.execute("SELECT count(*) FROM pg_database").fetchone()

    assert row is not None
    assert row[0] >= 3
