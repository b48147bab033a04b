"""What the detailed report adds from the record: timeline, alerts, evidence with its checksums."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db.models import Q
from django.utils import translation

from incidents import outbox
from incidents.action_words import action_sentence
from incidents.models import Incident, ItemState, Severity, State, TimelineEvent, TimelineKind
from incidents.reports.layout import KST
from incidents.reports.model import Extra
from incidents.reports.scan import row_of
from incidents.reports.words import Words, cut, plain

#: Timeline rows in a report.
TIMELINE_SHOWN = 200


def sections(incident: Incident, language: str) -> list[Extra]:
    """Return the generated sections in ``language``. Three queries."""
    words = Words(language)
    with translation.override(language):
        return [
            Extra(heading=words("🕒 타임라인", "🕒 Timeline"), body=_timeline(incident, words)),
            Extra(heading=words("🔔 경보", "🔔 Alerts"), body=_signals(incident, words)),
            Extra(heading=words("🧾 증거", "🧾 Evidence"), body=_evidence(incident, words)),
        ]


def sentence(event: TimelineEvent) -> str:
    """Word an event from its values, in the active language."""
    data = event.data
    if event.text:
        return event.text
    if event.kind == TimelineKind.STATE and data.get("field") == "state":
        old, new = State(data["old"]).label, State(data["new"]).label
        return f"{old} → {new}" + (f" ({data['reason']})" if data.get("reason") else "")
    if event.kind == TimelineKind.SIGNAL:
        words = outbox.describe(data.get("detail", {}))
        return f"{data.get('title', '')} ({words})" if words else str(data.get("title", ""))
    if event.kind == TimelineKind.ACTION and "verb" in data:
        return action_sentence(data)
    if event.kind == TimelineKind.EVIDENCE and event.evidence_id:
        # Asking for a kind that was not joined would be a query for each event.
        joined = event.evidence if "evidence" in event._state.fields_cache else None
        kind = str(joined.get_kind_display()) if joined else ""
        parts = (f"E{event.evidence_id}", kind, data.get("subject"), data.get("note"))
        return " ".join(str(part) for part in parts if part)
    names = ("title", "root_cause", "text", "observed", "collector", "error", "subject", "file")
    told = [str(data[name]) for name in names if data.get(name)]
    if data.get("old") and data.get("new"):
        told.append(f"{_label(data['old'])} → {_label(data['new'])}")
    return " · ".join(told)


def _label(value: object) -> str:
    """Return what a stored state or severity is called."""
    labels = {**dict(State.choices), **dict(ItemState.choices), **dict(Severity.choices)}
    return str(labels.get(str(value), value))


def _timeline(incident: Incident, words: Words) -> str:
    shown = ~Q(kind=TimelineKind.NOTE) | Q(starred=True)
    joined = incident.timeline.filter(shown).select_related("evidence").defer("evidence__payload")
    events = list(joined[: TIMELINE_SHOWN + 1])
    rows = [(_at(event.at), str(event.get_kind_display()), _what(event)) for event in events[:TIMELINE_SHOWN]]
    header = (words("시각 (KST)", "Time (KST)"), words("구분", "Kind"), words("내용", "What"))
    return _table(header, rows, words) + ("\n\n…" if len(events) > TIMELINE_SHOWN else "")


def _what(event: TimelineEvent) -> str:
    """Return the sentence of an event; a person's own words keep their markup."""
    text = cut(sentence(event), 300)
    return text if event.text else plain(text)


def _signals(incident: Incident, words: Words) -> str:
    rows = [
        (
            plain(signal.title),
            str(signal.get_severity_display()),
            plain(outbox.describe(signal.detail)),
            _at(signal.opened_at),
            _at(signal.cleared_at) if signal.cleared_at else words("지속 중", "still open"),
        )
        for signal in incident.signals.all()
    ]
    header = (
        words("경보", "Alert"),
        words("심각도", "Severity"),
        words("측정값", "Measured"),
        words("발생", "Opened"),
        words("해소", "Cleared"),
    )
    return _table(header, rows, words)


def _evidence(incident: Incident, words: Words) -> str:
    rows = [
        (
            f"E{row.pk}",
            plain(f"{row.get_kind_display()} {row.subject}".strip()),
            _at(row.captured_at),
            f"{row.size:,}",
            f"`{row.sha256}`",
            plain(row.note) or (words("일부", "partial") if row.partial else "-"),
        )
        for row in incident.evidence.defer("payload")
    ]
    header = (
        words("번호", "No."),
        words("종류", "Kind"),
        words("수집 시각", "Captured"),
        words("크기(바이트)", "Size (bytes)"),
        "SHA-256",
        words("비고", "Note"),
    )
    return _table(header, rows, words)


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]], words: Words) -> str:
    if not rows:
        return words.no_data
    rule = "|" + "|".join("---" for _cell in header) + "|"
    return "\n".join([row_of(header), rule, *(row_of(row) for row in rows)])


def _at(at: datetime) -> str:
    return at.astimezone(KST).strftime("%Y-%m-%d %H:%M:%S")


def day(at: datetime) -> str:
    """Return the Korean day of ``at`` as ``YYYYMMDD``."""
    return at.astimezone(KST).strftime("%Y%m%d")
