"""A database in which every kind of row occurs that a backup has to carry, and what it looks like."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from gateway.models import FeedKey
from incidents import audit, evidence, registry, timeline, vault
from incidents.checklist import record_run
from incidents.models import Channel, ChecklistItem, Evidence, VersionKind
from incidents.models.checklist import Outcome
from incidents.reports.drafting import draft_report
from incidents.reports.importing import import_text, read_file
from incidents.reports.versions import edit
from portal.backup.tables import Model, carried
from portal.monitoring.models import Observation, Rule, Service, ServiceState
from portal.operations.models import OperatorAction
from tests.incidents.conftest import fire
from tests.incidents.measured import freeze

SECRETS = {"address": "json://pager.example/hunter2", "password": "correct-horse-battery", "name": "페이저"}


def fill(report: Path) -> None:
    """Put one of everything there, with Korean text, microseconds, blobs, JSON and empty columns."""
    now = timezone.now().replace(microsecond=123_457)
    person = User.objects.create_user("운영자", password=SECRETS["password"])
    person.groups.add(Group.objects.earliest("pk"))
    person.user_permissions.add(Permission.objects.get(codename="operate"))
    person.user_permissions.add(Permission.objects.get(codename="view_auditentry"))
    LogEntry.objects.create(
        user=person,
        content_type=ContentType.objects.get_for_model(Rule),
        object_id="1",
        object_repr="규칙",
        action_flag=CHANGE,
    )
    Channel.objects.create(
        name=SECRETS["name"], address=vault.seal(SECRETS["address"]), hours_from=now.time()
    )
    key = FeedKey(name="trader", owner=person, types=["0B"])
    key.make_secret()
    key.save()
    rule = Rule.objects.order_by("pk").first()
    assert rule is not None
    rule.save()  # leaves a row of history
    api, store = (
        Service.objects.create(runtime="docker", name=name, discovered_at=now) for name in ("api", "db")
    )
    api.depends_on.add(store)
    ServiceState.objects.create(service=api, at=now, inspect={"나": [1, 2.5, None, {"z": 1, "a": 0.1}]})
    Observation.objects.bulk_create(
        Observation(service=api, at=now + timedelta(seconds=n), cpu_percent=n / 7) for n in range(700)
    )
    OperatorAction.objects.create(
        service=api, service_name="api", verb="restart", state="done", requested_at=now
    )

    imported = import_text(text=read_file(report), name=report.name, now=now).incident
    item = ChecklistItem.objects.filter(report__incident=imported).order_by("pk").first()
    assert item is not None
    verdict = registry.Verdict(Outcome.PASS, "2 GiB", "inspect")
    record_run(item=item, verdict=verdict, now=now)
    with edit(imported.report, kind=VersionKind.EDITED, at=now, actor=person) as held:
        held.root_cause = "무한 재시도"
        held.save()
    incident = fire(at=now).incident
    freeze(incident)
    draft_report(incident=incident, now=now + timedelta(minutes=1))
    timeline.add_note(incident=incident, text="확인 중", at=now, actor=person)
    for number in range(5):
        audit.record(
            action="service.restart",
            actor=person,
            target=f"api-{number}",
            reason="느리다",
            after={"n": number},
        )


def seen(*, history: bool) -> dict[str, Any]:
    """Return every carried row, as values of its columns; ids of content types and permissions aside."""
    return {model._meta.label_lower: _rows(model) for model in carried(history=history)} | {
        "grants": sorted(
            [
                *Group.objects.values_list(
                    "name", "permissions__content_type__model", "permissions__codename"
                ),
                *User.objects.values_list("username", "user_permissions__codename", "groups__name"),
            ],
            key=str,
        ),
        "logged": list(LogEntry.objects.values_list("object_repr", "content_type__model")),
        "evidence read": [dict(evidence.load(row)) for row in Evidence.objects.order_by("pk")],
    }


def _rows(model: Model) -> list[tuple[Any, ...]]:
    columns = [
        field.attname
        for field in model._meta.local_concrete_fields
        if field.remote_field is None or field.remote_field.model not in (ContentType, Permission)
    ]
    rows = model._base_manager.order_by("pk").values_list(*columns)
    return [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]
