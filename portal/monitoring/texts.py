"""One clear sentence for an alert: value and limit, in the installation's language."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal.monitoring.models import Rule, RuleKind
from portal.monitoring.samples import Sample

MAX_TEXT = 300


def _streak(sample: Sample, rule: Rule) -> str:
    value = int(sample.value or 0)
    return ngettext(
        "%(name)s: health check failed %(value)d time in a row (limit %(limit)d)",
        "%(name)s: health check failed %(value)d times in a row (limit %(limit)d)",
        value,
    ) % {"name": sample.name, "value": value, "limit": rule.open_above}


def _cpu(sample: Sample, rule: Rule) -> str:
    values = {"name": sample.name, "value": sample.value, "limit": rule.open_above}
    if sample.extra.get("cpu_limit_cores"):
        cores = {"cores": sample.extra["cpu_limit_cores"]}
        return _("%(name)s: CPU %(value).1f %% of its %(cores)g-core limit (limit %(limit).0f %%)") % (
            values | cores
        )
    return _("%(name)s: CPU %(value).1f %% of one core, no CPU limit set (limit %(limit).0f %%)") % values


def _memory_limit(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: memory %(value).1f %% of its limit (limit %(limit).0f %%)") % {
        "name": sample.name,
        "value": sample.value,
        "limit": rule.open_above,
    }


def _memory_no_limit(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: memory %(value).0f MiB with no memory limit set (limit %(limit).0f MiB)") % {
        "name": sample.name,
        "value": sample.value,
        "limit": rule.open_above,
    }


def _log_flood(sample: Sample, rule: Rule) -> str:
    values = {"name": sample.name, "value": sample.value, "limit": rule.open_above}
    if sample.extra.get("lower_bound"):
        return _("%(name)s: at least %(value).0f log lines/s (limit %(limit).0f)") % values
    return _("%(name)s: %(value).0f log lines/s (limit %(limit).0f)") % values


def _probe(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: probe of %(url)s failed: %(result)s (limit %(limit)d in a row)") % {
        "name": sample.name,
        "url": sample.extra.get("url", ""),
        "result": sample.extra.get("result") or _("no data"),
        "limit": rule.open_after,
    }


def _gateway(sample: Sample, rule: Rule) -> str:
    values = {"name": sample.name, "value": sample.value, "limit": rule.open_above}
    if not sample.extra.get("feed"):
        return (
            _("Gateway %(name)s: no status for %(value).0f s, it does not run (limit %(limit).0f s)") % values
        )
    more = {"state": sample.extra["feed"], "attempts": sample.extra.get("attempts", 0)}
    return _(
        "Gateway %(name)s: not live for %(value).0f s, state %(state)s, "
        "attempt %(attempts)d (limit %(limit).0f s)"
    ) % (values | more)


def _silent(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: running, but no reading for %(value).0f s (limit %(limit).0f s)") % {
        "name": sample.name,
        "value": sample.value,
        "limit": rule.open_above,
    }


def _restarts(sample: Sample, rule: Rule) -> str:
    value = int(sample.value or 0)
    return ngettext(
        "%(name)s: restarted %(value)d time in 10 minutes (limit %(limit)d)",
        "%(name)s: restarted %(value)d times in 10 minutes (limit %(limit)d)",
        value,
    ) % {"name": sample.name, "value": value, "limit": rule.open_above}


def _down(sample: Sample, rule: Rule) -> str:
    if sample.extra.get("state") == "paused":
        return _("%(name)s: paused, it answers nothing") % {"name": sample.name}
    code = sample.extra.get("exit_code")
    if code is None:
        return _("%(name)s: not running") % {"name": sample.name}
    return _("%(name)s: not running, it ended with exit code %(code)d") % {"name": sample.name, "code": code}


def _self_test(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: an exercise of the alarm, nothing is wrong") % {"name": sample.name}


_SENTENCES: dict[RuleKind, Callable[[Sample, Rule], str]] = {
    RuleKind.FAILING_STREAK: _streak,
    RuleKind.CPU: _cpu,
    RuleKind.MEMORY_LIMIT: _memory_limit,
    RuleKind.MEMORY_NO_LIMIT: _memory_no_limit,
    RuleKind.LOG_FLOOD: _log_flood,
    RuleKind.PROBE: _probe,
    RuleKind.GATEWAY: _gateway,
    RuleKind.SILENT: _silent,
    RuleKind.RESTARTS: _restarts,
    RuleKind.DOWN: _down,
    RuleKind.SELF_TEST: _self_test,
}


def alert_text(rule: Rule, sample: Sample) -> str:
    """Return the alert's sentence in ``LANGUAGE_CODE``; whoever shows it says since when."""
    with translation.override(settings.LANGUAGE_CODE):
        return _SENTENCES[RuleKind(rule.kind)](sample, rule)[:MAX_TEXT]


def closed_text(reason: str) -> str:
    """Return why an alert closed, in ``LANGUAGE_CODE``; ``reason`` is a key of this function's table."""
    with translation.override(settings.LANGUAGE_CODE):
        return {
            "recovered": _("back within its limit"),
            "removed": _("the service was removed"),
            "stopped": _("the service was stopped on purpose"),
            "unwatched": _("the service, endpoint or rule is no longer watched"),
        }[reason]
