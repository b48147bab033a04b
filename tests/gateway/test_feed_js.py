"""The reference client in a real browser against a real server: restart, revoked key, states, odd frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from playwright.sync_api import Page

from gateway.status import FeedState
from tests.browser import Chromium
from tests.conditions import wait_until
from tests.gateway.feed_world import Upstream, Web, web_server

pytestmark = [pytest.mark.slow, pytest.mark.browser]
#: What Chromium writes to the console while a server is away or refuses.
AWAY = "WebSocket connection to"
CLIENT = """
async ([url, tokens, module]) => {
  const { FeedClient, SignedOut } = await import(module);
  const seen = (window.seen = { tokens: 0, rows: [], statuses: [], links: [], refused: [], gaps: [] });
  const token = async () => {
    const next = tokens[Math.min(seen.tokens++, tokens.length - 1)];
    if (next === "signed-out") throw new SignedOut();
    if (next === "broken") throw new Error("no ticket");
    return next;
  };
  window.feed = new FeedClient({ url, token });
  feed.addEventListener("row", ({ detail }) => seen.rows.push(detail));
  feed.addEventListener("status", ({ detail }) => seen.statuses.push(detail));
  feed.addEventListener("link", ({ detail }) => seen.links.push({ ...detail, toldAt: Date.now() }));
  feed.addEventListener("refused", ({ detail }) => seen.refused.push(detail));
  feed.addEventListener("gap", ({ detail }) => seen.gaps.push(detail));
  feed.register("0B", ["005930"]);
  feed.start();
}
"""


@dataclass
class World:
    """A server and what the gateway would write."""

    web: Web
    upstream: Upstream
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("feed-js")
    limits = {"FEED_PING_INTERVAL": "0.5", "FEED_MAX_CONNECTIONS_PER_KEY": "20"}
    with web_server(folder, **limits) as web, redis.Redis.from_url(web.redis_url) as client:
        world = World(web, Upstream(client), {})
        for name in ("alice", "bob", "mallory"):
            world.tokens[name] = web.token(web.feed_key(name))
        yield world


@pytest.fixture
def world(server: World) -> World:
    """The server with a live gateway and one known value, 30 seconds old."""
    server.upstream.status()
    server.upstream.last(61_100, age=30)
    return server


def start(page: Page, world: World, *tokens: str, url: str = "") -> None:
    page.goto(f"{world.web.url}/status/")
    page.evaluate(CLIENT, [url or world.web.ws, list(tokens), "/static/gateway/feed.js"])


def until(page: Page, condition: str, seconds: float = 20) -> None:
    # The page's own policy forbids to evaluate text, which Playwright's wait does in the page.
    wait_until(lambda: bool(page.evaluate(condition)), seconds, condition)


def seen(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate("window.seen")
    return found


def visit(chromium: Chromium, steps: Callable[[Page], Any]) -> Any:
    return chromium.visit(steps, expected=AWAY)


def test_rows_come_with_the_time_of_their_value_and_pings_are_answered(
    world: World, chromium: Chromium
) -> None:
    token = world.tokens["alice"]

    def steps(page: Page) -> dict[str, Any]:
        frames: list[str] = []
        page.on("websocket", lambda socket: socket.on("framesent", lambda text: frames.append(str(text))))
        start(page, world, token)
        until(page, "seen.rows.length && seen.statuses.at(-1).status === 'live'")
        wait_until(lambda: world.upstream.publish(61_200), what="the topic is subscribed")
        until(page, "seen.rows.some((row) => row.values['10'] === '-61200')")
        wait_until(lambda: page.evaluate("1") and sum("PING" in text for text in frames) >= 2, 10, "echoes")
        return {
            **seen(page),
            "pings": sum("PING" in text for text in frames),
            "now": page.evaluate("Date.now()"),
        }

    found = visit(chromium, steps)

    first = found["rows"][0]
    assert (first["type"], first["item"], first["values"]["10"]) == ("0B", "005930", "-61100")
    assert 25_000 < found["now"] - first["at"] < 90_000, "the last value is as old as it is"
    assert found["statuses"][-1]["fresh"]
    assert [one["link"] for one in found["links"]] == ["connecting", "open"]
    assert found["pings"] >= 2


def test_after_a_restart_it_comes_back_with_a_fresh_ticket_and_its_items(
    world: World, chromium: Chromium
) -> None:
    first, second = world.tokens["alice"], world.tokens["bob"]

    def steps(page: Page) -> dict[str, Any]:
        start(page, world, first, second)
        until(page, "seen.statuses.at(-1)?.status === 'live'")
        page.evaluate("feed.register('0B', ['000660']); feed.remove('0B', ['005930'])")
        assert world.web.terminate() == 0
        until(page, "seen.links.at(-1).link === 'lost'")
        assert not page.evaluate("seen.statuses.at(-1).fresh")
        world.web.start()
        until(page, "seen.links.filter(({ link }) => link === 'open').length === 2", 60)
        wait_until(lambda: world.upstream.publish(99_000, item="000660"), what="registered again")
        until(page, "seen.rows.some((row) => row.item === '000660')")
        return seen(page)

    found = visit(chromium, steps)

    lost = next(one for one in found["links"] if one["link"] == "lost")
    assert lost["reason"] == "restarting"
    assert lost["retryAt"] - lost["toldAt"] >= 1000, "the server's retry_after is honoured"
    assert found["tokens"] >= 2
    assert "0B:005930" not in world.upstream.wanted()


def test_a_revoked_key_ends_the_client_after_one_fresh_token(world: World, chromium: Chromium) -> None:
    token = world.tokens["mallory"]

    def steps(page: Page) -> dict[str, Any]:
        start(page, world, token)
        until(page, "seen.links.at(-1).link === 'open'")
        world.web.manage("feedkey", "revoke", "--name", "mallory")
        until(page, "seen.links.at(-1).link === 'refused'")
        page.evaluate("window.before = seen.tokens; window.since = performance.now()")
        until(page, "performance.now() - since > 5000")
        return {**seen(page), "before": page.evaluate("before")}

    found = visit(chromium, steps)

    assert found["statuses"][-1]["status"] == "refused"
    assert found["tokens"] == found["before"] == 2, "it does not come back"


@pytest.mark.parametrize(
    ("state", "fresh"),
    [
        (FeedState.STALE, False),
        (FeedState.RECONNECTING, False),
        (FeedState.PARKED, False),
        (FeedState.CLOSED, True),
    ],
)
def test_the_banner_hook_tells_states_and_recovery(
    world: World, chromium: Chromium, state: FeedState, fresh: bool
) -> None:
    token = world.tokens["alice"]
    as_of = 1_795_400_000.0

    def steps(page: Page) -> dict[str, Any]:
        start(page, world, token)
        until(page, "seen.statuses.at(-1)?.status === 'live'")
        world.upstream.status(state, last_row_at=as_of, next_retry_s=8.0)
        until(page, f"seen.statuses.at(-1).status === '{state}'")
        told: dict[str, Any] = page.evaluate("seen.statuses.at(-1)")
        world.upstream.status()
        until(page, "seen.statuses.at(-1).status === 'live'")
        return told

    told = visit(chromium, steps)

    assert told["fresh"] is fresh
    assert told["asOf"] == as_of * 1000
    assert told["retryAt"] is not None


def test_a_refused_request_is_told_and_the_connection_stays(world: World, chromium: Chromium) -> None:
    token = world.tokens["alice"]

    def steps(page: Page) -> dict[str, Any]:
        start(page, world, token)
        until(page, "seen.links.at(-1).link === 'open'")
        page.evaluate("feed.register('00', ['005930'])")
        until(page, "seen.refused.length")
        return seen(page)

    found = visit(chromium, steps)

    assert found["refused"][0]["code"] == 900403
    assert found["links"][-1]["link"] == "open"


def test_who_is_signed_out_is_not_asked_again_and_a_failing_ticket_is(
    world: World, chromium: Chromium
) -> None:
    def steps(page: Page) -> dict[str, Any]:
        start(page, world, "broken", "signed-out")
        until(page, "seen.links.at(-1).link === 'signed-out'")
        return seen(page)

    found = visit(chromium, steps)

    assert [one["link"] for one in found["links"]] == ["connecting", "lost", "connecting", "signed-out"]
    assert found["links"][1]["reason"] == "no ticket"
    assert found["tokens"] == 2


def test_stopping_is_final_until_started_again(world: World, chromium: Chromium) -> None:
    token = world.tokens["alice"]

    def steps(page: Page) -> dict[str, Any]:
        start(page, world, token)
        until(page, "seen.links.at(-1).link === 'open'")
        page.evaluate("feed.stop(); feed.start(); feed.stop(); feed.start()")
        until(page, "seen.links.at(-1).link === 'open' && seen.links.length > 6")
        wait_until(lambda: world.upstream.feed().connections == 1, 10, "one connection is left")
        page.evaluate("feed.stop()")
        wait_until(lambda: world.upstream.feed().connections == 0, 10, "none is left")
        return seen(page)

    assert visit(chromium, steps)["links"][-1]["link"] == "stopped"


HOSTILE = """
async ([module, frames, close]) => {
  const { FeedClient } = await import(module);
  const sent = (window.sent = []);
  const seen = (window.seen = { links: [], rows: [], statuses: [], sockets: 0 });
  class Socket {
    readyState = 1;
    constructor() { seen.sockets++; setTimeout(() => this.play(), 0); }
    play() {
      this.onopen();
      for (const data of frames) this.onmessage({ data });
      this.onclose(close);
    }
    send(text) { sent.push(JSON.parse(text)); }
    close() {}
  }
  const feed = new FeedClient({ url: "ws://nowhere.test/ws", token: async () => "t", WebSocket: Socket });
  feed.addEventListener("row", ({ detail }) => seen.rows.push(detail));
  feed.addEventListener("status", ({ detail }) => seen.statuses.push(detail));
  feed.addEventListener("link", ({ detail }) => {
    seen.links.push({ ...detail, wait: (detail.retryAt ?? 0) - Date.now() });
    if (detail.link === "lost") feed.stop();
  });
  feed.register("0B", Array.from({ length: 250 }, (_, n) => String(n).padStart(6, "0")));
  feed.start();
}
"""


def play(chromium: Chromium, world: World, frames: list[str], code: int, reason: str) -> dict[str, Any]:
    def steps(page: Page) -> dict[str, Any]:
        page.goto(f"{world.web.url}/status/")
        close = {"code": code, "reason": reason}
        page.evaluate(HOSTILE, ["/static/gateway/feed.js", frames, close])
        until(page, "['stopped', 'refused'].includes(seen.links.at(-1)?.link)")
        return {**seen(page), "sent": page.evaluate("sent")}

    return chromium.visit(steps)


def test_odd_frames_and_reasons_neither_break_it_nor_rush_it(world: World, chromium: Chromium) -> None:
    login = '{"trnm":"LOGIN","return_code":0}'
    odd = ["", "null", "[]", "7", "{", '{"trnm":"NEWS"}', '{"trnm":"SYSTEM","code":"B9999"}', login]
    for reason in ("", "null", "7", "[]", '{"retry_after":"soon"}', '{"retry_after":-5}', "<html>"):
        found = play(chromium, world, odd, 1006, reason)
        lost = next(one for one in found["links"] if one["link"] == "lost")
        assert 400 < lost["wait"] <= 1000, reason

    found = play(chromium, world, [login], 1013, '{"reason":"full","retry_after":30}')
    lost = next(one for one in found["links"] if one["link"] == "lost")
    assert 29_000 < lost["wait"] <= 45_000
    found = play(chromium, world, [login], 1013, '{"reason":"full","retry_after":1e9}')
    assert next(one for one in found["links"] if one["link"] == "lost")["wait"] <= 900_000
    requests = [frame for frame in found["sent"] if frame["trnm"] == "REG"]
    assert [len(frame["data"][0]["item"]) for frame in requests] == [100, 100, 50]


def test_what_a_key_may_no_longer_register_is_not_asked_for_again(world: World, chromium: Chromium) -> None:
    login = '{"trnm":"LOGIN","return_code":0}'
    gone = '{"trnm":"SYSTEM","code":"B1009","removed":2,"topics":["0B:000007","0D:000009"]}'

    found = play(chromium, world, [login, gone, login], 1013, "")

    requests = [frame["data"][0]["item"] for frame in found["sent"] if frame["trnm"] == "REG"]
    assert sum(len(items) for items in requests[:3]) == 250
    assert "000007" in requests[0]
    assert sum(len(items) for items in requests[3:]) == 249
    assert "000007" not in requests[3]


@pytest.mark.parametrize("code", [4403, 1003, 1009])
def test_terminal_codes_stop_at_once(world: World, chromium: Chromium, code: int) -> None:
    login = '{"trnm":"LOGIN","return_code":0}'

    found = play(chromium, world, [login], code, '{"reason":"by an operator"}')

    assert found["sockets"] == 1
    assert (found["links"][-1]["link"], found["statuses"][-1]["reason"]) == ("refused", "by an operator")


def test_the_backoff_doubles_to_its_cap_with_jitter(world: World, chromium: Chromium) -> None:
    def steps(page: Page) -> list[list[float]]:
        page.goto(f"{world.web.url}/status/")
        table: list[list[float]] = page.evaluate(
            """async () => {
                 const { backoff } = await import("/static/gateway/feed.js");
                 return [0, 1, 2, 5, 6, 50].map((n) => [backoff(n, 0), backoff(n, 0.999)]);
               }"""
        )
        return table

    table = chromium.visit(steps)

    for (low, high), full in zip(table, [1000, 2000, 4000, 32_000, 60_000, 60_000], strict=True):
        assert low == full / 2
        assert high == pytest.approx(full, rel=0.01)


def test_what_is_kept_is_bounded(world: World, chromium: Chromium) -> None:
    def steps(page: Page) -> str:
        page.goto(f"{world.web.url}/status/")
        told: str = page.evaluate(
            """async () => {
                 const { FeedClient } = await import("/static/gateway/feed.js");
                 const feed = new FeedClient({ url: "ws://nowhere.test", token: async () => "t" });
                 feed.register("0B", Array.from({ length: 1000 }, (_, n) => String(n)));
                 feed.register("0B", ["1", "2"]);
                 try { feed.register("0D", ["1"]); } catch (error) { return error.name; }
                 return "kept";
               }"""
        )
        return told

    assert chromium.visit(steps) == "RangeError"
