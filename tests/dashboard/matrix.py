"""Who may ask for what: the table of all addresses that :mod:`tests.dashboard.test_matrix` walks.

A level names the first role that is answered; all after it are too. ``None`` is a method that nobody may use.
"""

from __future__ import annotations

ANYBODY, SIGNED_IN, VIEWER, OPERATOR, EDITOR, ADMIN, NOBODY = range(7)
#: People in the order of their rights. The second is signed in without a role.
ROLES = ("anonymous", "no role", "viewer", "operator", "editor", "admin")
SEES = (VIEWER, VIEWER)
READS = (VIEWER, None)

#: Levels of GET and POST by address. A POST with GET's level is answered as a GET is unless it acts.
PORTAL: dict[str, tuple[int | None, int | None]] = {
    "": SEES,
    "services/": SEES,
    "services/<int:pk>/": SEES,
    "services/<int:pk>/act/<slug:verb>/": (OPERATOR, OPERATOR),
    "services/<int:pk>/chart/": SEES,
    "services/<int:pk>/tail/": (None, OPERATOR),
    "services/<int:pk>/tail/<int:opening>/": (OPERATOR, None),
    "services/<int:pk>/tail/<int:opening>/close/": (None, OPERATOR),
    "incidents/": SEES,
    "incidents/<int:number>/": SEES,
    "incidents/import/": (EDITOR, EDITOR),
    "incidents/<int:number>/report/": SEES,
    "incidents/<int:number>/report/edit/": (EDITOR, EDITOR),
    "incidents/<int:number>/report/draft/": (EDITOR, EDITOR),
    "incidents/<int:number>/report/versions/": SEES,
    "incidents/<int:number>/report/act/": (None, EDITOR),
    "incidents/<int:number>/report/print/<slug:kind>/": SEES,
    "incidents/<int:number>/report/export/<slug:kind>.<slug:fmt>": SEES,
    "incidents/<int:number>/act/": (None, OPERATOR),
    "incidents/<int:number>/evidence.zip": (EDITOR, None),
    "incidents/<int:number>/evidence/<int:pk>/": (EDITOR, None),
    "alerts/": SEES,
    "alerts/<int:pk>/": (VIEWER, OPERATOR),
    "audit/": (OPERATOR, None),
    "rules/": SEES,
    "rules/<int:pk>/": SEES,
    "monitors/": SEES,
    "monitors/add/": (OPERATOR, OPERATOR),
    "monitors/<int:pk>/": (OPERATOR, OPERATOR),
    "checklist/": SEES,
    "checklist/add/": (EDITOR, EDITOR),
    "checklist/packs/": (VIEWER, EDITOR),
    "checklist/<int:pk>/": SEES,
    "checklist/<int:pk>/act/": (None, OPERATOR),
    "checklist/<int:pk>/edit/": (EDITOR, EDITOR),
    "checklist/<int:pk>/delete/": (EDITOR, EDITOR),
    "drills/": SEES,
    "drills/start/": (None, OPERATOR),
    "drills/<int:pk>/": SEES,
    "drills/<int:pk>/abort/": (None, OPERATOR),
    "drills/<int:pk>/items/<int:item>/": (None, EDITOR),
    "posture/": SEES,
    "posture/add/": (None, EDITOR),
    "messages/": SEES,
    "messages/<int:pk>/retry/": (OPERATOR, OPERATOR),
    "gateway/<slug:slot>/": (None, OPERATOR),
    "feed/operations/": SEES,
    "feed/operations/<str:process>/<slug:connection>/": (OPERATOR, OPERATOR),
    "watch/": SEES,
    "watch/self-test/": (None, OPERATOR),
    "status/": (ANYBODY, ANYBODY),
    "login/": (ANYBODY, ANYBODY),
    "oauth2/token": (None, ANYBODY),
    "oauth2/revoke": (None, ANYBODY),
    "feed/": (SIGNED_IN, None),
    "docs/feed/": (ANYBODY, None),
    "api/v1/openapi.json": SEES,
    "api/v1/gateway": READS,
    "api/v1/services": READS,
    "api/v1/incidents": READS,
    "api/v1/checklist": READS,
    "api/v1/feed/tickets": (None, SIGNED_IN),
    "api/v1/quotes": (SIGNED_IN, None),
    "api/v1/probes/assigned": (NOBODY, None),
    "api/v1/probes/push": (None, NOBODY),
    "api/v1/incidents/<number>": READS,
    "api/v1/incidents/<number>/moves": (None, OPERATOR),
    "api/v1/": (ANYBODY, ANYBODY),
    "api/docs": SEES,
    "i18n/setlang/": (ANYBODY, ANYBODY),
    "metrics": (VIEWER, VIEWER),
    "admin/logout/": (None, ANYBODY),
}
#: Forms that need no token: their callers send credentials in each request, no cookie.
EXEMPT = ("oauth2/token", "oauth2/revoke", "api/v1/probes/push")
#: Asked by programs, which are told 403 and not led to the sign-in.
BY_PROGRAMS = ("metrics",)
#: Models whose old versions nobody brings back.
HISTORY_TELLS = ("gateway.feedkey", "monitoring.endpoint", "monitoring.prober", "incidents.channel")
#: Addresses whose GET records who took a copy.
RECORDED = ("incidents/<int:number>/evidence.zip", "incidents/<int:number>/evidence/<int:pk>/")

#: Levels of the admin's models: to look, add, change and delete.
_RECORDS = (VIEWER, NOBODY, NOBODY, NOBODY)
_ADMINS = (ADMIN, ADMIN, ADMIN, ADMIN)
_SETUP = (VIEWER, ADMIN, ADMIN, ADMIN)
MODELS: dict[str, tuple[int, int, int, int]] = {
    "gateway.feedkey": (ADMIN, ADMIN, ADMIN, NOBODY),
    "gateway.feeddisconnection": _RECORDS,
    "gateway.marketday": (VIEWER, EDITOR, EDITOR, EDITOR),
    "gateway.gatewaycommand": _RECORDS,
    "auth.user": _ADMINS,
    "auth.group": _ADMINS,
    "django_celery_beat.periodictask": _ADMINS,
    "django_celery_beat.intervalschedule": _ADMINS,
    "django_celery_beat.crontabschedule": _ADMINS,
    "incidents.auditentry": (OPERATOR, NOBODY, NOBODY, NOBODY),
    "incidents.channel": _ADMINS,
    "incidents.checklistitem": (VIEWER, EDITOR, OPERATOR, EDITOR),
    "incidents.itempack": (VIEWER, EDITOR, EDITOR, EDITOR),
    "incidents.incident": (VIEWER, NOBODY, OPERATOR, ADMIN),
    "incidents.evidence": _RECORDS,
    "incidents.timelineevent": _RECORDS,
    "incidents.notification": _RECORDS,
    "incidents.report": (VIEWER, NOBODY, EDITOR, EDITOR),
    "monitoring.rule": _SETUP,
    "monitoring.alert": _RECORDS,
    "monitoring.silence": _SETUP,
    "monitoring.maintenancewindow": _SETUP,
    "monitoring.prober": (ADMIN, ADMIN, ADMIN, NOBODY),
    "monitoring.service": (VIEWER, NOBODY, ADMIN, ADMIN),
    "monitoring.endpoint": _SETUP,
    "monitoring.rulestate": _RECORDS,
    "monitoring.observation": _RECORDS,
    "monitoring.logtemplate": _RECORDS,
    "monitoring.serviceevent": _RECORDS,
    "monitoring.configsnapshot": _RECORDS,
    "operations.tailopening": _RECORDS,
    "operations.operatoraction": _RECORDS,
    "operations.drillrun": _RECORDS,
}
#: Levels of GET and POST of the admin's other addresses; people without a role see an empty admin.
ADMIN_PAGES: dict[str, tuple[int | None, int | None]] = {
    "search/": (SIGNED_IN, SIGNED_IN),
    "": (SIGNED_IN, SIGNED_IN),
    "login/": (ANYBODY, ANYBODY),
    "password_change/": (SIGNED_IN, SIGNED_IN),
    "password_change/done/": (SIGNED_IN, None),
    "jsi18n/": (SIGNED_IN, None),
    "autocomplete/": (ADMIN, None),
    "gateway/feedkey/revoke/": (ADMIN, ADMIN),
    "gateway/feedkey/<path:object_id>/revoke_one/": (ADMIN, ADMIN),
    "auth/user/<id>/password/": (ADMIN, ADMIN),
    "incidents/evidence/<int:pk>/download/": (EDITOR, EDITOR),
    "incidents/channel/<int:pk>/tested/<int:delivery>/": (ADMIN, ADMIN),
    "monitoring/rule/dry-run/": (NOBODY, ADMIN),
    "monitoring/rule/<int:pk>/test-fire/": (NOBODY, ADMIN),
}
