"""What the feed page's script gets from the server: symbol names, and its texts in the reader's language."""

from __future__ import annotations

from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

#: Codes shown to someone who has not chosen any yet.
DEFAULT_WATCH = ["005930", "000660", "035420", "035720", "005380", "373220"]

#: Names of well-known issues (code, Korean, English); others are shown by their code.
NAMES = (
    ("005930", "삼성전자", "Samsung Electronics"),
    ("000660", "SK하이닉스", "SK hynix"),
    ("373220", "LG에너지솔루션", "LG Energy Solution"),
    ("207940", "삼성바이오로직스", "Samsung Biologics"),
    ("005380", "현대차", "Hyundai Motor"),
    ("000270", "기아", "Kia"),
    ("068270", "셀트리온", "Celltrion"),
    ("035420", "NAVER", "NAVER"),
    ("035720", "카카오", "Kakao"),
    ("105560", "KB금융", "KB Financial"),
    ("055550", "신한지주", "Shinhan Financial"),
    ("005490", "POSCO홀딩스", "POSCO Holdings"),
    ("012330", "현대모비스", "Hyundai Mobis"),
    ("028260", "삼성물산", "Samsung C&T"),
    ("051910", "LG화학", "LG Chem"),
    ("006400", "삼성SDI", "Samsung SDI"),
    ("012450", "한화에어로스페이스", "Hanwha Aerospace"),
    ("066570", "LG전자", "LG Electronics"),
    ("015760", "한국전력", "KEPCO"),
    ("017670", "SK텔레콤", "SK Telecom"),
    ("069500", "KODEX 200", "KODEX 200"),
    ("247540", "에코프로비엠", "EcoPro BM"),
    ("086520", "에코프로", "EcoPro"),
    ("196170", "알테오젠", "Alteogen"),
)


def symbols() -> dict[str, str]:
    """Return names by code in the active language."""
    korean = (get_language() or "ko").startswith("ko")
    return {code: name if korean else english for code, name, english in NAMES}


def texts() -> dict[str, Any]:
    """Return the script's texts; ``{name}`` marks what the script fills in."""
    return {
        "state": {
            "connecting": _("Connecting"),
            "live": _("Live"),
            "reconnecting": _("Reconnecting to the exchange feed"),
            "stale": _("No new prices since {time}"),
            "parked": _("The feed is stopped; an operator has to resume it"),
            "closed": _("Market closed"),
            "lost": _("Connection lost"),
            "refused": _("The server refused the connection: {reason}"),
            "signedOut": _("You are signed out"),
        },
        "note": {
            "live": _("Prices arrive as they are traded."),
            "asOf": _("Prices as of {time} KST."),
            "retry": _("Next attempt in {seconds} s."),
            "closed": _("Showing the last prices of the session."),
            "signIn": _("Sign in again"),
        },
        "direction": {
            "1": _("limit up"),
            "2": _("up"),
            "3": _("unchanged"),
            "4": _("limit down"),
            "5": _("down"),
        },
        "age": {
            "now": _("just now"),
            "seconds": _("{n} s ago"),
            "minutes": _("{n} min ago"),
            "hours": _("{n} h ago"),
            "days": _("{n} d ago"),
            "none": _("waiting"),
        },
        "form": {
            "bad": _("An item code has six letters or digits, for example 005930."),
            "known": _("{item} is already shown."),
            "full": _("At most {n} items."),
            "remove": _("Remove {item}"),
        },
        "dropped": _("{n} updates were skipped because this connection is slow."),
    }
