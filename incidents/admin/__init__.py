"""Admin of the incident records: a door to the services, no second place for rules."""

from incidents.admin.audit import AuditEntryAdmin
from incidents.admin.channel import ChannelAdmin
from incidents.admin.checklist import ChecklistItemAdmin
from incidents.admin.incident import IncidentAdmin
from incidents.admin.records import EvidenceAdmin, NotificationAdmin, TimelineEventAdmin
from incidents.admin.report import ReportAdmin

__all__ = [
    "AuditEntryAdmin",
    "ChannelAdmin",
    "ChecklistItemAdmin",
    "EvidenceAdmin",
    "IncidentAdmin",
    "NotificationAdmin",
    "ReportAdmin",
    "TimelineEventAdmin",
]
