"""Portal pages."""

from django.urls import path

from portal.dashboard import (
    actions,
    alerts,
    charts,
    login,
    monitors,
    operations,
    pages,
    posture,
    rules,
    status,
    tail,
    watch,
)

urlpatterns = [
    path("", pages.dashboard, name="dashboard"),
    path("services/", pages.services, name="services"),
    path("services/<int:pk>/", pages.service, name="service"),
    path("services/<int:pk>/chart/", charts.chart, name="service-chart"),
    path("services/<int:pk>/tail/", tail.start, name="tail-open"),
    path("services/<int:pk>/tail/<int:opening>/", tail.lines, name="tail-lines"),
    path("services/<int:pk>/tail/<int:opening>/close/", tail.stop, name="tail-close"),
    path("incidents/", pages.incidents, name="incidents"),
    path("incidents/<int:number>/", pages.incident, name="incident"),
    path("incidents/<int:number>/act/", actions.incident, name="incident-action"),
    path("alerts/", pages.alerts, name="alerts"),
    path("alerts/<int:pk>/", alerts.alert, name="alert"),
    path("rules/", rules.rules, name="rules"),
    path("rules/<int:pk>/", rules.rule, name="rule"),
    path("monitors/", monitors.monitors, name="monitors"),
    path("monitors/add/", monitors.add, name="monitor-add"),
    path("monitors/<int:pk>/", monitors.change, name="monitor-change"),
    path("checklist/", pages.checklist, name="checklist"),
    path("posture/", posture.page, name="posture"),
    path("posture/add/", posture.add, name="posture-add"),
    path("messages/", pages.messages, name="messages"),
    path("messages/<int:pk>/retry/", actions.retry, name="message-retry"),
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
