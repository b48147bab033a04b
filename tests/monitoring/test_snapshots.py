"""Configurations that a service was started with: once each, bounded, without secrets, compared."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from portal.monitoring import snapshots, tasks
from portal.monitoring.models import ConfigSnapshot, Service, ServiceState
from portal.monitoring.runtimes import docker_api
from portal.monitoring.snapshots import Change
from tests.dashboard import world
from tests.monitoring.labs import docker_lab
from tests.monitoring.stage import NOW, Stage, inspected

OLD: dict[str, Any] = {
    "image": "api:1",
    "limits": {"memory_bytes": None, "cpu_cores": 1.0},
    "env_names": ["A", "B"],
    "labels": {"com.docker.compose.config-hash": "aaa"},
}
NEW: dict[str, Any] = {
    "image": "api:2",
    "limits": {"memory_bytes": 512, "cpu_cores": 1.0},
    "env_names": ["B", "C"],
    "labels": {},
}


def test_only_what_differs_is_told_by_its_path() -> None:
    assert snapshots.differences(OLD, NEW) == [
        Change(path="env_names", before="A", after="C"),
        Change(path="image", before="api:1", after="api:2"),
        Change(path="labels.com.docker.compose.config-hash", before="aaa", after=None),
        Change(path="limits.memory_bytes", before=None, after="512"),
    ]
    assert snapshots.differences(OLD, OLD) == []


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    assert snapshots.content_hash(OLD) == snapshots.content_hash(dict(reversed(OLD.items())))
    assert snapshots.content_hash(OLD) != snapshots.content_hash(NEW)


def test_labels_with_secrets_are_masked_by_name_and_by_content() -> None:
    given = {
        "db.password": "hunter2",
        "traefik.basicauth.users": "a:$apr1$x",
        "note": "token=hunter2",
        "v": "1",
    }
    kept = docker_api.config({"Config": {"Labels": given}})["labels"]
    assert "hunter2" not in str(kept)
    assert "apr1" not in str(kept)
    assert kept["v"] == "1"


@pytest.mark.django_db
def test_each_configuration_is_one_row_however_often_it_is_started() -> None:
    stage = Stage()
    for hour, config in enumerate([OLD, OLD, NEW, OLD]):
        for _sweep in range(3):
            stage.sweep(inspected(config=config, started_at=NOW + timedelta(hours=hour)))
    rows = [(row.config["image"], row.starts, row.last_at) for row in ConfigSnapshot.objects.all()]
    assert rows == [
        ("api:1", 3, NOW + timedelta(hours=3)),
        ("api:2", 1, NOW + timedelta(hours=2)),
    ]


@pytest.mark.django_db
def test_a_limit_that_changes_while_it_runs_is_a_configuration_of_its_own() -> None:
    stage = Stage()
    stage.sweep(inspected(config=OLD))
    stage.sweep(inspected(config=OLD | {"limits": {}}))
    assert ConfigSnapshot.objects.count() == 2


@pytest.mark.django_db
def test_snapshots_of_a_service_are_bounded_and_the_newest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "KEPT", 3)
    Stage().sweep()
    service = Service.objects.get()
    for hour in range(1, 6):
        snapshots.take(service, {"image": f"api:{hour}"}, started_at=NOW + timedelta(hours=hour))
    assert [row.config["image"] for row in service.snapshots.all()] == ["api:5", "api:4", "api:3"]


@pytest.mark.django_db
def test_the_page_compares_the_last_two_and_escapes_them(client: Client, redis_client) -> None:
    stage = Stage()
    stage.sweep(inspected(config=OLD))
    hostile = NEW | {"image": "<img src=x onerror=alert(1)>"}
    stage.sweep(inspected(config=hostile, started_at=NOW))
    client.force_login(world.person("alice", "viewer"))
    page = client.get(f"/services/{Service.objects.get().pk}/").content.decode()
    assert "limits.memory_bytes" in page
    assert "com.docker.compose.config-hash" in page
    assert "<img src=x" not in page


@pytest.mark.docker
@pytest.mark.django_db
def test_a_real_container_is_kept_without_the_values_of_its_environment(
    docker_host: str, busybox_image: str, settings, redis_client
) -> None:
    settings.DOCKER_HOST = docker_host
    with docker_lab(docker_host, busybox_image) as lab:
        made = lab.start(
            "while true; do sleep 1; done",
            environment={"KIWOOM_SECRET_KEY": "hunter2"},
            labels={"com.docker.compose.config-hash": "f00d"},
            mem_limit="64m",
        )
        tasks.collect("docker")
        lab.client.containers.get(made).restart(timeout=0)
        tasks.collect("docker")
    (row,) = ConfigSnapshot.objects.filter(service__runtime_id=made)
    assert row.starts == 2
    assert row.config["image_id"].startswith("sha256:")
    assert "KIWOOM_SECRET_KEY" in row.config["env_names"]
    assert row.config["labels"]["com.docker.compose.config-hash"] == "f00d"
    assert row.config["limits"]["memory_bytes"] == 64 * 1024 * 1024
    assert "hunter2" not in str(row.config)
    assert ServiceState.objects.get(service=row.service).config_hash == row.content_hash
