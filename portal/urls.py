"""URLs: the portal's pages, the admin, the API and the gateway's HTTP paths."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from portal.api import api, documentation
from portal.metrics import metrics

urlpatterns = [
    path("", include("portal.dashboard.urls")),
    path("", include("gateway.urls")),
    path("api/v1/", api.urls),
    path("api/docs", documentation, name="api-docs"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("metrics", metrics, name="metrics"),
    # The admin's own refuses people who are not staff, and so leaves them signed in.
    path("admin/logout/", LogoutView.as_view(next_page="login")),
    path("admin/", admin.site.urls),
]

handler500 = "portal.errors.server_error"
