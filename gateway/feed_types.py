"""Names of the real-time types that can be shared, for lists that people choose from."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

#: Kiwoom's code and the type's name; the codes are those of ``feed_frames.MARKET_TYPES``.
TYPE_NAMES = {
    "0A": _("stock quotation"),
    "0B": _("stock trades"),
    "0C": _("best bid and ask"),
    "0D": _("order book"),
    "0E": _("after-hours order book"),
    "0F": _("brokers of the day"),
    "0G": _("ETF net asset value"),
    "0H": _("expected trades"),
    "0I": _("international gold price"),
    "0J": _("sector index"),
    "0U": _("sector advances and declines"),
    "0g": _("stock information"),
    "0m": _("ELW theoretical price"),
    "0s": _("market open and close times"),
    "0u": _("ELW indicators"),
    "0w": _("program trading by stock"),
    "1h": _("volatility interruption"),
}


def type_choices() -> list[tuple[str, str]]:
    """Return code and label of each type, in the active language."""
    return [(code, f"{code} · {name}") for code, name in TYPE_NAMES.items()]
