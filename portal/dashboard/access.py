"""Who may see and who may act; the two permissions that the portal's pages ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_POST

VIEW = "dashboard.view_portal"
OPERATE = "dashboard.operate"
AUDIT = "incidents.view_auditentry"

View = Callable[..., HttpResponseBase]


def viewer_required(view: View) -> View:
    """Ask for a signed-in person who may see the portal; anybody else signed in gets 403."""

    @login_required
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(VIEW):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked


def operator_action(view: View) -> View:
    """Ask for a POST by a signed-in operator; anybody else signed in gets 403."""

    @login_required
    @require_POST
    @wraps(view)
    def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(OPERATE):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return checked
