"""What the resolver knows: every address of the portal and of the admin with its view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

#: What only leads elsewhere, and shows nothing itself.
LEADS_ON = ("r/<path:content_type_id>/<path:object_id>/", "(?P<url>.*)$", "^(?P<app_label>")
ADMIN = "admin/"
#: Ours, and not the admin's, which only staff may use.
LOGOUT = "admin/logout/"
_ROW = "<path:object_id>/"
#: What the admin has for each model; the last one is an old version of a row.
_PAGES = {
    "": "list",
    "add/": "add",
    _ROW: "lead",
    **{f"{_ROW}{name}/": name for name in ("change", "delete", "history")},
    "^([^/]+)/history/([^/]+)/$": "version",
}


def portal_addresses() -> dict[str, URLPattern]:
    """Every address outside of the admin."""
    return {route: one for route, one in _all().items() if not route.startswith(ADMIN) or route == LOGOUT}


def admin_addresses() -> dict[str, URLPattern]:
    """Every address of the admin, without ``admin/`` before it."""
    inside = {route.removeprefix(ADMIN): one for route, one in _all().items() if route.startswith(ADMIN)}
    return {
        route: one
        for route, one in inside.items()
        if ADMIN + route != LOGOUT and not route.startswith(LEADS_ON)
    }


def registered() -> set[str]:
    """The models that the admin shows."""
    return {model._meta.label_lower for model in admin.site._registry}


def page_of_model(route: str) -> tuple[str, str] | None:
    """Return the model and the page of an address that the admin has for every model, None for any other."""
    app, model, page = [*route.split("/", 2), "", ""][:3]
    label = f"{app}.{model}"
    return (label, _PAGES[page]) if label in registered() and page in _PAGES else None


def _all() -> dict[str, URLPattern]:
    """The first view of every address: that is the one that answers."""
    found: dict[str, URLPattern] = {}
    for route, pattern in _walk(get_resolver().url_patterns):
        found.setdefault(route, pattern)
    return found


def _walk(patterns: Any, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from _walk(one.url_patterns, route)
        else:
            yield route, one


__all__ = ["LEADS_ON", "LOGOUT", "admin_addresses", "page_of_model", "portal_addresses", "registered"]
