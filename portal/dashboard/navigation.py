"""Sidebar of the shell and the small callbacks that unfold asks for."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from portal.dashboard.access import AUDIT, VIEW


def icon(request: HttpRequest) -> str:
    """Return the URL of the product's icon."""
    return static("portal/icon.svg")


def may_view(request: HttpRequest) -> bool:
    """Whether the portal's pages are open to this person."""
    return request.user.has_perm(VIEW)


def may_audit(request: HttpRequest) -> bool:
    """Whether the audit is open to this person."""
    return may_view(request) and request.user.has_perm(AUDIT)


def is_staff(request: HttpRequest) -> bool:
    """Whether the admin is open to this person."""
    return bool(getattr(request.user, "is_staff", False))


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """Return the navigation: the portal's pages, then the admin."""
    pages = [
        ("dashboard", _("Dashboard"), "monitoring"),
        ("services", _("Services"), "dns"),
        ("alerts", _("Alerts"), "notifications"),
        ("monitors", _("Monitors"), "network_check"),
        ("incidents", _("Incidents"), "local_fire_department"),
        ("checklist", _("Checklist"), "checklist"),
        ("drills", _("Drills"), "fire_extinguisher"),
        ("posture", _("Posture"), "shield"),
        ("messages", _("Messages"), "outbox"),
        ("feed", _("Feed"), "candlestick_chart"),
        ("feed-operations", _("Feed operations"), "lan"),
        ("audit", _("Audit"), "fact_check"),
        ("watch", _("Bonghwa itself"), "visibility"),
    ]
    here = request.path
    matching = [link for link in (reverse(name) for name, _title, _symbol in pages) if here.startswith(link)]
    active = max(matching, key=len, default="")
    items = [
        {
            "title": title,
            "icon": symbol,
            "link": reverse(name),
            "active": active == reverse(name) and (name != "dashboard" or here == active),
            "permission": may_audit if name == "audit" else may_view,
        }
        for name, title, symbol in pages
    ]
    manage = {
        "title": _("Administration"),
        "icon": "settings",
        "link": reverse("admin:index"),
        "active": here.startswith(reverse("admin:index")),
        "permission": is_staff,
    }
    return [{"items": items}, {"separator": True, "items": [manage]}]


def no_inline_colors(request: HttpRequest) -> dict[str, dict[str, str]]:
    """Give unfold no colours to write into a page, whose policy refuses inline styles."""
    return {}
