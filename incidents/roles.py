"""The four groups and their permissions, by codename, in whatever apps exist.

``viewer`` sees, ``operator`` acts on incidents and checks measures, ``editor`` also writes reports and
enters market days, ``admin`` may do everything but is no superuser. Permissions are created after a
migration, so the groups are filled then; calling it again only adds what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group, Permission
from django.db.models import Q

VIEWER, OPERATOR, EDITOR, ADMIN = "viewer", "operator", "editor", "admin"
#: Apps whose rows every role may see.
APPS = ("incidents", "monitoring", "operations", "gateway", "dashboard")
#: Rows that hold credentials, access itself or what people did: not for every role.
GUARDED = frozenset(
    {
        *("feedkey", "historicalfeedkey", "prober", "historicalprober", "historicalendpoint"),
        *("channel", "historicalchannel", "user", "group", "auditentry"),
    }
)
_SECTIONS = (
    *("report", "statusrow", "problemdetail", "accessrow", "causerow", "codeproblem", "emergencycommand"),
    *("fixrow", "proxychange", "longtermitem", "reportfile", "extrasection"),
)
#: The audit names people and the names that were mistyped at the door, so viewers do not see it.
OPERATOR_CODES = frozenset({"change_incident", "change_checklistitem", "view_auditentry"})
EDITOR_CODES = OPERATOR_CODES | {
    f"{verb}_{model}" for verb in ("add", "change", "delete") for model in (*_SECTIONS, "checklistitem")
}
MARKET_CODES = frozenset({"add_marketday", "change_marketday", "delete_marketday"})


def sync_roles(**_signal: Any) -> None:
    """Create the groups and give them the permissions that exist now; a ``post_migrate`` handler."""
    ours = Permission.objects.filter(content_type__app_label__in=APPS)
    views = ours.filter(codename__startswith="view_").exclude(content_type__model__in=GUARDED)
    beat = Permission.objects.filter(content_type__app_label="django_celery_beat")
    people = Permission.objects.filter(Q(content_type__app_label="auth", content_type__model__in=GUARDED))
    incidents = ours.filter(content_type__app_label="incidents")
    _grant(VIEWER, views)
    operate = ours.filter(content_type__app_label="dashboard", codename="operate")
    _grant(OPERATOR, views, operate, incidents.filter(codename__in=OPERATOR_CODES))
    market = ours.filter(content_type__app_label="gateway", codename__in=MARKET_CODES)
    _grant(EDITOR, views, operate, incidents.filter(codename__in=EDITOR_CODES), market)
    _grant(ADMIN, ours, beat, people)


def _grant(name: str, *permissions: Iterable[Permission]) -> None:
    group, _created = Group.objects.get_or_create(name=name)
    group.permissions.add(*(one for some in permissions for one in some))
