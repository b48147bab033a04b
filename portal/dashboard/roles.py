"""The four roles as groups. A role that exists is never changed: people may have edited it."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db.models import Q

#: Apps whose rows the portal shows.
SHOWN = ("incidents", "monitoring", "operations", "gateway")


def create_roles(sender: AppConfig, using: str = "default", **_: Any) -> None:
    """Create viewer, operator, editor and admin where they are missing (receiver of ``post_migrate``)."""
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    names = {"viewer", "operator", "editor", "admin"}
    missing = names - set(Group.objects.using(using).filter(name__in=names).values_list("name", flat=True))
    if not missing:
        return
    for config in apps.get_app_configs():
        create_permissions(config, verbosity=0, using=using)
    shown = Q(content_type__app_label__in=SHOWN)
    see = Q(codename="view_portal") | shown & Q(codename__startswith="view_")
    act = see | Q(codename="operate")
    edit = act | shown & (Q(codename__startswith="change_") | Q(codename__startswith="add_"))
    rights = {"viewer": see, "operator": act, "editor": edit, "admin": Q()}
    for name in sorted(missing):
        group = Group.objects.using(using).create(name=name)
        group.permissions.set(Permission.objects.using(using).filter(rights[name]))
