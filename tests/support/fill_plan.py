"""Gaps, pages and cursors for tests of the fill plan."""

from candlewax.core.gaps.fill_plan import FillCursor, FillGap, GapGroup
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Page, RestRules

HOUR = 3_600_000_000
SPOT = EXCHANGES["binance"].rest


def gap(first: int, last: int, symbol: str = "BTC/USDT", after: int = 2_000) -> FillGap:
    return FillGap(symbol, first, last, 1_000, after)


def walk(*gaps: FillGap, rest: RestRules = SPOT, key: str | None = None) -> FillCursor:
    return FillCursor(GapGroup(gaps), rest, key, settle_us=10)


def page(*numbers: int, until_ns: int = 0) -> Page:
    return Page(numbers, [0] * len(numbers), until_ns)
