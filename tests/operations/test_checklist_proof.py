"""The seed's checklist against real containers and a real nginx: what runs decides, run by run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from docker.errors import NotFound

from incidents import checklist, registry
from incidents.models import ChecklistItem, ItemState, Outcome, TimelineEvent, TimelineKind
from incidents.reports.importing import import_text
from portal.monitoring import services
from portal.monitoring.collector import sweep
from portal.operations import rechecks
from tests.monitoring.labs import DockerLab
from tests.operations import proxies
from tests.services import free_port

pytestmark = pytest.mark.django_db

NAME = f"bw-{os.getpid()}-api-gateway"
LIMITED = {"nano_cpus": 1_000_000_000, "mem_limit": "1g"}


@pytest.fixture
def items(seed_report: Path, settings) -> dict[str, ChecklistItem]:
    """The seed's items by verifier."""
    settings.LANGUAGE_CODE = "en"
    text = seed_report.read_text(encoding="utf-8")
    imported = import_text(text=text, name=seed_report.name, now=timezone.now())
    found = list(imported.incident.report.checklist.order_by("order"))
    assert all(item.verifier in registry.verifiers() for item in found)
    return {item.verifier: item for item in found}


@pytest.fixture
def recreate(containers: DockerLab) -> Iterator[Callable[..., None]]:
    """Put a new container of one name in the place of the last and let a sweep see it."""
    memory: dict[str, Any] = {}

    def remove() -> None:
        with suppress(NotFound):
            containers.client.containers.get(NAME).remove(force=True)

    def make(**options: Any) -> None:
        remove()
        containers.client.containers.run(
            containers.image, ["sh", "-c", "while true; do sleep 1; done"], name=NAME, detach=True, **options
        )
        services.record(sweep(containers.runtime(), memory))

    yield make
    remove()


def look(item: ChecklistItem) -> tuple[Outcome, str]:
    """Verify once; return the outcome and the item's state after it."""
    (run,) = checklist.verify_items(items=[item], now=timezone.now())
    item.refresh_from_db()
    return Outcome(run.outcome), item.state


def test_the_seed_s_six_items_are_each_bound_to_a_verifier(items: dict[str, ChecklistItem]) -> None:
    assert list(items) == [
        "gateway.backoff",
        "gateway.attempt_limit",
        "logs.retry_level",
        "docker.limits",
        "proxy.upgrade",
        "alert.armed",
    ]
    assert {item.target for item in items.values()} == {"api-gateway"}


@pytest.mark.docker
def test_a_container_recreated_without_its_memory_limit_fails_its_item_within_two_runs(
    items: dict[str, ChecklistItem], recreate: Callable[..., None], settings
) -> None:
    item = items["docker.limits"]
    item.target = NAME
    item.save()
    recreate(**LIMITED)
    assert look(item) == (Outcome.PASS, ItemState.VERIFIED)

    recreate(nano_cpus=LIMITED["nano_cpus"])
    assert item in rechecks.due(timezone.now() + timedelta(seconds=31)), (
        "the new container is a reason to look"
    )
    assert [look(item)[1] for _run in range(2)] == [ItemState.VERIFIED, ItemState.FAILING]
    assert "no memory limit" in item.observed
    changed = {one["what"]: (one["before"], one["after"]) for one in item.difference["changes"]}
    assert ("1073741824", "") in changed.values(), changed
    assert "1.0 GiB" in item.difference["before"]
    told = TimelineEvent.objects.filter(incident=item.incident, kind=TimelineKind.CHECKLIST).latest("at")
    assert (told.data["new"], "1073741824 → —" in told.data["changed"]) == ("failing", True)

    recreate(**LIMITED)
    assert look(item) == (Outcome.PASS, ItemState.VERIFIED)
    assert item.difference == {}

    settings.DOCKER_HOST = "unix:///nowhere/sock"
    assert [look(item) for _run in range(3)] == [(Outcome.UNKNOWN, ItemState.VERIFIED)] * 3
    assert "does not answer" in item.observed


@pytest.mark.nginx
def test_the_seed_s_header_in_nginx_reopens_its_item_and_the_fix_verifies_it(
    items: dict[str, ChecklistItem], settings
) -> None:
    item = items["proxy.upgrade"]
    port = free_port()
    settings.PUBLIC_URL = f"http://127.0.0.1:{port}"
    seen = []
    with proxies.websocket_server() as upstream:
        for location, runs in ((proxies.FIXED, 1), (proxies.SEED, 2), (proxies.BY_MAP, 1)):
            with proxies.proxied(location, upstream, port=port):
                seen += [look(item) for _run in range(runs)]
    assert seen == [
        (Outcome.PASS, ItemState.VERIFIED),
        (Outcome.FAIL, ItemState.VERIFIED),
        (Outcome.FAIL, ItemState.FAILING),
        (Outcome.PASS, ItemState.VERIFIED),
    ]
    assert look(item) == (Outcome.UNKNOWN, ItemState.VERIFIED), "no nginx says nothing of its headers"
    failed = item.runs.filter(outcome=Outcome.FAIL)[0]
    assert failed.observed.startswith("no upgrade header is forwarded when the client sends no Connection")
