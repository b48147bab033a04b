"""URLs: the portal's pages, the admin, the API and the gateway's HTTP paths."""

from django.contrib import admin
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
    path("admin/", admin.site.urls),
]
