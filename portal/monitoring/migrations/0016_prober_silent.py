"""A prober that falls silent is told: its endpoints turn unknown, of which no rule of theirs speaks.

It asks for its list once a minute, and its last use is noted once a minute: 180 s are missed twice.
"""

from django.db import migrations

NAME = "prober-silent"


def add(apps, schema_editor):
    apps.get_model("monitoring", "Rule").objects.get_or_create(
        name=NAME,
        defaults={
            "kind": "prober",
            "severity": "warning",
            "open_above": 180,
            "close_below": 130,
            "open_after": 1,
            "close_after": 1,
        },
    )


def remove(apps, schema_editor):
    apps.get_model("monitoring", "Rule").objects.filter(name=NAME).delete()


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0015_prober_kind")]
    operations = [migrations.RunPython(add, remove)]
