"""The operators' feed page: who sees what, and how a client is disconnected, audited and confirmed."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace

import orjson
import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from gateway import keys
from gateway.feed_report import Connection, FeedReport, TopicLoad
from gateway.models import FeedDisconnection
from gateway.status import Attempt, FeedState, FeedStatus, Gap
from tests.dashboard import world

pytestmark = pytest.mark.django_db
PAGE = "/feed/operations/"
PROCESS = "web-1:77:abc123"
ONE = Connection(
    id="0123456789abcdef",
    name="trading-bot",
    key=None,
    address="203.0.113.9",
    since=time.time() - 90,
    topics=2,
    named=("0B:005930", "0D:005930"),
    queued_frames=17,
    queued_bytes=40_960,
    dropped=1234,
    lag_s=3.5,
    conflating=True,
)
TARGET = reverse("feed-disconnect", args=[PROCESS, ONE.id])


def report(client: redis.Redis, *connections: Connection, total: int | None = None) -> None:
    """Write what a web process writes while somebody watches."""
    now = time.time()
    status = FeedStatus(process=PROCESS, at=now, connections=len(connections), closes={"4408": 3})
    client.set(keys.FEED.format(process=PROCESS), orjson.dumps(asdict(status)), ex=60)
    found = FeedReport(
        process=PROCESS,
        at=now,
        connections=connections,
        connections_total=len(connections) if total is None else total,
        topics=(TopicLoad(name="0B:005930", subscribers=2, rows_per_s=41.5),),
        topics_total=1,
    )
    client.set(keys.FEED_REPORT.format(process=PROCESS), found.encode(), ex=60)


@pytest.fixture
def operator(client: Client) -> Client:
    """Carol, an operator who reads English."""
    client.force_login(world.person("carol", "operator"))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    return client


@pytest.fixture
def holder(redis_client: redis.Redis) -> Iterator[list[dict[str, object]]]:
    """A web process that says yes to every request to disconnect; yields what it was asked."""
    asked: list[dict[str, object]] = []
    subscription = redis_client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(keys.DISCONNECT_CHANNEL.format(process=PROCESS))
    subscription.get_message(timeout=5)
    stopped = threading.Event()

    def answer() -> None:
        while not stopped.is_set():
            message = subscription.get_message(timeout=0.05)
            if message is not None:
                asked.append(orjson.loads(message["data"]))
                redis_client.lpush(str(asked[-1]["reply"]), "done")

    thread = threading.Thread(target=answer)
    thread.start()
    yield asked
    stopped.set()
    thread.join()
    subscription.close()


def seen(text: str) -> str:
    """Return the question's hidden field."""
    (value,) = re.findall(r'name="seen" value="([^"]+)"', text)
    return str(value)


def said(answer) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_the_page_shows_sessions_connections_topics_closes_and_limits(
    operator: Client, redis_client: redis.Redis
) -> None:
    world.publish(
        redis_client,
        FeedState.RECONNECTING,
        session="BACKOFF",
        owner="gw-1",
        standbys=2,
        unplaced=4,
        breaker="open",
        breaker_manual=True,
        lag_ms=1.5,
    )
    attempt = Attempt(at=time.time(), number=8, delay_before=4.0, outcome="kicked", reason="R10001: other")
    redis_client.lpush(keys.ATTEMPTS.format(slot="key-1"), orjson.dumps(asdict(attempt)))
    gap = Gap(
        slot="key-1",
        since=time.time() - 95,
        until=time.time(),
        topics=("0B:005930",),
        count=3,
        reason="redis",
    )
    redis_client.lpush(keys.GAPS.format(slot="key-1"), gap.encode())
    report(redis_client, ONE)

    text = operator.get(PAGE).content.decode()

    for part in ("Redis was away", "1 min"):
        assert part in text, part
    for part in ("gw-1", "Open (by hand)", "kicked", "R10001: other", "4.0 s", "1.5 ms"):
        assert part in text, part
    for part in ("trading-bot", "203.0.113.9", "40 KB", "17 frames", "1,234", "3.5 s", TARGET):
        assert part in text, part
    for part in ("0B:005930", "41.5", "4408", "too slow"):
        assert part in text, part
    for name in settings.GATEWAY_FEED.__dataclass_fields__:
        assert f"FEED_{name.upper()}" in text, name


def test_topics_without_rows_are_named_without_a_mouse(operator: Client, redis_client: redis.Redis) -> None:
    world.publish(
        redis_client,
        FeedState.LIVE,
        unplaced=51,
        unplaced_topics=("0B:000001",),
        silent=1,
        silent_topics=("0B:000002",),
    )
    gap = Gap(slot="key-1", since=1.0, until=2.0, topics=("0B:000003",), count=9, reason="stale")
    redis_client.lpush(keys.GAPS.format(slot="key-1"), gap.encode())

    text = re.sub(r'title="[^"]*"', "", operator.get(PAGE).content.decode())

    assert "0B:000001, …" in text
    assert "0B:000002</span>" in text
    assert "0B:000003, …" in text


def test_looking_at_the_page_makes_processes_report(operator: Client, redis_client: redis.Redis) -> None:
    operator.get(PAGE)

    assert 0 < redis_client.ttl(keys.FEED_WATCHED) <= 10


def test_connections_beyond_the_list_are_counted(operator: Client, redis_client: redis.Redis) -> None:
    report(redis_client, replace(ONE, id="a"), replace(ONE, id="b"), total=1702)

    text = operator.get(PAGE).content.decode()

    assert "2 of 1702" in text
    assert "and 1700 more connections" in text


def test_the_page_says_what_it_does_not_know(operator: Client, redis_client: redis.Redis, settings) -> None:
    text = operator.get(PAGE).content.decode()
    assert "no gateway reports" in text
    assert "Waiting for the web processes" in text

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    text = operator.get(PAGE).content.decode()
    assert text.count("Redis does not answer") >= 2


def test_hostile_text_is_escaped(operator: Client, redis_client: redis.Redis) -> None:
    hostile = "<script>alert(1)</script>"
    report(redis_client, replace(ONE, name=hostile, address=hostile, named=(hostile,)))

    for path in (PAGE, TARGET):
        assert hostile not in operator.get(path).content.decode()


def test_only_operators_may_disconnect(client: Client, redis_client: redis.Redis) -> None:
    report(redis_client, ONE)
    for user, expected in ((world.person("alice", "viewer"), 200), (User.objects.create_user("bob"), 403)):
        client.force_login(user)
        assert client.get(PAGE).status_code == expected
        assert client.get(TARGET).status_code == 403
        assert client.post(TARGET, {"reason": "x"}).status_code == 403
    client.logout()
    assert client.get(PAGE).status_code == 302
    assert client.post(TARGET, {"reason": "x"}).status_code == 302
    assert not FeedDisconnection.objects.exists()


def test_the_button_of_a_viewer_is_not_shown(client: Client, redis_client: redis.Redis) -> None:
    report(redis_client, ONE)
    client.force_login(world.person("alice", "viewer"))

    text = client.get(PAGE).content.decode()

    assert "may-operate" not in text
    assert 'name="verb"' not in text


def test_a_client_is_disconnected_after_a_question_and_a_reason(
    operator: Client, redis_client: redis.Redis, holder: list[dict[str, object]]
) -> None:
    report(redis_client, ONE)

    question = operator.get(TARGET)
    text = question.content.decode()
    assert "trading-bot" in text
    assert "0D:005930" in text
    redis_client.delete(keys.FEED_REPORT.format(process=PROCESS))  # whoever types a reason takes longer
    answered = {"reason": " floods us ", "return": "no", "verb": "disconnect", "seen": seen(text)}
    answer = operator.post(TARGET, answered, follow=True)

    assert said(answer) == ["The client was disconnected."]
    (asked,) = holder
    assert (asked["connection"], asked["reason"], asked["may_return"]) == (ONE.id, "floods us", False)
    row = FeedDisconnection.objects.get()
    assert (row.actor_name, row.key_name, row.address) == ("carol", "trading-bot", "203.0.113.9")
    assert (row.reason, row.may_return, row.outcome) == ("floods us", False, "done")
    assert "carol: floods us" in operator.get(PAGE).content.decode()


def test_without_a_reason_nobody_is_disconnected(
    operator: Client, redis_client: redis.Redis, holder: list[dict[str, object]]
) -> None:
    report(redis_client, ONE)

    answer = operator.post(TARGET, {"reason": "   "}, follow=True)

    assert said(answer) == ["Give a reason; it is shown to the client and kept."]
    assert holder == []
    assert not FeedDisconnection.objects.exists()


@pytest.mark.parametrize("change", ["another connection", "forged", "absent"])
def test_a_record_names_nobody_whom_the_question_was_not_about(
    operator: Client, redis_client: redis.Redis, holder: list[dict[str, object]], change: str
) -> None:
    report(redis_client, ONE, replace(ONE, id="other", name="innocent"))
    other = operator.get(reverse("feed-disconnect", args=[PROCESS, "other"])).content.decode()
    given = {"another connection": seen(other), "forged": f"x{seen(other)}", "absent": ""}[change]

    operator.post(TARGET, {"reason": "x", "seen": given})

    row = FeedDisconnection.objects.get()
    assert (row.connection, row.key_name, row.address) == (ONE.id, "", "")


def test_a_connection_is_not_said_to_be_gone_while_that_is_unknown(
    operator: Client, redis_client: redis.Redis, settings
) -> None:
    assert said(operator.get(TARGET, follow=True)) == ["Waiting for the web processes to report."]

    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert said(operator.get(TARGET, follow=True)) == ["Unknown: Redis does not answer"]


def test_a_connection_that_is_gone_is_said_to_be(operator: Client, redis_client: redis.Redis) -> None:
    report(redis_client)
    assert said(operator.get(TARGET, follow=True)) == ["This connection is gone already."]

    answer = operator.post(TARGET, {"reason": "late"}, follow=True)

    assert said(answer) == ["This connection is gone already."]
    assert FeedDisconnection.objects.get().outcome == "gone"


def test_a_process_that_does_not_answer_is_told(operator: Client, redis_client: redis.Redis) -> None:
    report(redis_client, ONE)
    with redis_client.pubsub() as deaf:
        deaf.subscribe(keys.DISCONNECT_CHANNEL.format(process=PROCESS))
        deaf.get_message(timeout=5)
        answer = operator.post(TARGET, {"reason": "now"}, follow=True)

    assert "did not answer" in said(answer)[0]
    assert FeedDisconnection.objects.get().outcome == "no-answer"


def test_a_request_while_redis_is_away_is_recorded(
    operator: Client, redis_client: redis.Redis, settings
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"

    answer = operator.post(TARGET, {"reason": "now"}, follow=True)

    assert "was not ended" in said(answer)[0]
    assert FeedDisconnection.objects.get().outcome == "no-answer"


def test_absurd_names_are_refused(operator: Client, redis_client: redis.Redis) -> None:
    for process, connection in (("p" * 300, "a"), ("p", "a" * 50)):
        path = reverse("feed-disconnect", args=[process, connection])
        assert operator.post(path, {"reason": "x"}).status_code == 302
    assert not FeedDisconnection.objects.exists()


def test_the_gateways_buttons_return_to_this_page(operator: Client, redis_client: redis.Redis) -> None:
    text = operator.get(PAGE).content.decode()
    assert '<input type="hidden" name="page" value="operations">' in text

    answer = operator.post("/gateway/key-1/", {"verb": "resume", "reason": "x", "page": "operations"})

    assert answer.headers["Location"] == PAGE


@pytest.mark.parametrize("page", [PAGE, "/feed/", "/"])
def test_the_navigation_marks_one_page(operator: Client, redis_client: redis.Redis, page: str) -> None:
    navigation = operator.get(page).context["sidebar_navigation"]

    active = [item["link"] for group in navigation for item in group["items"] if item.get("active")]
    assert active == [page]
