"""The self-test's rule and schedule; both can be edited in the admin and are only added when absent."""

from django.db import migrations

RULE = "alarm-self-test"
SETTLE, WEEKLY = "Settle self-tests", "Weekly self-test"
SETTLE_S = 15


def add(apps, schema_editor):
    apps.get_model("monitoring", "Rule").objects.get_or_create(
        name=RULE,
        defaults={
            "kind": "self_test",
            "severity": "warning",
            "open_above": 1,
            "close_below": 1,
            "open_after": 1,
            "close_after": 1,
        },
    )
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    crontab_model = apps.get_model("django_celery_beat", "CrontabSchedule")
    task_model = apps.get_model("django_celery_beat", "PeriodicTask")
    every = interval_model.objects.filter(every=SETTLE_S, period="seconds").first()
    task_model.objects.get_or_create(
        name=SETTLE,
        defaults={
            "task": "monitoring.settle_self_tests",
            "interval": every or interval_model.objects.create(every=SETTLE_S, period="seconds"),
            "expire_seconds": SETTLE_S,
            "queue": "collect",
        },
    )
    # Before the market opens, when somebody is there to read it.
    monday = {"minute": "30", "hour": "8", "day_of_week": "1", "day_of_month": "*", "month_of_year": "*"}
    crontab = crontab_model.objects.filter(**monday, timezone="Asia/Seoul").first()
    task_model.objects.get_or_create(
        name=WEEKLY,
        defaults={
            "task": "monitoring.self_test",
            "crontab": crontab or crontab_model.objects.create(**monday, timezone="Asia/Seoul"),
            "expire_seconds": 3600,
            "queue": "collect",
        },
    )


def remove(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=[SETTLE, WEEKLY]).delete()
    apps.get_model("monitoring", "Rule").objects.filter(name=RULE).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("monitoring", "0012_rule_kinds"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
    ]
    operations = [migrations.RunPython(add, remove)]
