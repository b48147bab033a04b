"""Rows that the constraints to come rely on, and the schedule of the new tasks (editable in the admin)."""

from django.db import migrations
from django.db.models import F, OuterRef, Subquery

OPEN = ["detected", "acknowledged", "mitigated"]
TASKS = [
    ("Append the minutes after an incident", "incidents.append_after", 60),
    ("Remind of reports and measures", "incidents.remind_due", 3600),
]


def fill(apps, schema_editor):
    incidents = apps.get_model("incidents", "Incident")
    incidents.objects.filter(state__in=OPEN).exclude(resolved_at=None).update(resolved_at=None)
    incidents.objects.exclude(state__in=OPEN).filter(resolved_at=None).update(resolved_at=F("opened_at"))
    signals = apps.get_model("incidents", "IncidentSignal").objects
    mine = incidents.objects.filter(pk=OuterRef("incident")).values("fingerprint")
    signals.filter(cleared_at=None, incident__state__in=OPEN).update(origin=Subquery(mine))


def schedule(apps, schema_editor):
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, task, seconds in TASKS:
        interval = interval_model.objects.filter(every=seconds, period="seconds").first()
        if interval is None:
            interval = interval_model.objects.create(every=seconds, period="seconds")
        task_model.objects.get_or_create(
            name=name,
            defaults={"task": task, "interval": interval, "queue": "ops", "expire_seconds": seconds},
        )


def unschedule(apps, schema_editor):
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    task_model.objects.filter(task__in=[task for _name, task, _seconds in TASKS]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0006_lifecycle"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.RunPython(schedule, unschedule),
    ]
