"""Kiwoom's clients from PyPI, unpatched but for their base URLs, as end users of the whole chain.

Simulator, gateway and web server are real processes; rows come from the simulator's market.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

import httpx
import kiwoomRest.rest_api
import pytest
from kiwoom_client.auth import KiwoomAuth, KiwoomAuthError
from kiwoom_client.websocket import KiwoomWebSocket, KiwoomWebSocketError
from kiwoomRest import KwRestApi

from tests.conditions import wait_until
from tests.gateway.feed_world import ROOT, web_server
from tests.services import free_port, stop

pytestmark = pytest.mark.slow


@contextmanager
def running(web, *words):
    """Run a management command in its own process, with the web server's environment."""
    with (web.folder / f"{words[0]}.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "manage.py", *words], cwd=ROOT, env=web.environment(), stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        stop(process)


def echoes(caplog):
    """Return the PINGs that the websockets library says it sent."""
    return [text for text in caplog.messages if text.startswith("> TEXT") and "PING" in text]


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    port = free_port()
    settings = {
        "KIWOOM_MODE": "simulator",
        "KIWOOM_REST_URL": f"http://127.0.0.1:{port}",
        "KIWOOM_WS_URL": f"ws://127.0.0.1:{port}",
        "GATEWAY_START_JITTER": "0",
        "FEED_PING_INTERVAL": "1",
    }
    with (
        web_server(tmp_path_factory.mktemp("clients"), **settings) as web,
        running(web, "run_simulator"),
        running(web, "run_gateway"),
    ):
        yield web


@pytest.fixture(scope="module")
def pair(web):
    return web.feed_key("a client from PyPI")


async def test_kiwoom_client_logs_in_registers_gets_rows_and_answers_ping(web, pair, caplog):
    caplog.set_level(logging.DEBUG, "websockets.client")
    with KiwoomAuth(pair["app_key"], pair["secret_key"], web.url) as auth:
        token = await asyncio.to_thread(auth.get_valid_token)
        assert auth.expires_at
        rows, enough = [], asyncio.Event()

        def on_row(row):
            rows.append(row)
            if len(rows) >= 5:
                enough.set()

        client = KiwoomWebSocket(token, ws_url=f"ws://127.0.0.1:{web.port}/api/dostk/websocket")
        client.on("0B", on_row)
        await client.connect()
        await client.subscribe("0B", "005930")
        listening = asyncio.create_task(client.listen())
        async with asyncio.timeout(30):
            await enough.wait()
        await asyncio.to_thread(wait_until, lambda: len(echoes(caplog)) >= 3, 10)
        assert not listening.done()
        assert {row["item"] for row in rows} == {"005930"}
        assert all(set(row) == {"values", "type", "name", "item"} for row in rows)
        assert all(isinstance(value, str) for row in rows for value in row["values"].values())
        await client.disconnect()
        await asyncio.wait([listening])
        assert (await asyncio.to_thread(auth.revoke_token, token))["return_code"] == 0


async def test_kiwoom_client_understands_our_refusals(web, pair):
    with KiwoomAuth(pair["app_key"], "wrong", web.url) as auth, pytest.raises(KiwoomAuthError, match="8002"):
        await asyncio.to_thread(auth.issue_token)
    with pytest.raises(KiwoomWebSocketError, match="8005"):
        await KiwoomWebSocket("wrong", ws_url=web.ws).connect()


async def test_kiwoomrest_logs_in_registers_gets_rows_and_answers_ping(web, pair, monkeypatch):
    monkeypatch.setattr(kiwoomRest.rest_api, "BASE_URL_REAL", web.url)
    monkeypatch.setattr(kiwoomRest.rest_api, "WSS_URL_REAL", f"ws://127.0.0.1:{web.port}/api/dostk/websocket")
    api = KwRestApi()
    frames: list[dict[str, Any]] = []
    problems: list[object] = []
    enough = asyncio.Event()

    def on_frame(frame):
        frames.append(frame)
        if sum(len(one["data"]) for one in frames if one["trnm"] == "REAL") >= 5:
            enough.set()

    api.on_realtime.connect(on_frame)
    api.on_message.connect(problems.append)
    assert await api.login(pair["app_key"], pair["secret_key"]), api.last_message
    data = [{"item": ["005930"], "type": ["0B"]}]
    answer = await api.realtime({"trnm": "REG", "grp_no": "1", "refresh": "1", "data": data})
    assert answer.return_code == 0
    async with asyncio.timeout(30):
        await enough.wait()
    await asyncio.sleep(2.5)  # two PINGs of the server; an unanswered one would show in problems
    answer = await api.realtime({"trnm": "REMOVE", "grp_no": "1", "data": data})
    assert answer.return_code == 0
    assert problems == []
    rows = [row for frame in frames if frame["trnm"] == "REAL" for row in frame["data"]]
    assert {(row["type"], row["item"]) for row in rows} == {("0B", "005930")}
    await api.close()


async def test_a_client_reconnects_and_gets_rows_after_the_web_server_restarts(web, pair):
    with KiwoomAuth(pair["app_key"], pair["secret_key"], web.url) as auth:
        token = await asyncio.to_thread(auth.get_valid_token)
    rows: list[object] = []
    client = KiwoomWebSocket(token, ws_url=web.ws, reconnect_delay=0.2)
    client.on("0B", rows.append)
    await client.connect()
    await client.subscribe("0B", "000660")
    listening = asyncio.create_task(client.listen())
    await asyncio.to_thread(wait_until, lambda: rows, 20)
    assert await asyncio.to_thread(web.terminate) == 0
    seen = len(rows)
    await asyncio.to_thread(web.start)
    await asyncio.to_thread(wait_until, lambda: len(rows) > seen, 20)
    await client.disconnect()
    await asyncio.wait([listening])


def test_last_prices_are_served_to_a_feed_key(web, pair):
    token = web.token(pair)
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{web.url}/api/v1/quotes", params={"symbols": "005930,999999"}, headers=headers)
    body = answer.json()
    assert body["missing"] == ["999999"]
    assert body["quotes"][0]["symbol"] == "005930"
    assert body["quotes"][0]["age_s"] < 120
    assert int(body["quotes"][0]["values"]["10"])
    assert httpx.get(f"{web.url}/api/v1/quotes", params={"symbols": "005930"}).status_code == 401
