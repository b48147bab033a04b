"""Drills, and the look after those whose process is gone; the schedule can be edited in the admin."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

SETTLE = "Settle drills"
SETTLE_S = 30


def schedule(apps, schema_editor):
    interval_model = apps.get_model("django_celery_beat", "IntervalSchedule")
    every = interval_model.objects.filter(every=SETTLE_S, period="seconds").first()
    apps.get_model("django_celery_beat", "PeriodicTask").objects.get_or_create(
        name=SETTLE,
        defaults={
            "task": "operations.settle_drills",
            "interval": every or interval_model.objects.create(every=SETTLE_S, period="seconds"),
            "expire_seconds": SETTLE_S,
            "queue": "ops",
        },
    )


def unschedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name=SETTLE).delete()


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0004_standing_items'),
        ('operations', '0002_actions'),
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='DrillRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('drill', models.CharField(choices=[('retry-storm', 'Retry storm'), ('accept-then-close', 'Accepted, then closed'), ('mute', 'Mute connection'), ('bad-token', 'Rejected token'), ('log-flood', 'Log flood')], max_length=24, verbose_name='drill')),
                ('state', models.CharField(choices=[('running', 'Running'), ('passed', 'Passed'), ('failed', 'Not passed'), ('aborted', 'Aborted'), ('broken', 'Could not be played')], default='running', max_length=10, verbose_name='result')),
                ('started_at', models.DateTimeField(verbose_name='started')),
                ('username', models.CharField(blank=True, max_length=150, verbose_name='name')),
                ('reason', models.CharField(max_length=300, verbose_name='reason')),
                ('taken_at', models.DateTimeField(blank=True, null=True, verbose_name='begun by a worker')),
                ('seen_at', models.DateTimeField(blank=True, null=True, verbose_name='last sign of life')),
                ('ended_at', models.DateTimeField(blank=True, null=True, verbose_name='ended')),
                ('abort_asked_at', models.DateTimeField(blank=True, null=True, verbose_name='abort asked')),
                ('aborted_by', models.CharField(blank=True, max_length=150, verbose_name='aborted by')),
                ('measured', models.JSONField(blank=True, default=dict, verbose_name='measured')),
                ('checks', models.JSONField(blank=True, default=list, verbose_name='expectations')),
                ('frozen', models.JSONField(blank=True, default=dict, verbose_name="the incident's numbers")),
                ('detail', models.CharField(blank=True, max_length=300, verbose_name='detail')),
                ('incident', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='drills', to='incidents.incident', verbose_name='compared with')),
                ('requested_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL, verbose_name='requested by')),
            ],
            options={
                'verbose_name': 'drill',
                'verbose_name_plural': 'drills',
                'ordering': ['-started_at', '-pk'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('state', 'running')), fields=('state',), name='one_drill_at_a_time')],
            },
        ),
        migrations.RunPython(schedule, unschedule),
    ]
