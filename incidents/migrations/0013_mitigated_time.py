from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Coalesce


def settle(apps, schema_editor):
    """Give open incidents the time of mitigation that their state needs, and take it where it says otherwise."""
    incidents = apps.get_model("incidents", "Incident").objects.using(schema_editor.connection.alias)
    incidents.filter(state="mitigated", mitigated_at=None).update(
        mitigated_at=Coalesce("acknowledged_at", "reopened_at", "opened_at")
    )
    incidents.filter(state__in=["detected", "acknowledged"]).exclude(mitigated_at=None).update(mitigated_at=None)


class Migration(migrations.Migration):

    dependencies = [
        ('incidents', '0012_checklist_age'),
    ]

    operations = [
        migrations.RunPython(settle, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name='incident',
            constraint=models.CheckConstraint(
                condition=Q(('mitigated_at', None), ('state__in', ['detected', 'acknowledged']))
                | Q(('mitigated_at__isnull', False), ('state', 'mitigated'))
                | Q(('state__in', ['resolved', 'reviewed', 'closed'])),
                name='mitigated_incidents_have_their_time',
            ),
        ),
    ]
