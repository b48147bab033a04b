"""Filters of the portal's templates; each only words a value that it is given."""

from __future__ import annotations

import re
from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from portal.dashboard import wording
from portal.dashboard.data import STALE_AFTER_S, Level, ServiceRow
from portal.monitoring.probes.wording import in_words

register = template.Library()

register.filter("size", wording.size)
register.filter("duration", wording.duration)
register.filter("decimal", wording.decimal)
register.filter("why", wording.why)
register.filter("service_word", wording.service_word)
register.filter("breaker_word", wording.breaker_word)
register.filter("session_word", wording.session_word)
register.filter("mode_word", wording.mode_word)
register.filter("feed_word", wording.feed_word)
register.filter("overall", wording.overall)
register.filter("level_word", wording.level_word)
register.filter("runtime_word", wording.runtime_word)
register.filter("probe_words", in_words)
register.filter("part_words", wording.part_words)


@register.filter
def split_words(text: str) -> list[str]:
    """Return the words of ``text``, to loop over a fixed list."""
    return text.split()


@register.filter
def nested(html: SafeString) -> SafeString:
    """Return safe HTML with its headings two levels lower, as they stand below a page's and a panel's own.

    Raises:
        TypeError: ``html`` is not marked as safe.
    """
    if not isinstance(html, SafeString):
        raise TypeError("only safe HTML is nested")
    lower = re.sub(r"(</?h)([1-6])\b", lambda tag: f"{tag[1]}{min(6, int(tag[2]) + 2)}", html)
    return mark_safe(lower)  # noqa: S308 - only the digits of tags changed


@register.filter
def level_icon(level: Level) -> str:
    """Return the symbol's name of ``level``."""
    return wording.ICONS[level]


@register.filter
def level_of(severity: str) -> Level:
    """Return the level that a severity is shown with."""
    return {"critical": Level.CRITICAL, "warning": Level.WARNING}.get(severity, Level.UNKNOWN)


@register.filter
def row_word(row: ServiceRow) -> SafeString:
    """Return a service's state as an icon and a word."""
    return badge(row.level, wording.service_word(row))


@register.simple_tag
def badge(level: Level | str, word: str) -> SafeString:
    """Return an icon and a word in the level's colour."""
    level = Level(level)
    return format_html(
        '<span class="p-badge is-{}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{}</span>{}</span>',
        level.value,
        wording.ICONS[level],
        word,
    )


@register.simple_tag
def age(at: datetime | None, stale_after: float = STALE_AFTER_S) -> SafeString:
    """Return an age that the page keeps counting, grey once it is older than ``stale_after`` seconds."""
    if at is None:
        return format_html('<span class="p-none">{}</span>', wording.no_data())
    seconds = max(0.0, (timezone.now() - at).total_seconds())
    return format_html(
        '<time class="p-age{}" datetime="{}" data-age="{}" data-stale-after="{}" title="{}">{}</time>',
        " is-stale" if stale_after and seconds > stale_after else "",
        at.isoformat(),
        round(at.timestamp(), 1),
        stale_after,
        moment_text(at),
        wording.duration(seconds),
    )


@register.filter
def moment(at: datetime | None) -> SafeString:
    """Return a time in the portal's zone, the zone named."""
    if at is None:
        return format_html('<span class="p-none">{}</span>', _("—"))
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), moment_text(at))


def moment_text(at: datetime) -> str:
    """Return ``2026-02-06 09:15:00 KST``."""
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S %Z")
