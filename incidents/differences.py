"""Why an item began to fail: what its verifier saw before and after, and what changed in between."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from incidents import registry
from incidents.models import ChecklistItem, Outcome, VerificationRun
from incidents.registry import ChangeSeen

logger = logging.getLogger(__name__)

#: Changes kept of one failure, and characters of each value.
MAX_CHANGES = 20
MAX_VALUE = 200
#: An item that never passed is explained by changes of this long.
LOOK_BACK = timedelta(hours=24)


def found(item: ChecklistItem, run: VerificationRun) -> dict[str, Any]:
    """Return the difference between the last pass of ``item`` and its failing ``run``, as JSON.

    ``before`` is empty when it never passed. ``changes`` holds what happened between the last pass and the
    first failure after it, the newest first.
    """
    passed = item.runs.filter(outcome=Outcome.PASS).first()
    since = passed.at if passed else run.at - LOOK_BACK
    failed = item.runs.filter(outcome=Outcome.FAIL, at__gt=since).order_by("at", "pk").first()
    changes = _changes(item, since, failed.at if failed else run.at)
    return {
        "before": passed.observed if passed else "",
        "after": run.observed,
        "since": since.isoformat(),
        "changes": [
            {
                "what": one.what[:MAX_VALUE],
                "before": one.before[:MAX_VALUE],
                "after": one.after[:MAX_VALUE],
                "at": one.at.isoformat(),
            }
            for one in changes
        ],
    }


def _changes(item: ChecklistItem, since: datetime, until: datetime) -> list[ChangeSeen]:
    seen: list[ChangeSeen] = []
    for name, explainer in registry.explainers().items():
        try:
            with transaction.atomic():
                seen += explainer(item.verifier, item.target, since, until)
        except Exception:
            # It is another app's code; the failure itself is told without it.
            logger.exception("Explainer %s failed on item %s", name, item.pk)
    return sorted(seen, key=lambda one: one.at, reverse=True)[:MAX_CHANGES]


def worded(difference: Mapping[str, Any]) -> str:
    """Return the difference as one line for a timeline: at most three changes."""
    if not difference:
        return ""
    parts = []
    if difference.get("before"):
        parts.append(_("before: %(observed)s") % {"observed": difference["before"]})
    changes = difference.get("changes", [])
    parts += [f"{one['what']} {one['before'] or '—'} → {one['after'] or '—'}" for one in changes[:3]]
    return "; ".join(parts)[:500]
