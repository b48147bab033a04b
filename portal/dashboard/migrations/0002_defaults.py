"""The heartbeat of each queue, every ten seconds."""

import json

from django.db import migrations

PERIOD = 10


def create(apps, schema_editor):
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=PERIOD, period="seconds"
    )
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    for queue in ("collect", "ops"):
        tasks.update_or_create(
            name=f"heartbeat of {queue}",
            defaults={
                "task": "portal.heartbeat",
                "interval": interval,
                "queue": queue,
                "args": json.dumps([queue]),
                "expire_seconds": PERIOD,
            },
        )


def remove(apps, schema_editor):
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    tasks.filter(task="portal.heartbeat").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("dashboard", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(create, remove)]
