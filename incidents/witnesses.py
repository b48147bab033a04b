"""Evidence beside an item's verifier, such as a drill, and how both become one verdict."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from incidents import registry
from incidents.models import ChecklistItem, Outcome
from incidents.registry import Statement, Verdict

logger = logging.getLogger(__name__)


def heard(item: ChecklistItem) -> list[Statement]:
    """Return what is known about ``item`` beside its verifier. Call it outside a transaction."""
    found = []
    for name, witness in registry.witnesses().items():
        try:
            said = witness(item)
        except Exception:
            # It is another app's code; the verifier decides without it.
            logger.exception("Witness %s failed on item %s", name, item.pk)
        else:
            found += [said] if said is not None else []
    return found


def joined(own: Verdict, others: Sequence[Statement], known_at: datetime | None) -> Verdict:
    """Return one verdict: whatever fails decides, and all that passes is told.

    While the verifier itself finds nothing out, a pass of another counts only if it is newer than
    ``known_at``, the item's last known result: the same pass told again is no news.
    """
    bad = [one for one in (own, *(other.verdict for other in others)) if one.outcome == Outcome.FAIL]
    if bad:
        return _told(Outcome.FAIL, bad)
    good = [other for other in others if other.verdict.outcome == Outcome.PASS]
    if own.outcome == Outcome.PASS:
        return _told(Outcome.PASS, [own, *(other.verdict for other in good)])
    news = [other.verdict for other in good if known_at is None or other.at > known_at]
    return _told(Outcome.PASS, [*news, own]) if news else own


def _told(outcome: Outcome, verdicts: Sequence[Verdict]) -> Verdict:
    observed = "; ".join(one.observed for one in verdicts if one.observed)
    return Verdict(outcome, observed, ", ".join(one.method for one in verdicts if one.method))
