"""Probers elsewhere: what a token may fetch and report, what is refused, and what the rules make of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from portal.monitoring import push, tasks
from portal.monitoring.models import Alert, Endpoint, ProbeKind, Prober, ProbeResult, RuntimeKind, Service
from tests.monitoring.stage import NOW

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_client")]
HOSTILE = "\x1b[31m<script>alert(1)</script>\x00 token=hunter2 \u202e=cmd()" + "x" * 1_000


def prober(name: str = "seoul") -> tuple[Prober, str]:
    """A prober and its token."""
    made = Prober(name=name)
    token = made.make_token()
    made.save()
    return made, token


def endpoint(owner: Prober | None, name: str = "shop", **changes: object) -> Endpoint:
    """An endpoint of ``owner``."""
    given = {"name": name, "kind": ProbeKind.HTTP, "url": f"https://{name}.example/", "vantage": "domain"}
    return Endpoint.objects.create(prober=owner, **(given | changes))


class Caller:
    """Whoever holds a token."""

    def __init__(self, token: str) -> None:
        self.client = Client(headers={"authorization": f"Bearer {token}", "accept-language": "en"})

    def assigned(self) -> Any:
        """Fetch the list."""
        return self.client.get("/api/v1/probes/assigned")

    def push(self, *results: dict[str, Any]) -> Any:
        """Report."""
        return self.client.post(
            "/api/v1/probes/push", {"results": list(results)}, content_type="application/json"
        )


def result(
    row: Endpoint, *, ok: bool | None = True, at: datetime | None = None, **changes: object
) -> dict[str, Any]:
    """One result as a prober sends it."""
    at = at or timezone.now()
    given = {"endpoint": row.pk, "at": at.isoformat(), "ok": ok, "latency_ms": 12.5, "detail": "HTTP 200"}
    return given | changes


def test_a_prober_fetches_its_own_enabled_endpoints_only() -> None:
    mine, token = prober()
    other, _token = prober("tokyo")
    row = endpoint(mine, url="https://bob:hunter2@shop.example/")
    endpoint(mine, "off", enabled=False)
    endpoint(other, "theirs")
    endpoint(None, "the portal's")
    (found,) = Caller(token).assigned().json()
    assert (found["endpoint"], found["kind"], found["url"]) == (row.pk, "http", row.url)
    assert (found["interval_s"], found["timeout_s"], found["expected_status"]) == (60.0, 10.0, 200)


def test_a_token_opens_nothing_else_and_a_session_opens_no_probes() -> None:
    _mine, token = prober()
    for path in ("/api/v1/services", "/api/v1/incidents", "/api/v1/gateway", "/"):
        assert Caller(token).client.get(path).status_code in (401, 302)
    client = Client()
    client.force_login(
        User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend"
    )
    assert client.get("/api/v1/probes/assigned").status_code == 401


@pytest.mark.parametrize("token", ["", "x", "bonghwa-prober-wrong", "bonghwa-prober-" + "x" * 10_000])
def test_a_wrong_token_is_refused(token: str) -> None:
    prober()
    assert Caller(token).assigned().status_code == 401


def test_a_revoked_token_is_refused_at_once_and_its_use_was_noted() -> None:
    mine, token = prober()
    assert Caller(token).assigned().status_code == 200
    mine.refresh_from_db()
    assert mine.last_used_at is not None
    Prober.objects.update(revoked_at=timezone.now())
    assert Caller(token).assigned().status_code == 401
    assert Caller(token).push().status_code == 401


def test_a_result_is_kept_shown_and_evaluated_by_the_worker() -> None:
    mine, token = prober()
    service = Service.objects.create(runtime=RuntimeKind.DOCKER, name="shop", discovered_at=NOW)
    row = endpoint(mine, service=service)
    now = timezone.now()
    results = [
        result(row, ok=False, at=now - timedelta(seconds=60 - 20 * number), status=502, detail="HTTP 502")
        for number in range(3)
    ]
    answer = Caller(token).push(*reversed(results))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 3, "refused": []})
    row.refresh_from_db()
    assert (row.ok, row.status, row.detail, row.failures) == (False, 502, "HTTP 502", 3)
    assert ProbeResult.objects.filter(pending=True).count() == 3
    assert not Alert.objects.exists(), "the web process evaluates nothing"

    tasks.probe()
    assert Alert.objects.get().service == service
    assert not ProbeResult.objects.filter(pending=True).exists()


@pytest.mark.parametrize("end", ["0001-01-01T00:00:00+09:00", "9999-12-31T23:59:59-09:00"])
def test_an_end_that_no_database_gives_back_stops_no_other_probe(client: Client, end: str) -> None:
    mine, token = prober()
    row = endpoint(mine, kind=ProbeKind.TLS, url="tls://shop.example:443")
    assert Caller(token).push(result(row, expires_at=end)).json()["accepted"] == 1

    tasks.probe()
    row.refresh_from_db()
    assert (row.ok, row.expires_at) == (True, None)
    client.force_login(User.objects.create_superuser("root"))
    assert client.get(reverse("admin:monitoring_endpoint_change", args=[row.pk])).status_code == 200
    assert client.get("/monitors/").status_code == 200


def test_the_same_report_twice_changes_nothing() -> None:
    mine, token = prober()
    row = endpoint(mine)
    sent = result(row, ok=False)
    for _time in range(2):
        assert Caller(token).push(sent).json() == {"accepted": 1, "refused": []}
    assert ProbeResult.objects.count() == 1
    row.refresh_from_db()
    assert row.failures == 1


def test_results_outside_of_the_bounds_are_refused_with_what_to_do() -> None:
    mine, token = prober()
    other, _token = prober("tokyo")
    row, theirs, off = endpoint(mine), endpoint(other, "theirs"), endpoint(mine, "off", enabled=False)
    now = timezone.now()
    answer = Caller(token).push(
        result(row, at=now - timedelta(minutes=11)),
        result(row, at=now + timedelta(minutes=2)),
        result(theirs),
        result(off),
        {**result(row), "endpoint": 999_999},
    )
    assert answer.status_code == 422
    reasons = {one["reason"] for one in answer.json()["refused"]}
    assert reasons == {
        "The result is older than 10 minutes.",
        "The result lies more than 30 s in the future: set the prober's clock.",
        "This endpoint is not assigned to this prober.",
        "This endpoint is switched off.",
    }
    assert not ProbeResult.objects.exists()
    assert set(Endpoint.objects.values_list("ok", flat=True)) == {None}


@pytest.mark.parametrize(
    "changes",
    [
        {"at": "2026-11-25T09:00:00"},
        {"at": "yesterday"},
        {"latency_ms": -1},
        {"latency_ms": 1e12},
        {"status": 70_000},
        {"close_code": 99},
        {"ok": "perhaps"},
        {"endpoint": -1},
        {"endpoint": 2**70},
        {"detail": "x" * 3_000},
    ],
)
def test_a_result_that_is_none_is_refused_and_keeps_nothing(changes: dict[str, object]) -> None:
    mine, token = prober()
    answer = Caller(token).push(result(endpoint(mine)) | changes)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert not ProbeResult.objects.exists()


def test_a_report_is_bounded() -> None:
    mine, token = prober()
    row = endpoint(mine)
    assert Caller(token).push(*[result(row)] * (push.MAX_RESULTS + 1)).status_code == 422
    huge = Caller(token).client.post(
        "/api/v1/probes/push", b"[" + b" " * 2_000_000, content_type="application/json"
    )
    assert huge.status_code == 413
    assert Caller(token).push().status_code == 422


def test_a_token_is_limited_to_sixty_requests_a_minute() -> None:
    _mine, token = prober()
    _other, fresh = prober("tokyo")
    codes = [Caller(token).assigned().status_code for _request in range(61)]
    assert codes == [200] * 60 + [429]
    assert Caller(fresh).assigned().status_code == 200


def test_hostile_words_are_cut_cleaned_and_escaped(client: Client) -> None:
    mine, token = prober()
    service = Service.objects.create(runtime=RuntimeKind.DOCKER, name="shop", discovered_at=NOW)
    row = endpoint(mine, service=service)
    assert Caller(token).push(result(row, ok=False, detail=HOSTILE)).status_code == 200
    row.refresh_from_db()
    assert row.detail.isprintable()
    assert len(row.detail) <= 300
    assert "hunter2" not in row.detail
    client.force_login(
        User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend"
    )
    for path in (reverse("service", args=[service.pk]), reverse("admin:monitoring_endpoint_changelist")):
        page = client.get(path).content.decode()
        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_unknown_is_neither_a_failure_nor_a_pass_and_silence_becomes_unknown() -> None:
    mine, token = prober()
    row = endpoint(mine)
    Caller(token).push(result(row, ok=None, detail="this prober's own network does not answer"))
    row.refresh_from_db()
    assert (row.ok, ProbeResult.objects.count()) == (None, 0)

    Caller(token).push(result(row))
    Endpoint.objects.update(stale_at=timezone.now() - timedelta(seconds=1))
    tasks.probe()
    row.refresh_from_db()
    assert (row.ok, row.detail) == (None, "no result for three intervals")


def test_without_redis_a_report_is_to_be_sent_again(monkeypatch: pytest.MonkeyPatch, settings) -> None:
    from portal.monitoring import store

    mine, token = prober()
    row = endpoint(mine)
    store.client.cache_clear()
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    try:
        assert Caller(token).push(result(row)).status_code == 503
    finally:
        store.client.cache_clear()
    assert not ProbeResult.objects.exists()


def test_the_token_is_shown_once_and_stored_as_a_hash(client: Client) -> None:
    client.force_login(
        User.objects.create_superuser("root"), backend="django.contrib.auth.backends.ModelBackend"
    )
    inline = {"endpoints-TOTAL_FORMS": "0", "endpoints-INITIAL_FORMS": "0"}
    answer = client.post(
        reverse("admin:monitoring_prober_add"), {"name": "seoul", "note": "", **inline}, follow=True
    )
    page = answer.content.decode()
    token = page.partition("PROBER_TOKEN=")[2].partition("<")[0]
    assert Caller(token).assigned().status_code == 200
    made = Prober.objects.get()
    assert token not in (made.token_digest, str(made.history.values()))
    for path in (reverse("admin:monitoring_prober_change", args=[made.pk]), "/admin/monitoring/prober/"):
        again = client.get(path).content.decode()
        assert token not in again
        assert made.token_digest not in again

    chosen = {"action": "revoke", "_selected_action": [str(made.pk)]}
    client.post(reverse("admin:monitoring_prober_changelist"), chosen)
    assert Caller(token).assigned().status_code == 401
    assert made.history.first().history_user.username == "root"
