"""Template context of every page: the shell's navigation and its notices."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from gateway.config import Mode
from incidents import channels


def shell(request: HttpRequest) -> dict[str, Any]:
    """Return what the shell shows on every page. Portal pages also get the admin site's shell."""
    context: dict[str, Any] = {
        "portal": {
            "no_channel": _no_channel(request),
            "simulator": settings.GATEWAY_UPSTREAM.mode is Mode.SIMULATOR,
            "now": timezone.now(),
        }
    }
    match = getattr(request, "resolver_match", None)
    if match is None or match.app_name == "admin" or not hasattr(request, "user"):
        return context
    site: Any = admin.site
    context |= site.each_context(request)
    if request.user.is_authenticated and not context["has_permission"]:
        context["has_permission"] = True
        context["sidebar_navigation"] = site.get_sidebar_list(request)
    return context


def _no_channel(request: HttpRequest) -> bool:
    """Whether to say that nobody is told: asked once for a request, which renders several templates."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return False
    kept = request.__dict__
    if "no_channel" not in kept:
        kept["no_channel"] = not channels.is_any_set()
    return bool(kept["no_channel"])
