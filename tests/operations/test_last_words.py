"""A container that dies while its incident is open: its last words are frozen, from event to evidence."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from incidents import evidence, services
from incidents import tasks as incident_tasks
from incidents.models import EvidenceKind, Incident, Severity, Trigger
from portal.monitoring import tasks
from portal.monitoring.models import Service
from tests.monitoring.labs import DockerLab

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.docker]
TALK = (
    "echo 'retry with appkey=PSabcdef123456'; "
    "while [ ! -e /end ]; do sleep 0.1; done; echo 'last words'; exit 3"
)


def burning(name: str) -> Incident:
    """An incident of ``name`` that was frozen a minute ago."""
    ago = timezone.now() - timedelta(minutes=1)
    made = services.signal(
        fingerprint=f"service:docker:{name}", key="cpu", title="CPU", service=name,
        severity=Severity.CRITICAL, detail={}, at=ago,
    ).incident  # fmt: skip
    Incident.objects.update(frozen_at=ago)
    return made


def asked(client: redis.Redis) -> list[Any]:
    """The arguments of the freezes of an end that wait for the ops worker."""
    waiting = [json.loads(message) for message in client.lrange("ops", 0, -1)]
    ends = [one["headers"] for one in waiting if one["headers"]["task"] == "incidents.freeze_end"]
    return [(one["argsrepr"], bool(one["expires"])) for one in ends]


def test_the_last_words_of_a_container_are_frozen_masked_once(
    containers: DockerLab, redis_client: redis.Redis
) -> None:
    runtime_id = containers.start(TALK)
    name = str(containers.client.containers.get(runtime_id).name)
    tasks.collect("docker")
    incident = burning(name)
    container = containers.client.containers.get(runtime_id)
    container.exec_run(["touch", "/end"])
    container.wait(timeout=30)
    tasks.collect("docker")
    tasks.collect("docker")
    assert asked(redis_client)[:1] == [(f"[{incident.pk}, '{name}']", True)]

    incident_tasks.freeze_end(incident.pk, name)
    incident_tasks.freeze_end(incident.pk, name)
    rows = {row.kind: row for row in incident.evidence.filter(trigger=Trigger.DIE)}
    assert incident.evidence.count() == len(rows) == 3
    tail = evidence.load(rows[EvidenceKind.LOGS])["tail"]
    assert tail[-1].endswith("last words")
    assert "PSabcdef123456" not in " ".join(tail)
    assert not rows[EvidenceKind.LOGS].partial


def test_a_container_that_is_gone_already_leaves_a_partial_bundle_with_its_reason(
    containers: DockerLab, redis_client: redis.Redis
) -> None:
    runtime_id = containers.start(TALK)
    name = str(containers.client.containers.get(runtime_id).name)
    tasks.collect("docker")
    incident = burning(name)
    containers.client.containers.get(runtime_id).remove(force=True)
    assert Service.objects.filter(name=name).exists()

    incident_tasks.freeze_end(incident.pk, name)
    row = incident.evidence.get(kind=EvidenceKind.LOGS)
    assert row.partial
    assert row.note
