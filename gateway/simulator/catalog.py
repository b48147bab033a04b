"""Symbols that the simulator knows by name, with plausible sizes. Prices are invented at start-up."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listing:
    """A listed share: previous close in KRW, listed shares, mean trades per second."""

    code: str
    name: str
    close: int
    shares: int
    pace: float


_KNOWN = (
    Listing("005930", "삼성전자", 61_500, 5_969_782_550, 9.0),
    Listing("000660", "SK하이닉스", 187_400, 728_002_365, 7.0),
    Listing("373220", "LG에너지솔루션", 402_000, 234_000_000, 2.5),
    Listing("207940", "삼성바이오로직스", 986_000, 71_174_000, 0.8),
    Listing("005380", "현대차", 243_500, 209_416_191, 3.0),
    Listing("000270", "기아", 102_300, 397_672_632, 2.5),
    Listing("068270", "셀트리온", 189_200, 217_000_000, 2.0),
    Listing("035420", "NAVER", 203_500, 158_437_000, 3.0),
    Listing("035720", "카카오", 41_850, 443_600_000, 3.5),
    Listing("005490", "POSCO홀딩스", 336_000, 84_571_230, 1.5),
    Listing("051910", "LG화학", 318_500, 70_592_343, 1.2),
    Listing("006400", "삼성SDI", 334_000, 68_764_530, 1.5),
    Listing("105560", "KB금융", 86_900, 393_528_423, 1.8),
    Listing("055550", "신한지주", 54_700, 503_445_325, 1.5),
    Listing("012330", "현대모비스", 251_000, 92_000_000, 0.8),
    Listing("066570", "LG전자", 97_600, 163_647_814, 1.5),
    Listing("003670", "포스코퓨처엠", 231_500, 77_463_220, 1.0),
    Listing("096770", "SK이노베이션", 114_900, 95_000_000, 1.0),
    Listing("042660", "한화오션", 33_250, 306_400_000, 2.5),
    Listing("034020", "두산에너빌리티", 19_870, 640_561_146, 5.0),
    Listing("086520", "에코프로", 76_400, 133_000_000, 3.0),
    Listing("247540", "에코프로비엠", 168_300, 97_800_000, 2.0),
    Listing("028300", "HLB", 84_500, 131_000_000, 2.5),
    Listing("196170", "알테오젠", 352_000, 53_000_000, 1.5),
    Listing("069500", "KODEX 200", 35_695, 170_000_000, 2.0),
    Listing("122630", "KODEX 레버리지", 17_450, 120_000_000, 4.0),
    Listing("114800", "KODEX 인버스", 4_385, 180_000_000, 3.0),
    Listing("252670", "KODEX 200선물인버스2X", 2_035, 700_000_000, 5.0),
    Listing("004170", "신세계", 158_200, 9_845_181, 0.15),
    Listing("000150", "두산", 214_500, 16_523_835, 0.3),
)
KNOWN: dict[str, Listing] = {listing.code: listing for listing in _KNOWN}
_CODE = re.compile(r"[0-9][0-9A-Z]{5}(_[A-Z]{2})?")


def is_listed(item: str) -> bool:
    """Return whether ``item`` can be a share. Others are accepted too, as Kiwoom does, and bring no row."""
    return _CODE.fullmatch(item) is not None


def listing(item: str) -> Listing:
    """Return the listing of ``item`` (a venue suffix such as ``_NX`` is ignored).

    A code nobody knows gets invented numbers, the same in every run: Kiwoom accepts such codes too.
    """
    code = item.partition("_")[0]
    if known := KNOWN.get(code):
        return known
    invented = random.Random(f"listing:{code}")  # noqa: S311 - invented prices, not a secret
    close = int(10 ** invented.uniform(3.2, 5.3))
    return Listing(
        code, f"종목 {code}", close, invented.randrange(10**7, 10**9), 10 ** invented.uniform(-1, 0.5)
    )
