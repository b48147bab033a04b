"""The prober that runs elsewhere, as a process of its own against a portal that listens on a real port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from portal.monitoring.models import Endpoint, ProbeKind, Prober
from portal.monitoring.probes.base import Stopwatch, Target
from portal.monitoring.probes.connectivity import Connectivity
from portal.monitoring.remote import QUEUE_MAX, GaveUp, Item, Rejected, Remote, checked_url
from tests.conditions import wait_until
from tests.monitoring.probe_servers import LOCAL, http_server, replying
from tests.services import free_port, stop

ROOT = Path(__file__).parents[2]
Answer = tuple[int, Any]


@contextmanager
def portal(answer: Callable[[str, Any], Answer]) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """Speak the portal's side as ``answer`` tells; yields the URL and what was asked."""
    asked: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = self.path.rpartition("/")[2]
            asked.append((path, body))
            status, data = answer(path, body)
            raw = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _reply

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def row(number: int, url: str, **changes: object) -> dict[str, Any]:
    """One endpoint as the portal lists it."""
    given = {
        "endpoint": number, "kind": "http", "url": url, "host": "", "timeout_s": 2.0, "interval_s": 60.0,
        "expected_status": 200, "body_contains": "", "expect_frame": True, "send": "", "min_days": 14,
    }  # fmt: skip
    return given | changes


@contextmanager
def prober(url: str) -> Iterator[Remote]:
    """A prober that may reach loopback, with no jitter."""
    stopped = threading.Event()
    made = Remote(
        url=url,
        token="t",
        guard=LOCAL,
        connectivity=Connectivity([], LOCAL),
        stop=stopped,
        jitter=lambda: 0.0,
    )
    yield made
    stopped.set()
    made._client.close()


def reported(asked: list[tuple[str, Any]]) -> dict[int, dict[str, Any]]:
    """Results that were sent, by endpoint."""
    return {one["endpoint"]: one for path, body in asked if path == "push" for one in body["results"]}


def test_what_is_assigned_is_probed_and_reported_once_until_it_is_due_again() -> None:
    with http_server(replying(200)) as good, http_server(replying(502)) as bad:
        rows = [row(1, good), row(2, bad), row(3, "http://10.255.255.1/")]
        with (
            portal(lambda path, _body: (200, rows if path == "assigned" else {"refused": []})) as (
                url,
                asked,
            ),
            prober(url) as remote,
        ):
            remote.round()
            remote.round()
    sent = reported(asked)
    assert {number: one["ok"] for number, one in sent.items()} == {1: True, 2: False, 3: None}
    assert "PROBE_ALLOW" in sent[3]["detail"], "the prober has a guard of its own"
    assert [path for path, _body in asked].count("assigned") == 1
    assert remote.waiting == 0


def test_results_wait_while_the_portal_is_away_and_arrive_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away = threading.Event()

    def answer(path: str, _body: Any) -> Answer:
        if path == "assigned":
            return 200, [row(1, "http://127.0.0.1:1/")]
        return (503, {"detail": "x"}) if away.is_set() else (200, {"refused": []})

    with portal(answer) as (url, asked), prober(url) as remote:
        away.set()
        remote.round()
        assert remote.waiting == 1
        attempts = len(asked)
        remote.round()
        assert len(asked) == attempts, "the delay is kept"
        away.clear()

        def arrived() -> bool:
            remote.round()
            return remote.waiting == 0

        wait_until(arrived, what="the result arrives")
    assert caplog.text.count("the portal does not answer") == 1
    assert "the portal answers again after 1 attempts" in caplog.text


def test_waiting_results_are_bounded_and_the_newest_are_kept() -> None:
    with portal(lambda _path, _body: (200, [])) as (url, _asked), prober(url) as remote:
        for number in range(QUEUE_MAX + 5):
            item = Item(number=number, target=Target(url="http://x/"), interval_s=60)
            remote._note(item, Stopwatch().passed("HTTP 200"))
        assert remote.waiting == QUEUE_MAX
        assert remote._queue[0][0] == 5


def test_a_refused_token_ends_it_and_a_dead_portal_does_so_after_a_hundred_attempts() -> None:
    with (
        portal(lambda _path, _body: (401, {"detail": "Unauthorized"})) as (url, _asked),
        prober(url) as remote,
        pytest.raises(Rejected, match="revoked"),
    ):
        remote.round()

    with prober(f"http://127.0.0.1:{free_port()}") as remote:
        for _attempt in range(99):
            remote._retry_at = float("-inf")
            remote.round()
        remote._retry_at = float("-inf")
        with pytest.raises(GaveUp, match="100 times in a row"):
            remote.round()


@pytest.mark.parametrize(
    "answer", [(200, b"<h1>not the portal</h1>"), (302, {}), (500, {}), (429, {"detail": "slower"})]
)
def test_an_answer_that_is_none_is_tried_again(answer: Answer) -> None:
    with portal(lambda _path, _body: answer) as (url, _asked), prober(url) as remote:
        remote.round()
        assert remote._failed == 1


def test_rows_that_it_does_not_understand_are_left_out() -> None:
    with http_server(replying(200)) as good:
        rows = [row(1, "gopher://x/"), row(2, good, kind="icmp"), {"endpoint": 3}, "text", row(4, good)]
        with (
            portal(lambda path, _body: (200, rows if path == "assigned" else {"refused": []})) as (
                url,
                asked,
            ),
            prober(url) as remote,
        ):
            remote.round()
    assert set(reported(asked)) == {4}


@pytest.mark.parametrize("url", ["http://portal.example.com", "portal.example.com", "ftp://x", ""])
def test_an_address_that_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"https://"):
        checked_url(url)


@contextmanager
def command(url: str, token: str, *arguments: str, **more: str) -> Iterator[subprocess.Popen[str]]:
    """``manage.py prober`` with a database and a Redis that do not exist."""
    nowhere = {
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "REDIS_URL": "redis://127.0.0.1:1/0",
        "PROBER_URL": url, "PROBER_TOKEN": token, "PROBE_ALLOW": "loopback",
    }  # fmt: skip
    process = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "manage.py", "prober", *arguments],
        cwd=ROOT,
        env=os.environ | nowhere | more,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            stop(process)  # type: ignore[arg-type] # text or bytes makes no difference to ending it
        if process.stderr is not None:
            process.stderr.close()


def said(process: subprocess.Popen[str]) -> str:
    """What the ended command wrote to its error output."""
    assert process.stderr is not None
    return process.stderr.read()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_client")
def test_the_command_needs_a_url_and_a_token_alone_and_ends_at_sigterm(live_server) -> None:
    made = Prober(name="elsewhere")
    token = made.make_token()
    made.save()
    with http_server(replying(200)) as url, command(live_server.url, token) as process:
        seen = Endpoint.objects.create(name="shop", kind=ProbeKind.HTTP, url=url, prober=made)

        def passing() -> bool:
            seen.refresh_from_db()
            assert process.poll() is None, said(process)
            return bool(seen.ok)

        wait_until(passing, 60, "the result arrives")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_the_command_says_what_is_missing_and_that_a_token_is_unknown() -> None:
    with command("", "", "--once") as process:
        assert process.wait(60) == 1
        assert "Set PROBER_URL" in said(process)
    with (
        portal(lambda _path, _body: (401, {})) as (url, _asked),
        command(url, "wrong", "--once") as process,
    ):
        assert process.wait(60) == 2
        text = said(process)
    assert "does not know this token" in text
    assert "wrong" not in text
    assert "Traceback" not in text
