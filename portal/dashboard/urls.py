"""Portal pages."""

from django.urls import path

from portal.dashboard import actions, login, monitors, operations, pages, status

urlpatterns = [
    path("", pages.dashboard, name="dashboard"),
    path("services/", pages.services, name="services"),
    path("services/<int:pk>/", pages.service, name="service"),
    path("services/<int:pk>/chart/", pages.chart, name="service-chart"),
    path("incidents/", pages.incidents, name="incidents"),
    path("incidents/<int:number>/", pages.incident, name="incident"),
    path("incidents/<int:number>/act/", actions.incident, name="incident-action"),
    path("monitors/", monitors.monitors, name="monitors"),
    path("monitors/add/", monitors.add, name="monitor-add"),
    path("monitors/<int:pk>/", monitors.change, name="monitor-change"),
    path("checklist/", pages.checklist, name="checklist"),
    path("gateway/<slug:slot>/", actions.gateway, name="gateway-action"),
    path("feed/operations/", pages.operations, name="feed-operations"),
    path(
        "feed/operations/<str:process>/<slug:connection>/",
        operations.disconnect,
        name="feed-disconnect",
    ),
    path("status/", status.status, name="status"),
    path("login/", login.Login.as_view(), name="login"),
]
