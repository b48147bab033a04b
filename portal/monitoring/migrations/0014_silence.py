"""A service counts as silent after a minute. Unless somebody edited the rule.

A slow Engine is looked at every 20 s and a sweep may take 20 s, so that 15 s without a reading is a busy
machine: one late sweep opened an incident for each service at once.
"""

from django.db import migrations

NAME, BEFORE, AFTER = "service-silent", 15, 60


def _change(apps, was, becomes):
    rules = apps.get_model("monitoring", "Rule").objects
    shipped = rules.filter(name=NAME, kind="silent", severity="warning", close_below=5, open_after=1)
    shipped.filter(open_above=was).update(open_above=becomes)


def raise_limit(apps, schema_editor):
    _change(apps, BEFORE, AFTER)


def lower_limit(apps, schema_editor):
    _change(apps, AFTER, BEFORE)


class Migration(migrations.Migration):
    dependencies = [("monitoring", "0013_self_test")]
    operations = [migrations.RunPython(raise_limit, lower_limit)]
