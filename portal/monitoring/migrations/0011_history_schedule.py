"""Beat's schedule of roll-ups, pruning and sizes; rows can be edited in the admin and are only added."""

from django.db import migrations

#: name: task, seconds. A message expires after one period.
SCHEDULE = {
    "Roll up history": ("monitoring.roll_up", 60),
    "Measure tables": ("monitoring.measure_tables", 3600),
}
#: Pruning in small batches is run more often; a period that somebody chose is kept.
PRUNE, BEFORE, AFTER = "Prune history", 3600, 300


def add(apps, schema_editor):
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (task, seconds) in SCHEDULE.items():
        task_model.objects.get_or_create(
            name=name,
            defaults={
                "task": task,
                "interval": _interval(interval_model, seconds),
                "expire_seconds": seconds,
                "queue": "collect",
            },
        )
    task_model.objects.filter(name=PRUNE, interval__every=BEFORE, interval__period="seconds").update(
        interval=_interval(interval_model, AFTER), expire_seconds=AFTER
    )


def _interval(model, seconds):
    found = model.objects.filter(every=seconds, period="seconds").first()
    return found or model.objects.create(every=seconds, period="seconds")


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=SCHEDULE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0010_history"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(add, remove)]
