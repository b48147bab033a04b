"""Sign-in of portal people, staff or not, in the admin's look."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.utils.translation import gettext as _
from unfold.forms import AuthenticationForm as UnfoldForm


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
