"""Sign-in of portal people, staff or not, in the admin's look."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm as UnfoldForm

from gateway.limits import client_address


class PortalForm(UnfoldForm):  # type: ignore[misc] # unfold has no types
    """The admin's form without its demand that everybody is staff."""

    def confirm_login_allowed(self, user: Any) -> None:
        """Refuse only inactive people."""
        AuthenticationForm.confirm_login_allowed(self, user)


class Login(LoginView):
    """Signs in and goes where the person wanted to go."""

    template_name = "admin/login.html"
    authentication_form = PortalForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the admin's shell, which the template needs."""
        context = super().get_context_data(**kwargs)
        shell = admin.site.each_context(self.request)
        return {**shell, **context, "title": _("Sign in"), "app_path": self.request.get_full_path()}


def address(request: HttpRequest) -> str:
    """Return the address that sign-ins are counted and audited by: the person's, behind trusted proxies too.

    For IPv6 it is the first of the /64.
    """
    peer = request.META.get("REMOTE_ADDR") or ""
    found = client_address(peer, request.headers.get("X-Forwarded-For", ""), settings.TRUSTED_PROXIES)
    return found.partition("/")[0]


def locked_out(request: HttpRequest, *_given: Any) -> HttpResponse:
    """Say how long to wait; the same for names that exist and for names that do not."""
    wait = round(settings.AXES_COOLOFF_TIME * 3600)
    context = {"minutes": wait // 60}
    response = render(request, "portal/locked_out.html", context, status=429)
    response["Retry-After"] = str(wait)
    return response
