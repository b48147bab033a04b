"""Portal pages."""

from django.urls import path

from portal.dashboard import actions, charts, login, operations, pages, status, watch

urlpatterns = [
    path("", pages.dashboard, name="dashboard"),
    path("services/", pages.services, name="services"),
    path("services/<int:pk>/", pages.service, name="service"),
    path("services/<int:pk>/chart/", charts.chart, name="service-chart"),
    path("incidents/", pages.incidents, name="incidents"),
    path("incidents/<int:number>/", pages.incident, name="incident"),
    path("incidents/<int:number>/act/", actions.incident, name="incident-action"),
    path("checklist/", pages.checklist, name="checklist"),
    path("gateway/<slug:slot>/", actions.gateway, name="gateway-action"),
    path("feed/operations/", pages.operations, name="feed-operations"),
    path(
        "feed/operations/<str:process>/<slug:connection>/",
        operations.disconnect,
        name="feed-disconnect",
    ),
    path("watch/", watch.page, name="watch"),
    path("watch/self-test/", watch.self_test, name="self-test"),
    path("status/", status.status, name="status"),
    path("login/", login.Login.as_view(), name="login"),
]
