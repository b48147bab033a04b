"""The audit's page: who may see it, its filters and its pages."""

from __future__ import annotations

import pytest
import redis
from django.test import Client

from incidents import audit
from portal.dashboard.audit import PAGE, word
from tests.dashboard import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def olga(client: Client, redis_client: redis.Redis) -> Client:
    user = world.person("olga", "operator")
    client.force_login(user)
    for number in range(PAGE + 5):
        audit.record(action="service.restart", actor=user, target=f"api-{number}", reason="느리다")
    audit.record(action="service.restart.not_helped", actor=None, target="api-1", after={"note": "<b>x</b>"})
    audit.record(action="odd.deed", actor=None, target="x", before={"n": 1}, after={"n": 2})
    return client


def test_viewers_do_not_see_it(client: Client, redis_client: redis.Redis) -> None:
    client.force_login(world.person("alice", "viewer"))
    assert client.get("/audit/").status_code == 403
    assert 'href="/audit/"' not in client.get("/").text


def test_it_shows_deeds_in_words_escaped_and_in_few_queries(
    olga: Client, django_assert_max_num_queries
) -> None:
    with django_assert_max_num_queries(12):
        page = olga.get("/audit/").text
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "odd.deed" in page
    assert "n: 1 → 2" in " ".join(page.split())
    assert word("service.restart.not_helped") in page
    assert 'href="/audit/"' in page


def test_it_is_filtered_and_paged(olga: Client) -> None:
    page = olga.get("/audit/", {"action": "service.restart", "actor": "OLGA", "target": "api"})
    assert [row.entry.target for row in page.context["rows"]][:1] == [f"api-{PAGE + 4}"]
    older = olga.get("/audit/?" + page.context["older"])
    assert [row.entry.target for row in older.context["rows"]] == [f"api-{n}" for n in (4, 3, 2, 1, 0)]
    assert older.context["older"] == ""
    assert olga.get("/audit/", {"actor": "nobody"}).context["rows"] == []
    assert olga.get("/audit/", {"before": "x", "target": "x" * 999}).status_code == 200
