"""The live tail: one bounded, masked buffer per service, read by a worker only while somebody watches."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
import redis
from django.contrib.auth.models import User
from django.utils import timezone

from portal.monitoring.models import RunState, Service
from portal.operations import tail
from portal.operations.models import TailOpening
from portal.operations.tail import FIRST_LINES, MAX_BYTES, MAX_LINES, MAX_TAILS, WATCH_S, Buffer, TailRefused
from portal.operations.tasks import read_tail
from tests.conditions import wait_until
from tests.monitoring.labs import DockerLab
from tests.operations.conftest import known

pytestmark = pytest.mark.django_db
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"


def add(buffer: Buffer, lines: list[str], *, skipped: bool = False) -> Buffer:
    return buffer.add(lines, at=1.0, cursor="c", skipped=skipped, inside=0)


def test_a_buffer_keeps_the_newest_lines_and_tells_a_late_reader_what_it_missed() -> None:
    buffer = add(Buffer(), [f"line {n}" for n in range(1, 1 + MAX_LINES)])
    buffer = add(buffer, ["a", "b"], skipped=True)

    assert (buffer.seq, len(buffer.lines), buffer.skipped) == (MAX_LINES + 2, MAX_LINES, 1)
    assert buffer.after(MAX_LINES) == (("a", "b"), 0)
    assert buffer.after(buffer.seq) == ((), 0)
    shown, missed = buffer.after(1)
    assert (shown[0], shown[-1], missed) == ("line 3", "b", 1)
    assert buffer.after(0) == (buffer.lines, 0), "somebody new missed nothing"
    assert buffer.after(10_000_000) == (buffer.lines, 0), "a restarted numbering begins anew"


def test_a_buffer_is_bounded_in_bytes() -> None:
    buffer = add(Buffer(), ["가" * 2_000] * MAX_LINES)
    assert sum(len(line.encode()) for line in buffer.lines) <= MAX_BYTES
    assert len(buffer.lines) == MAX_BYTES // 6_000


@pytest.fixture
def operator() -> User:
    return User.objects.create_user("olga")


def opened(service: Service, user: User) -> int:
    return tail.open_tail(service, user, at=timezone.now()).pk


@pytest.mark.docker
def test_a_container_is_read_masked_from_its_last_hundred_lines_on(
    containers: DockerLab, redis_client: redis.Redis, operator: User
) -> None:
    script = (
        "i=0; while [ $i -lt 150 ]; do i=$((i+1)); echo line $i; done;"
        f"printf '\\033[31mred\\033[0m token=hunter2 {JWT}\\n';"
        "printf 'bad \\377\\376 <script>alert(1)</script> \\342\\200\\256rtl\\n';"
        "while [ ! -e /tmp/go ]; do sleep 0.1; done; "
        "echo -----BEGIN PRIVATE KEY-----; echo c2VjcmV0; sleep 999"
    )
    runtime_id = containers.start(script)
    service = known(runtime_id)
    container = containers.client.containers.get(runtime_id)
    wait_until(lambda: b"rtl" in container.logs(tail=1))
    opening = opened(service, operator)

    read_tail(service.pk)
    first = tail.watch(opening, service=service.pk, user=operator.pk)

    assert len(first.lines) == FIRST_LINES
    assert first.lines[0] == "line 53"
    assert first.lines[-2] == "red token=[secret] [jwt]"
    assert first.lines[-1] == "bad \ufffd\ufffd <script>alert(1)</script> rtl"

    container.exec_run(["touch", "/tmp/go"])
    later = wait_until(lambda: (tail.read(service.pk) or Buffer()).after(first.seq)[0], what="new lines")
    assert set(later) == {"[pem]"}


@pytest.mark.docker
def test_a_flood_is_read_within_the_bounds_and_says_that_lines_were_left_out(
    containers: DockerLab, redis_client: redis.Redis, operator: User
) -> None:
    service = known(containers.start("yes 'a line of a flood that nobody can read'"))
    opened(service, operator)
    buffer = [tail.read(service.pk) for _read in range(3)][-1]
    assert buffer is not None
    assert len(buffer.lines) <= MAX_LINES
    assert buffer.skipped >= 1
    assert buffer.error == ""


def test_nobody_watching_means_no_read(redis_client: redis.Redis, operator: User, settings) -> None:
    service = known("id")
    opened(service, operator)
    assert tail.watched(service.pk)
    until = redis_client.zscore("tail:watched", str(service.pk))
    assert until is not None
    assert 0 < until - time.time() <= WATCH_S <= 10

    redis_client.zadd("tail:watched", {str(service.pk): time.time() - 0.1})
    assert tail.read(service.pk) is None


def test_watchers_share_one_tail_and_one_request(redis_client: redis.Redis, operator: User) -> None:
    service, other = known("id"), User.objects.create_user("pete")
    for user in (operator, other):
        tail.watch(opened(service, user), service=service.pk, user=user.pk)
    assert redis_client.llen("ops") == 1, "one message for the worker"
    assert redis_client.zcard("tail:watched") == 1


def test_only_so_many_services_at_once(redis_client: redis.Redis, operator: User) -> None:
    services = [known("id", f"service-{n}") for n in range(MAX_TAILS + 1)]
    for service in services[:-1]:
        opened(service, operator)
    opened(services[0], operator)
    with pytest.raises(TailRefused):
        opened(services[-1], operator)
    assert not TailOpening.objects.filter(service=services[-1]).exists()

    redis_client.zadd("tail:watched", {str(services[0].pk): time.time() - 0.1})
    opened(services[-1], operator)


def test_an_opening_belongs_to_one_person_and_service_and_ends(
    redis_client: redis.Redis, operator: User
) -> None:
    service, other = known("id"), User.objects.create_user("pete")
    opening = opened(service, operator)
    for user, pk in ((other.pk, service.pk), (operator.pk, service.pk + 1)):
        with pytest.raises(TailRefused):
            tail.watch(opening, service=pk, user=user)
    tail.close(opening, service=service.pk, user=other.pk)
    tail.watch(opening, service=service.pk, user=operator.pk)
    assert 0 < redis_client.ttl(f"tail:opening:{opening}") <= tail.LONGEST_S
    tail.close(opening, service=service.pk, user=operator.pk)
    with pytest.raises(TailRefused):
        tail.watch(opening, service=service.pk, user=operator.pk)


def test_opening_leaves_a_row_that_outlives_person_and_service(
    redis_client: redis.Redis, operator: User
) -> None:
    old = TailOpening.objects.create(at=timezone.now() - timedelta(days=401), username="x", service_name="y")
    service = known("id")
    opened(service, operator)
    operator.delete()
    service.delete()
    row = TailOpening.objects.get()
    assert (row.username, row.service_name) == ("olga", "api-gateway")
    assert row.pk != old.pk, "what is older than its retention is gone"


def test_what_cannot_be_read_says_why_and_is_left_alone_for_a_while(
    redis_client: redis.Redis, operator: User, settings
) -> None:
    settings.DOCKER_HOST = "unix:///nowhere/sock"
    service = known("id")
    opening = opened(service, operator)
    failed = tail.read(service.pk)
    assert failed is not None
    assert "Docker Engine does not answer" in failed.error
    tail.watch(opening, service=service.pk, user=operator.pk)
    assert redis_client.llen("ops") == 0, "not asked for again within ten seconds"

    service.state.state = RunState.GONE
    service.state.save()
    gone = tail.read(service.pk)
    assert gone is not None
    assert gone.error != failed.error
