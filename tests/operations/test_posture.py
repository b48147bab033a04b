"""The posture of real containers, and the measures that one click makes of it."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from django.test import Client

from incidents.models import ChecklistItem, ItemState, Outcome
from incidents.tasks import verify_items
from portal.monitoring.models import Rule, RunState, Service
from portal.operations import posture
from portal.operations.posture import check_channel, check_container, check_rule
from tests.dashboard.world import person
from tests.monitoring.labs import DockerLab
from tests.operations.conftest import known
from tests.operations.test_verifiers import IDLE, rotating

pytestmark = pytest.mark.django_db
SAFE: dict[str, Any] = {
    "nano_cpus": 500_000_000,
    "mem_limit": "64m",
    "user": "1000",
    "healthcheck": {"test": ["CMD", "true"], "interval": 5_000_000_000, "timeout": 1_000_000_000},
}


def swept(lab: DockerLab, name: str, **options: Any) -> Service:
    """Start a container and keep of it what a sweep keeps."""
    runtime_id = lab.start(IDLE, **options)
    seen = lab.runtime().inspect(runtime_id)
    return known(runtime_id, name, inspect=dict(seen.config), restart_count=seen.restart_count)


def privileged(lab: DockerLab) -> None:
    """Create a privileged container; it is not started, since not every machine that tests may do that."""
    made = lab.client.containers.create(lab.image, ["true"], privileged=True)
    lab.made.append(str(made.id))
    known(str(made.id), "mighty", inspect=dict(lab.runtime().inspect(str(made.id)).config))


def failing(found: posture.Posture) -> dict[str, set[str]]:
    return {section.key: {one.target for one in section.findings} for section in found.sections}


@pytest.mark.docker
def test_real_containers_are_judged_and_measured_until_they_are_mended(
    containers: DockerLab, redis_client: redis.Redis, client: Client
) -> None:
    swept(containers, "safe", **(SAFE | rotating(max_size="10m")))
    swept(
        containers,
        "careless",
        volumes=[f"{containers.host.removeprefix('unix://')}:/var/run/docker.sock"],
    )
    privileged(containers)
    found = failing(posture.read())
    assert found["privileged"] == {"mighty"}
    for check in (
        "memory_limit",
        "cpu_limit",
        "log_rotation",
        "health_check",
        "root",
        "engine_socket",
    ):
        assert found[check] - {"mighty"} == {"careless"}, check
    assert found["health_timeout"] == found["restart_policy"] == set()

    editor = person("ed", "editor")
    client.force_login(editor)
    for _click in range(2):
        answer = client.post("/posture/add/", {"check": "memory_limit", "target": "careless"}, follow=True)
        assert answer.status_code == 200
    item = ChecklistItem.objects.get()
    assert (item.verifier, item.target, item.parameters) == (
        "posture.container",
        "careless",
        {"check": "memory_limit"},
    )
    assert item.history.get().history_user == editor
    assert redis_client.llen("ops") == 1, "the worker was asked once"

    verify_items([item.pk])
    verify_items([item.pk])
    item.refresh_from_db()
    assert (item.state, item.observed) == (ItemState.FAILING, "mem_limit: -")

    Service.objects.get(name="careless").delete()
    swept(containers, "careless", **SAFE)
    verify_items([item.pk])
    item.refresh_from_db()
    assert item.state == ItemState.VERIFIED
    assert failing(posture.read())["memory_limit"] == {"mighty"}


def test_a_rule_that_matches_nothing_and_a_missing_channel_are_told(settings) -> None:
    settings.NOTIFY_URLS = []
    known("id", "web", inspect={"limits": {}})
    Rule.objects.filter(name="log-flood").update(service_pattern="api-*")
    Rule.objects.filter(name="cpu-sustained").update(service_pattern="api-*", enabled=False)
    found = failing(posture.read())
    of_endpoints = {"probe-failing", "slow-answer", "certificate-expiry"}
    assert found[posture.RULE] == {"log-flood"} | of_endpoints, "there is no endpoint either"
    assert found[posture.CHANNEL] == {""}

    verdicts = [check_rule("log-flood", {}), check_channel("", {})]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.FAIL}
    settings.NOTIFY_URLS = ["json://127.0.0.1"]
    Rule.objects.filter(name="log-flood").update(service_pattern="w*")
    verdicts = [check_rule("log-flood", {}), check_channel("", {}), check_rule("cpu-sustained", {})]
    assert {verdict.outcome for verdict in verdicts} == {Outcome.PASS}


def test_what_gives_no_reading_is_unknown_and_what_ended_is_left_out() -> None:
    known("a", "silent", state=RunState.UNKNOWN, inspect={"limits": {}})
    known("b", "ended", state=RunState.EXITED, inspect={"limits": {}})
    known("c", "odd")
    found = posture.read()
    assert found.unknown == ("odd", "silent")
    assert [section.key for section in found.sections] == [posture.RULE, posture.CHANNEL]


@pytest.mark.parametrize("parameters", [{}, {"check": "nonsense"}])
def test_wrong_parameters_are_unknown(parameters: dict[str, Any]) -> None:
    assert check_container("web", parameters).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 403), ("editor", 302)])
def test_only_who_may_add_measures_adds_one(
    client: Client, redis_client: redis.Redis, role: str, status: int
) -> None:
    known("id", "web", inspect={"limits": {}, "log_options": {"driver": "json-file"}})
    client.force_login(person("somebody", role))
    page = client.get("/posture/").content.decode()
    assert ('name="check"' in page) is (role == "editor")
    assert "max-size" in page
    given = {"check": "log_rotation", "target": "web"}
    assert client.post("/posture/add/", given).status_code == status
    assert ChecklistItem.objects.count() == (role == "editor")
    assert client.get("/posture/add/").status_code == 405


def test_what_is_not_found_any_more_adds_nothing(client: Client) -> None:
    client.force_login(person("ed", "editor"))
    for given in ({"check": "log_rotation", "target": "web"}, {"check": "x"}, {}):
        assert client.post("/posture/add/", given).status_code == 302
    assert not ChecklistItem.objects.exists()


def test_a_long_name_still_makes_one_measure() -> None:
    keys = {posture.key_of("memory_limit", "x" * 150 + end) for end in "ab"}
    assert len(keys) == 2
    assert all(len(key) <= 100 for key in keys)
