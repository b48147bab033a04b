"""Redis users as deployed: what each role is refused, above all the web."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.rights import REDIS_USERS, Redis, guarded_redis


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with guarded_redis(tmp_path_factory.mktemp("redis-users")) as found:
        yield found


def refused(client: redis.Redis, words: str) -> bool:
    try:
        client.execute_command(*words.split())
    except redis.ResponseError as error:
        return isinstance(error, redis.exceptions.NoPermissionError) or "ACL failure in script" in str(error)
    return False


@pytest.mark.parametrize(
    "words",
    [
        *(
            "FLUSHALL",
            "FLUSHDB",
            "CONFIG GET *",
            "KEYS *",
            "ACL LIST",
            "ACL WHOAMI",
            "CLIENT LIST",
            "MONITOR",
        ),
        *("SAVE", "SHUTDOWN NOSAVE", "LATENCY RESET", "REPLICAOF NO ONE", "MODULE LIST", "INFO", "DUMP x"),
        *(
            "SCRIPT FLUSH",
            "CLIENT KILL TYPE normal",
            "SORT collect",
            "MIGRATE h 1 k 0 1",
            "SWAPDB 0 1",
            "RENAME a b",
        ),
    ],
)
def test_no_role_may_administer(server: Redis, words: str) -> None:
    for role in REDIS_USERS:
        with server.client(role) as client:
            assert refused(client, words), role


@pytest.mark.parametrize(
    ("role", "words"),
    [
        # A stolen web process neither makes up prices nor statuses, owners or heartbeats…
        ("web", "HSET gateway:last 0B:005930 9|1|{}"),
        ("web", "PUBLISH gateway:rows:0B:005930 9|{}"),
        ("web", "PUBLISH gateway:status {}"),
        ("web", "SET gateway:status:key-1 {}"),
        ("web", "SET gateway:lease:key-1 me|9"),
        ("web", "SET gateway:fence:key-1 9"),
        ("web", "SET heartbeat:gateway 1"),
        ("web", "LPUSH gateway:attempts:key-1 {}"),
        # … nor what was measured, or a log that an operator reads …
        ("web", "SET monitoring:collector {}"),
        ("web", "SET monitoring:memory:docker {}"),
        ("web", "SET tail:buffer:1 {}"),
        # … takes no task away, reads none and frees no lock …
        ("web", "LRANGE ops 0 -1"),
        ("web", "BRPOP ops 1"),
        ("web", "RPOP collect"),
        ("web", "DEL ops"),
        ("web", "HGETALL unacked:ops"),
        ("web", "SET monitoring:lock:collect:docker x"),
        ("web", "DEL lock:deliver"),
        # … and runs no script.
        ("web", "EVAL return(1) 0"),
        ("web", "EVALSHA x 0"),
        ("web", "FUNCTION LIST"),
        ("web", "PSUBSCRIBE *"),
        # The gateway knows no token, ticket or task.
        ("gateway", "GET gateway:token:x"),
        ("gateway", "SET gateway:token:x {}"),
        ("gateway", "GET gateway:ticket:x"),
        ("gateway", "LPUSH ops {}"),
        ("gateway", "LPUSH collect {}"),
        ("gateway", "SET gateway:wanted:web-1 []"),
        ("gateway", "PUBLISH gateway:disconnect:web-1 {}"),
        ("gateway", "GET tail:buffer:1"),
        # A script has no other rights than its caller.
        ("gateway", "EVAL redis.call('GET','gateway:token:x') 0"),
        ("worker-collect", "EVAL redis.call('RPOP','ops') 0"),
        # A worker takes its own queue's tasks alone.
        ("worker-collect", "RPOP ops"),
        ("worker-collect", "LRANGE ops 0 -1"),
        ("worker-collect", "HGETALL unacked:ops"),
        ("worker-collect", "GET gateway:token:x"),
        ("worker-collect", "SET gateway:commands:key-1 x"),
        ("worker-collect", "PUBLISH gateway:status {}"),
        ("worker-collect", "SET heartbeat:worker:ops@x 1"),
        ("worker-ops", "RPOP collect"),
        ("worker-ops", "GET gateway:token:x"),
        ("worker-ops", "SET gateway:status:key-1 {}"),
        ("worker-ops", "PUBLISH gateway:rows:0B:005930 9|{}"),
        ("worker-ops", "RPUSH gateway:commands:key-1 {}"),
        ("beat", "RPOP ops"),
        ("beat", "GET gateway:token:x"),
        ("beat", "SET heartbeat:worker:ops@x 1"),
        ("beat", "PUBLISH gateway:status {}"),
        ("setup", "GET gateway:token:x"),
        ("setup", "RPOP ops"),
    ],
)
def test_a_role_may_not(server: Redis, role: str, words: str) -> None:
    with server.client(role) as client:
        assert refused(client, words)


def test_nobody_without_a_password_may_more_than_ask_whether_it_lives(server: Redis) -> None:
    with server.client("health", "any") as client:
        assert client.ping()
        assert refused(client, "GET gateway:last")
    with pytest.raises(redis.AuthenticationError), server.client("web", "wrong") as client:
        client.ping()
    with pytest.raises(redis.AuthenticationError), server.client("default", "") as client:
        client.ping()


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("beat", "LLEN collect"),
        ("beat", "LLEN ops"),
        ("worker-collect", "SET heartbeat:round:probes 1"),
    ],
)
def test_what_a_role_does_only_now_and_then_is_allowed(server: Redis, role: str, words: str) -> None:
    with server.client(role) as client:
        assert not refused(client, words)
