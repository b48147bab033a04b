"""Default beat schedule of the ``ops`` queue; the rows are editable in the admin."""

from django.db import migrations

TASKS = [
    ("Deliver messages", "incidents.deliver", 5),
    ("Resolve green incidents", "incidents.resolve_green", 5),
    ("Verify prevention checklists", "incidents.verify_checklist", 600),
]


def add(apps, schema_editor):
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


def remove(apps, schema_editor):
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    task_model.objects.filter(task__in=[task for _name, task, _seconds in TASKS]).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]

    operations = [migrations.RunPython(add, remove)]
