"""Template context of every page: the shell's navigation and its notices."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from gateway.config import Mode
from portal.dashboard.notices import Notices, look


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return what the shell shows on every page. Portal pages also get the admin site's shell."""
    context: dict[str, Any] = {
        "portal": {
            "notices": _notices(request),
            "simulator": settings.GATEWAY_UPSTREAM.mode is Mode.SIMULATOR,
            "now": timezone.now(),
        }
    }
    match = getattr(request, "resolver_match", None)
    if match is None or match.app_name == "admin" or not hasattr(request, "user"):
        return context
    made: dict[str, Any] = request.__dict__.setdefault("admin_shell", {})
    made.update(made or _admin_shell(request))
    return context | made


def _admin_shell(request: HttpRequest) -> dict[str, Any]:
    """Return what the admin's own pages get, made once for a request, which renders several templates."""
    site: Any = admin.site
    shell: dict[str, Any] = site.each_context(request)
    if request.user.is_authenticated and not shell["has_permission"]:
        shell["has_permission"] = True
        shell["sidebar_navigation"] = site.get_sidebar_list(request)
    return shell


def _notices(request: HttpRequest) -> Notices:
    """Look once for a request, and for nobody who is not signed in."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return Notices()
    kept: Notices | None = request.__dict__.get("shell_notices")
    if kept is None:
        kept = request.__dict__["shell_notices"] = look()
    return kept
