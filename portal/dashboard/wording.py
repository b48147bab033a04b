"""Sentences and numbers as people read them, in the active language. Knows no database."""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from portal.dashboard.data import Dashboard, GatewayPanel, Level, ServiceRow

KIB = 1024.0
#: Share of one template above which the log is worth a clause.
LOUD_SHARE = 0.5
#: Log lines a second from which the log's content is worth a clause.
LOUD_RATE = 10.0
#: CPU in percent of a core (or of the limit) from which it is worth a clause.
BUSY = 80.0

ICONS = {
    Level.CRITICAL: "error",
    Level.WARNING: "warning",
    Level.UNKNOWN: "help",
    Level.OK: "check_circle",
    Level.OFF: "do_not_disturb_on",
}


def no_data() -> str:
    """Return the words for a value that nobody measured."""
    return _("no data")


def part_words(detail: str) -> str:
    """Return what ``/health/ready`` says of a part; the names of errors and states are their own words."""
    return {
        "answers": _("answers"),
        "unknown: Redis does not answer": _("unknown: Redis does not answer"),
        "no heartbeat": _("no heartbeat"),
        "beats": _("beats"),
        "silent": _("silent"),
        "unreadable status": _("unreadable status"),
        "no gateway runs": _("no gateway runs"),
        **_feed_states(),
    }.get(detail, detail)


def level_word(level: Level) -> str:
    """Return the level's word."""
    return {
        Level.CRITICAL: _("Critical"),
        Level.WARNING: _("Warning"),
        Level.UNKNOWN: _("Unknown"),
        Level.OK: _("Healthy"),
        Level.OFF: _("Stopped"),
    }[level]


def decimal(value: float | None, digits: int = 1) -> str:
    """Return ``value`` with at most ``digits`` decimals, fewer for large numbers."""
    if value is None:
        return no_data()
    places = 0 if abs(value) >= 1000 else digits
    return number_format(round(value, places), decimal_pos=places, use_l10n=True, force_grouping=True)


def size(value: float | None) -> str:
    """Return bytes in the unit that reads best (1 GB = 1024 MB, as ``docker stats`` counts)."""
    if value is None:
        return no_data()
    for unit, digits in (("B", 0), ("KB", 0), ("MB", 0), ("GB", 2)):
        if value < KIB or unit == "GB":
            return f"{number_format(round(value, digits), decimal_pos=digits)} {unit}"
        value /= KIB
    raise AssertionError("the loop returns at GB at the latest")


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units."""
    if seconds is None:
        return no_data()
    left = max(0, int(seconds))
    units = (
        (86400, pgettext("duration", "%(n)d d")),
        (3600, pgettext("duration", "%(n)d h")),
        (60, pgettext("duration", "%(n)d min")),
        (1, pgettext("duration", "%(n)d s")),
    )
    parts: list[str] = []
    for length, words in units:
        count, left = divmod(left, length)
        if count or (length == 1 and not parts):
            parts.append(words % {"n": count})
        if len(parts) == 2 or (parts and length == 60):
            break
    return " ".join(parts)


def service_word(row: ServiceRow) -> str:
    """Return the one word of a service's state."""
    words = {
        "gone": _("Removed"),
        "exited": _("Exited"),
        "paused": _("Paused"),
        "restarting": _("Restarting"),
    }
    level = row.level
    if level is Level.UNKNOWN:
        return _("No data")
    if row.state in words:
        return words[row.state]
    if row.health == "unhealthy":
        return _("Unhealthy")
    if level in (Level.CRITICAL, Level.WARNING):
        return level_word(level)
    return {"healthy": _("Healthy"), "starting": _("Starting")}.get(row.health, _("Running"))


def why(row: ServiceRow) -> str:
    """Return the reasons in one sentence: since when, and the numbers that stand out; empty when well."""
    if row.level in (Level.OK, Level.OFF):
        return ""
    if row.stale:
        return _no_reading(row)
    parts = [*_health_part(row), *_load_parts(row), *_log_part(row)]
    if row.failing_endpoints and len(parts) < 3:
        parts.append(_("probe failing: %(name)s") % {"name": row.failing_endpoints[0]})
    if not parts:
        parts = [alert.text for alert in row.alerts[:2]]
    return ", ".join(parts)


def _no_reading(row: ServiceRow) -> str:
    if row.error:
        return _("not measured: %(error)s") % {"error": row.error}
    if row.age_s is None:
        return _("never measured")
    return _("no reading for %(duration)s") % {"duration": duration(row.age_s)}


def _health_part(row: ServiceRow) -> list[str]:
    if row.state == "exited":
        if row.exit_code is None:
            return [_("exited")]
        return [_("exited with code %(code)d") % {"code": row.exit_code}]
    if row.state == "restarting" or (row.alerts and row.restart_count and row.health != "unhealthy"):
        return [
            ngettext("restarted %(n)d time", "restarted %(n)d times", row.restart_count)
            % {"n": row.restart_count}
        ]
    if row.health != "unhealthy":
        return []
    if row.unhealthy_s is not None:
        return [_("unhealthy for %(duration)s") % {"duration": duration(row.unhealthy_s)}]
    return [_("%(n)d failed health checks in a row") % {"n": row.failing_streak}]


def _load_parts(row: ServiceRow) -> list[str]:
    parts = []
    if row.cpu_of_limit is not None and row.cpu_of_limit >= BUSY:
        parts.append(_("CPU at %(percent)s%% of its limit") % {"percent": decimal(row.cpu_of_limit, 0)})
    elif row.cpu_percent is not None and row.cpu_percent >= BUSY:
        parts.append(_("CPU at %(percent)s%% of one core") % {"percent": decimal(row.cpu_percent)})
    if row.memory_bytes is not None and not row.memory_limit_bytes and row.memory_bytes >= 2 * KIB**3:
        parts.append(_("%(size)s of memory without a limit") % {"size": size(row.memory_bytes)})
    elif row.memory_of_limit is not None and row.memory_of_limit >= BUSY:
        parts.append(_("memory at %(percent)s%% of its limit") % {"percent": decimal(row.memory_of_limit, 0)})
    return parts


def _log_part(row: ServiceRow) -> list[str]:
    loud = (row.log_lines_per_s or 0.0) >= LOUD_RATE
    if not loud or (row.top_template_share or 0.0) < LOUD_SHARE:
        return []
    share = decimal(100.0 * (row.top_template_share or 0.0), 0)
    return [_("%(share)s%% of its log is one message") % {"share": share}]


def overall(view: Dashboard) -> str:
    """Return the answer to "is anything wrong" in one sentence."""
    if view.incidents:
        first = view.incidents[0]
        text = ngettext("%(n)d open incident", "%(n)d open incidents", len(view.incidents))
        return f"{text % {'n': len(view.incidents)}}: {first.title}"
    troubled = view.count(Level.CRITICAL) + view.count(Level.WARNING)
    if troubled:
        return ngettext("%(n)d service needs attention", "%(n)d services need attention", troubled) % {
            "n": troubled
        }
    if view.gateway.level in (Level.CRITICAL, Level.WARNING):
        return _("The market-data feed is not live: %(state)s") % {"state": feed_word(view.gateway)}
    if not view.services:
        return _("No service has been measured yet")
    unknown = view.count(Level.UNKNOWN)
    if unknown:
        return ngettext("%(n)d service gives no data", "%(n)d services give no data", unknown) % {
            "n": unknown
        }
    if view.gateway.level is Level.UNKNOWN:
        return _("The gateway's state is unknown")
    return _("All clear")


def _feed_states() -> dict[str, str]:
    return {
        "live": _("Live"),
        "reconnecting": _("Reconnecting"),
        "stale": pgettext("feed", "Stale"),
        "parked": _("Parked"),
        "closed": _("Market closed"),
    }


def feed_word(panel: GatewayPanel) -> str:
    """Return the feed's state as people say it."""
    words = _feed_states()
    if not panel.reachable:
        return _("Unknown: Redis does not answer")
    if not panel.statuses:
        return _("Unknown: no gateway reports")
    order = ("parked", "stale", "reconnecting", "closed", "live")
    return words[min((str(status.feed) for status in panel.statuses), key=order.index)]


def session_word(state: str) -> str:
    """Return the upstream session's state; an unknown one is shown as it is."""
    return {
        "IDLE": pgettext("session", "Idle"),
        "TOKEN": pgettext("session", "Getting a token"),
        "CONNECTING": pgettext("session", "Connecting"),
        "LOGIN": pgettext("session", "Signing in"),
        "LIVE": pgettext("session", "Receiving"),
        "STALE": pgettext("session", "No new rows"),
        "BACKOFF": pgettext("session", "Waiting to retry"),
        "PARKED": pgettext("session", "Parked"),
    }.get(state, state)


def runtime_word(runtime: str) -> str:
    """Return where a service runs; an unknown runtime is shown as it is."""
    return {"docker": _("Container"), "process": _("Process")}.get(runtime, runtime)


def mode_word(mode: str) -> str:
    """Return which Kiwoom server is meant."""
    return {
        "simulator": pgettext("mode", "Simulator"),
        "mock": pgettext("mode", "Kiwoom mock trading"),
        "real": pgettext("mode", "Kiwoom"),
    }.get(mode, mode)


def breaker_word(state: str) -> str:
    """Return the circuit breaker's state."""
    return {
        "closed": pgettext("breaker", "Closed"),
        "open": pgettext("breaker", "Open"),
        "half_open": pgettext("breaker", "Half open"),
    }.get(state, state)
