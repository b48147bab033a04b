"""Default rules and beat's schedule; both can be edited in the admin and are only added when absent."""

from django.db import migrations

#: name: kind, severity, bad at or above, good below, open after, close after (samples; a sweep is 5 s, a
#: round of probes 10 s).
RULES = {
    "health-streak": ("failing_streak", "critical", 3, 1, 1, 1),
    "cpu-sustained": ("cpu", "critical", 90, 70, 6, 3),
    "memory-limit": ("memory_limit", "critical", 90, 80, 3, 3),
    "memory-no-limit": ("memory_no_limit", "warning", 2048, 1800, 3, 3),
    "log-flood": ("log_flood", "critical", 100, 50, 3, 3),
    "probe-failing": ("probe", "critical", 1, 1, 3, 2),
    "gateway-not-live": ("gateway", "critical", 30, 1, 1, 2),
    "service-silent": ("silent", "warning", 15, 5, 1, 1),
    "restart-loop": ("restarts", "critical", 3, 1, 1, 1),
    "not-running": ("down", "critical", 1, 1, 2, 1),
}

#: name: task, arguments, seconds. A message expires after one period, so that a stalled worker does not
#: work off a backlog of stale sweeps.
SCHEDULE = {
    "Sweep containers": ("monitoring.collect", '["docker"]', 5),
    "Sweep processes": ("monitoring.collect", '["process"]', 5),
    "Probe endpoints": ("monitoring.probe", "[]", 10),
    "Watch the gateway": ("monitoring.watch_gateway", "[]", 5),
    "Prune history": ("monitoring.prune", "[]", 3600),
}


def add(apps, schema_editor):
    rule_model = apps.get_model("monitoring", "Rule")
    for name, (kind, severity, above, below, opens, closes) in RULES.items():
        rule_model.objects.get_or_create(
            name=name,
            defaults={
                "kind": kind,
                "severity": severity,
                "open_above": above,
                "close_below": below,
                "open_after": opens,
                "close_after": closes,
            },
        )
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    for name, (task, arguments, seconds) in SCHEDULE.items():
        interval, _ = interval_model.objects.get_or_create(every=seconds, period="seconds")
        task_model.objects.get_or_create(
            name=name,
            defaults={
                "task": task,
                "args": arguments,
                "interval": interval,
                "expire_seconds": seconds,
                "queue": "collect",
            },
        )


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=SCHEDULE).delete()
    apps.get_model("monitoring", "Rule").objects.filter(name__in=RULES).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0001_initial"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(add, remove)]
