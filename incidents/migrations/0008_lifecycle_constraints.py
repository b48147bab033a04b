from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0007_lifecycle_data'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('resolved_at', None), ('state__in', ['detected', 'acknowledged', 'mitigated'])), models.Q(('resolved_at__isnull', False), ('state__in', ['resolved', 'reviewed', 'closed'])), _connector='OR'), name='resolved_incidents_have_their_time'),
        ),
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.CheckConstraint(condition=models.Q(('merged_into', None), models.Q(models.Q(('merged_into', models.F('id')), _negated=True), models.Q(('state__in', ['detected', 'acknowledged', 'mitigated']), _negated=True)), _connector='OR'), name='merged_incidents_stay_resolved'),
        ),
        migrations.AddConstraint(
            model_name='incidentsignal',
            constraint=models.UniqueConstraint(condition=models.Q(('cleared_at', None)), fields=('incident', 'origin', 'key'), name='one_open_signal_per_key'),
        ),
        migrations.AddConstraint(
            model_name='incidentsignal',
            constraint=models.UniqueConstraint(condition=models.Q(('cleared_at', None), models.Q(('origin', ''), _negated=True)), fields=('origin', 'key'), name='one_open_signal_per_alert'),
        ),
        migrations.AddConstraint(
            model_name='notification',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'digest')), fields=('kind', 'occurrence'), name='one_digest_per_week'),
        ),
    ]
