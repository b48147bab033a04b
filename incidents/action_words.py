"""Wording of what was done to a service, from the values of a timeline event, in the active language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

VERBS = {
    "restart": pgettext_lazy("action", "restart"),
    "stop": pgettext_lazy("action", "stop"),
    "start": pgettext_lazy("action", "start"),
    "check": pgettext_lazy("action", "health check"),
    "resume": pgettext_lazy("action", "resume the connection"),
    "open_breaker": pgettext_lazy("action", "open the breaker"),
    "close_breaker": pgettext_lazy("action", "close the breaker"),
    "drill": pgettext_lazy("action", "drill"),
}
OUTCOMES = {
    "requested": gettext_lazy("%(target)s: %(verb)s was asked for"),
    "refused": gettext_lazy("%(target)s: %(verb)s was refused"),
    "done": gettext_lazy("%(target)s: %(verb)s is done"),
    "failed": gettext_lazy("%(target)s: %(verb)s failed"),
    "unknown": gettext_lazy(
        "%(target)s: nobody knows whether %(verb)s happened; look before you press again"
    ),
    "passed": gettext_lazy("%(target)s: %(verb)s passed"),
    "not_passed": gettext_lazy("%(target)s: %(verb)s did not pass"),
    "abort": gettext_lazy("%(target)s: the end of the %(verb)s was asked for"),
    "aborted": gettext_lazy("%(target)s: %(verb)s was aborted"),
    "broken": gettext_lazy("%(target)s: %(verb)s could not be played"),
    "attached": gettext_lazy("%(target)s: %(verb)s became the evidence of a measure"),
    "helped": gettext_lazy("%(target)s: %(verb)s helped"),
    "not_helped": gettext_lazy("%(target)s: %(verb)s did not help"),
    "no_data": gettext_lazy("%(target)s: no data tells whether %(verb)s helped"),
}


def action_sentence(data: Mapping[str, Any]) -> str:
    """Return the sentence of ``verb``, ``subject`` and ``outcome``, with reason and note after it."""
    form = OUTCOMES.get(str(data.get("outcome")), OUTCOMES["requested"])
    words = str(form) % {"target": data.get("subject", ""), "verb": verb(data.get("verb"))}
    reason = _("reason: %(text)s") % {"text": data["reason"]} if data.get("reason") else ""
    return " · ".join(part for part in (words, reason, str(data.get("note") or "")) if part)


def verb(name: object) -> str:
    """Return what a verb is called."""
    return str(VERBS.get(str(name), name))
