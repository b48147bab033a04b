"""Who watches the watcher: both workers look at beat and at each other, and the dead-man URL is pinged."""

from django.db import migrations

#: name: task, queue, seconds.
SCHEDULE = {
    "Watch beat and workers (collect)": ("portal.watch", "collect", 15),
    "Watch beat and workers (ops)": ("portal.watch", "ops", 15),
    "Ping the dead-man URL": ("portal.dead_man", "ops", 60),
}


def create(apps, schema_editor):
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (task, queue, seconds) in SCHEDULE.items():
        interval = interval_model.objects.filter(every=seconds, period="seconds").first()
        task_model.objects.get_or_create(
            name=name,
            defaults={
                "task": task,
                "interval": interval or interval_model.objects.create(every=seconds, period="seconds"),
                "queue": queue,
                "expire_seconds": seconds,
            },
        )


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=SCHEDULE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("dashboard", "0002_defaults"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(create, remove)]
