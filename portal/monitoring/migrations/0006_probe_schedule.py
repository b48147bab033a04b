"""Look for due endpoints every 5 s (each has its own interval), and name the purpose of those from labels."""

from django.db import migrations

NAME, OLD, NEW = "Probe endpoints", 10, 5
PURPOSES = {"http": "HTTP", "websocket": "WebSocket"}


def update(apps, schema_editor):
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(
        every=NEW, period="seconds"
    )
    tasks = apps.get_model("django_celery_beat", "PeriodicTask").objects
    tasks.filter(name=NAME, interval__every=OLD, interval__period="seconds").update(
        interval=interval, expire_seconds=NEW
    )
    endpoints = apps.get_model("monitoring", "Endpoint").objects
    for kind, purpose in PURPOSES.items():
        endpoints.filter(kind=kind, from_label=True, purpose="").update(purpose=purpose)


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0005_probes"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(update, migrations.RunPython.noop)]
