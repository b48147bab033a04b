"""The whole OpenAPI document, fuzzed for everybody who can send a request: it holds what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import pytest
import redis
import schemathesis
from django.conf import settings as project
from django.contrib.auth.models import User
from django.core.wsgi import get_wsgi_application
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from schemathesis import checks

from gateway import auth, keys
from gateway.feed_store import sync_client
from gateway.models import FeedKey
from portal.api import api
from portal.monitoring.models import Endpoint, Prober
from tests.dashboard import world
from tests.fuzz.effort import cases, effort

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stage")]
#: Who meets which of the document's ways to sign in.
MEETS = {
    "ViewerAuth": {"viewer", "operator"},
    "Session": {"viewer", "operator", "nobody"},
    "FeedKeyToken": {"feed key"},
    "ProberToken": {"prober"},
}
#: A page's token and its cookie, as a browser sends both.
CSRF = "c" * 32
#: NUL, and halves of surrogate pairs, in an address.
UNSTORABLE = re.compile(r"%(25)*00|%ED%[AB][0-9A-F]", re.IGNORECASE)
COUNTERS = keys.COUNTER.format(what="*", who="*")
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]

schema = schemathesis.openapi.from_dict(dict(api.get_openapi_schema()))
schema.app = get_wsgi_application()


@dataclass
class Person:
    """What somebody sends with each request."""

    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)
    #: What this one puts into the fields of a body that nobody could guess.
    knows: Mapping[str, object] = field(default_factory=dict)


@pytest.fixture
def stage(redis_client: redis.Redis) -> None:
    """Something to tell in every list."""
    now = timezone.now()
    world.seed_services(now)
    world.incident(now)
    world.publish(redis_client)


@pytest.fixture
def people(redis_client: redis.Redis) -> dict[str, Person]:
    """Everybody by role."""
    key = FeedKey(name="site")
    secret = key.make_secret()
    pair = {"appkey": key.app_key, "secretkey": secret}
    key.save()
    token = auth.issue(sync_client(), key, 3600).value
    prober = Prober(name="seoul")
    prober_token = prober.make_token()
    prober.save()
    Endpoint.objects.update(prober=prober)
    users = {role: world.person(role, role) for role in ("viewer", "operator")}
    return {
        "anonymous": Person(),
        "feed key": Person({"Authorization": f"Bearer {token}"}, knows=pair | {"token": token}),
        "prober": Person(
            {"Authorization": f"Bearer {prober_token}"},
            knows={"endpoint": 1, "at": timezone.now().isoformat()},
        ),
        **{role: _signed_in(user) for role, user in users.items()},
        "nobody": _signed_in(User.objects.create_user("nobody")),
    }


def _signed_in(user: User) -> Person:
    client = Client()
    client.force_login(user)
    cookies = {name: one.value for name, one in client.cookies.items()}
    return Person({"X-CSRFToken": CSRF}, cookies | {project.CSRF_COOKIE_NAME: CSRF})


@schema.parametrize()
@effort(12)
def test_every_answer_is_a_documented_one(
    case: schemathesis.Case[Any], people: dict[str, Person], redis_client: redis.Redis
) -> None:
    # Most cases are to come through the limits of a minute, so that those begin anew.
    redis_client.delete(*redis_client.scan_iter(match=COUNTERS, count=1000), "x")
    ways = {name for way in case.operation.definition.raw.get("security", []) for name in way}
    entitled = [role for role in people if not ways or any(role in MEETS[way] for way in ways)]
    others = [role for role in people if role not in entitled]
    # Chosen by the case, so that it fails again when it is tried again.
    choice = crc32(case.as_curl_command().encode())
    drawn = dict(case.cookies)
    for role in (entitled[choice % len(entitled)], *([others[choice % len(others)]] if others else [])):
        cases["api"] += 1
        person = people[role]

        case.cookies = drawn | person.cookies  # what a call is given stays with the case
        if choice % 2:
            _fill_in(case.body, person.knows)
        answer = case.call(headers=person.headers)

        if answer.status_code == 400 and UNSTORABLE.search(answer.request.url or ""):
            continue  # an address with what no database stores is refused before any of this is asked
        case.validate_response(answer, checks=CHECKS, headers=person.headers)
        assert role in entitled or answer.status_code in (400, 401, 403, 405), answer.text


def _fill_in(body: object, knows: Mapping[str, object]) -> None:
    """Put what somebody knows into the fields of ``body`` that are there, at any depth."""
    if isinstance(body, dict):
        body |= {name: knows[name] for name in body.keys() & knows.keys()}
    for inner in body.values() if isinstance(body, dict) else body if isinstance(body, list) else ():
        _fill_in(inner, knows)


POSTS = [
    (path, set(way["post"]["responses"]) | {"405"})
    for path, way in schema.raw_schema["paths"].items()
    if "post" in way
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
BODIES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=100).map(lambda text: text.encode("utf-16", "surrogatepass")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(
        [
            *(b"", b"{", b"[]", b"null", b"NaN", b'"', b"\xef\xbb\xbf{}", b"\xff{}", b'{"results":[1e999]}'),
            *(b"[" * 3000, b'{"a":' * 700 + b"1" + b"}" * 700, b"1" * 4000, b'"' + b"\\u0000" * 500 + b'"'),
            *(b'{"grant_type":"client_credentials","appkey":"\\u0000","secretkey":"\\ud800"}', b"x" * 5000),
        ]
    ),
)
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data",
    "",
    "x\t/y",
)


@pytest.mark.parametrize(("path", "documented"), POSTS, ids=[path for path, _ in POSTS])
def test_any_bytes_are_answered_as_documented(
    path: str, documented: set[str], people: dict[str, Person], redis_client: redis.Redis
) -> None:
    client = Client(raise_request_exception=False)

    @given(BODIES, st.sampled_from(TYPES), st.sampled_from(("feed key", "prober", "operator")))
    @effort(40)
    def tried(body: bytes, content_type: str, role: str) -> None:
        cases["api"] += 1
        redis_client.delete(*redis_client.scan_iter(match=COUNTERS, count=1000), "x")
        headers = people[role].headers
        client.cookies.clear()
        client.cookies.load(people[role].cookies)

        answer = client.generic("POST", path.format(number=7), body, content_type, headers=headers)

        assert str(answer.status_code) in documented, answer.content
        assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
        assert json.loads(answer.content)

    tried()
