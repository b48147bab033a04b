"""One clear sentence for an alert: value and limit, in the installation's language."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from portal.monitoring.models import Rule, RuleKind
from portal.monitoring.probes.wording import in_words
from portal.monitoring.samples import Sample

MAX_TEXT = 300


def _streak(sample: Sample, rule: Rule) -> str:
    value = int(sample.value or 0)
    interval = sample.extra.get("health_interval_s")
    values = {"name": sample.name, "value": value, "limit": rule.open_above}
    if interval:
        return ngettext(
            "%(name)s: health check failed %(value)d time in a row, %(span)s (limit %(limit)d)",
            "%(name)s: health check failed %(value)d times in a row, %(span)s (limit %(limit)d)",
            value,
        ) % (values | {"span": _span(value * interval)})
    return (
        ngettext(
            "%(name)s: health check failed %(value)d time in a row (limit %(limit)d)",
            "%(name)s: health check failed %(value)d times in a row (limit %(limit)d)",
            value,
        )
        % values
    )


def _span(seconds: float) -> str:
    """Word a duration by its two largest units."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours >= 24:
        return _("%(d)d d %(h)d h") % {"d": hours // 24, "h": hours % 24}
    if hours:
        return _("%(h)d h %(m)d min") % {"h": hours, "m": minutes}
    if minutes:
        return _("%(m)d min %(s)d s") % {"m": minutes, "s": whole % 60}
    return _("%(s)d s") % {"s": whole}


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
        "result": in_words(str(sample.extra.get("result") or "")) or _("no data"),
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


def _crash(sample: Sample, rule: Rule) -> str:
    value, code = int(sample.value or 0), sample.extra.get("exit_code")
    values = {"name": sample.name, "value": value, "limit": rule.open_above, "code": code}
    if code is None:
        return (
            ngettext(
                "%(name)s: crashed %(value)d time in 10 minutes (limit %(limit)d)",
                "%(name)s: crashed %(value)d times in 10 minutes (limit %(limit)d)",
                value,
            )
            % values
        )
    return (
        ngettext(
            "%(name)s: crashed %(value)d time in 10 minutes, last with exit code %(code)d (limit %(limit)d)",
            "%(name)s: crashed %(value)d times in 10 minutes, last with exit code %(code)d (limit %(limit)d)",
            value,
        )
        % values
    )


def _oom(sample: Sample, rule: Rule) -> str:
    values = {"name": sample.name, "value": int(sample.value or 0)}
    limit = sample.extra.get("memory_limit_bytes")
    if limit:
        more = {"limit": limit / 1024**2}
        return _("%(name)s: killed for lack of memory, its limit is %(limit).0f MiB") % (values | more)
    return _("%(name)s: killed for lack of memory") % values


def _memory_slope(sample: Sample, rule: Rule) -> str:
    return _(
        "%(name)s: memory grows by %(value).1f MiB/min over %(span)s with no memory limit set "
        "(limit %(limit).0f MiB/min)"
    ) % {
        "name": sample.name,
        "value": sample.value,
        "span": _span(rule.sustain_s),
        "limit": rule.open_above,
    }


def _memory_left(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: memory reaches its limit in %(value).0f min (limit %(limit).0f min)") % {
        "name": sample.name,
        "value": sample.value,
        "limit": rule.open_above,
    }


def _template_share(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: %(value).0f %% of its log is one message: %(template)s (limit %(limit).0f %%)") % {
        "name": sample.name,
        "value": sample.value,
        "template": str(sample.extra.get("top_template", ""))[:120],
        "limit": rule.open_above,
    }


def _template_rising(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: a log message is %(value).0f times as frequent as usual: %(template)s") % {
        "name": sample.name,
        "value": sample.value,
        "template": str(sample.extra.get("rising_template") or sample.extra.get("top_template", ""))[:120],
    }


def _tls(sample: Sample, rule: Rule) -> str:
    values = {"name": sample.name, "url": sample.extra.get("url", ""), "limit": rule.open_above}
    if (sample.value or 0) < 0:
        return _("%(name)s: the certificate of %(url)s has expired") % values
    more = {"value": int(sample.value or 0)}
    return _("%(name)s: the certificate of %(url)s ends in %(value)d days (limit %(limit)d)") % (
        values | more
    )


def _latency(sample: Sample, rule: Rule) -> str:
    return _("%(name)s: %(url)s answers in %(value).0f ms (limit %(limit).0f ms)") % {
        "name": sample.name,
        "url": sample.extra.get("url", ""),
        "value": sample.value,
        "limit": rule.open_above,
    }


def _gateway_parked(sample: Sample, rule: Rule) -> str:
    return _("Gateway %(name)s: parked after %(attempts)d attempts: %(error)s") % {
        "name": sample.name,
        "attempts": sample.extra.get("attempts", 0),
        "error": sample.extra.get("last_error") or "—",
    }


def _gateway_unplaced(sample: Sample, rule: Rule) -> str:
    value = int(sample.value or 0)
    return ngettext(
        "Gateway %(name)s: %(value)d topic has no place on any key (limit %(limit)d)",
        "Gateway %(name)s: %(value)d topics have no place on any key (limit %(limit)d)",
        value,
    ) % {"name": sample.name, "value": value, "limit": rule.open_above}


def _collector(sample: Sample, rule: Rule) -> str:
    if not sample.extra.get("result") and sample.extra.get("silent"):
        return _("%(name)s: no reading of %(silent)d of its %(services)d services") % {
            "name": sample.name,
            "silent": sample.extra["silent"],
            "services": sample.extra.get("services", 0),
        }
    return _("%(name)s does not answer, its services are unknown: %(result)s") % {
        "name": sample.name,
        "result": sample.extra.get("result") or "—",
    }


def _prober(sample: Sample, rule: Rule) -> str:
    count = int(sample.extra.get("endpoints", 0))
    return ngettext(
        "Prober %(name)s: silent %(value).0f s (limit %(limit).0f s), its %(count)d endpoint is unknown",
        "Prober %(name)s: silent %(value).0f s (limit %(limit).0f s), its %(count)d endpoints are unknown",
        count,
    ) % {"name": sample.name, "value": sample.value, "count": count, "limit": rule.open_above}


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
    RuleKind.CRASH: _crash,
    RuleKind.OOM: _oom,
    RuleKind.MEMORY_SLOPE: _memory_slope,
    RuleKind.MEMORY_LEFT: _memory_left,
    RuleKind.TEMPLATE_SHARE: _template_share,
    RuleKind.TEMPLATE_RISING: _template_rising,
    RuleKind.TLS: _tls,
    RuleKind.LATENCY: _latency,
    RuleKind.GATEWAY_PARKED: _gateway_parked,
    RuleKind.GATEWAY_UNPLACED: _gateway_unplaced,
    RuleKind.COLLECTOR: _collector,
    RuleKind.PROBER: _prober,
    RuleKind.SELF_TEST: _self_test,
}


def alert_text(rule: Rule, sample: Sample) -> str:
    """Return the alert's sentence in ``LANGUAGE_CODE``; whoever shows it says since when."""
    with translation.override(settings.LANGUAGE_CODE):
        return _SENTENCES[RuleKind(rule.kind)](sample, rule)[:MAX_TEXT]


def attached_text(text: str, cause: str) -> str:
    """Return the sentence of an alert that is put down to the service ``cause``."""
    with translation.override(settings.LANGUAGE_CODE):
        return (_("%(alert)s; suppressed by %(cause)s, on which it depends") % _named(text, cause))[:MAX_TEXT]


def cause_text(text: str, cause: str) -> str:
    """Return the sentence that opens the incident of ``cause``, seen through an alert that depends on it."""
    with translation.override(settings.LANGUAGE_CODE):
        return (_("%(cause)s fails, first seen on %(alert)s") % _named(text, cause))[:MAX_TEXT]


def _named(text: str, cause: str) -> dict[str, str]:
    return {"alert": text, "cause": cause}


def flapping_text(text: str) -> str:
    """Return the sentence of an alert that goes on and off."""
    with translation.override(settings.LANGUAGE_CODE):
        return (_("%(alert)s; flapping, it keeps going on and off") % {"alert": text})[:MAX_TEXT]


def closed_text(reason: str) -> str:
    """Return why an alert closed, in ``LANGUAGE_CODE``; ``reason`` is a key of this function's table."""
    with translation.override(settings.LANGUAGE_CODE):
        return {
            "recovered": _("back within its limit"),
            "removed": _("the service was removed"),
            "stopped": _("the service was stopped on purpose"),
            "unwatched": _("the service, endpoint or rule is no longer watched"),
        }[reason]
