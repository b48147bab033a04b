"""Services by label and name, for what is applied to many at once."""

from __future__ import annotations

from fnmatch import fnmatchcase

from portal.monitoring.models import RunState, Service

#: Services that are looked at.
MAX_SERVICES = 500


def select(*, label: str = "", pattern: str = "") -> list[str]:
    """Return the names of watched services with ``label`` (``name`` or ``name=value``) that fit ``pattern``.

    An empty label or pattern fits all; both empty select nothing.
    """
    label, pattern = label.strip(), pattern.strip()
    if not label and not pattern:
        return []
    name, equals, value = label.partition("=")
    watched = Service.objects.filter(enabled=True).exclude(state__state=RunState.GONE).order_by("name")
    found = [
        service.name
        for service in watched[:MAX_SERVICES]
        if fnmatchcase(service.name, pattern or "*") and _has(service.labels, name, value if equals else None)
    ]
    return list(dict.fromkeys(found))


def _has(labels: object, name: str, value: str | None) -> bool:
    if not name:
        return True
    given = labels.get(name) if isinstance(labels, dict) else None
    return given is not None and (value is None or str(given) == value)
