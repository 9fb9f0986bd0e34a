"""Reader of stored tick, volume and dollar bars in pages, of any database that can be queried."""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from candlewax.client.reader import PAGE_ROWS, Reader, select_columns
from candlewax.client.request import BAR, Market, RequestError, Span
from candlewax.core.bars.rules import BarRule, parse_rule

_HAS_TABLE: Final = """
SELECT count() AS tables FROM system.tables WHERE database = currentDatabase() AND name = 'bars'
"""

_RULES: Final = """
SELECT toString(r.kind) AS kind, r.threshold AS threshold
FROM bars AS r
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
GROUP BY r.kind, r.threshold
ORDER BY r.kind, r.threshold
"""

_BARS: Final = """
SELECT %s
FROM bars AS r FINAL
WHERE r.kind = {kind:String} AND r.threshold = {threshold:Decimal(38, 12)}
    AND exchange = {exchange:String} AND symbol = {symbol:String}
    AND r.day >= toDate({begin:DateTime64(6, 'UTC')})
    AND r.day <= toDate({end:DateTime64(6, 'UTC')})
    AND r.open_time >= {begin:DateTime64(6, 'UTC')} AND r.open_time < {end:DateTime64(6, 'UTC')}
    AND (r.day, r.number) > (toDate({after_day:String}), {after_number:Int64})
    AND (closed OR NOT {closed:Bool}) AND (status = 'complete' OR NOT {complete:Bool})
"""

_PAGE: Final = "ORDER BY r.day, r.number LIMIT {limit:UInt32}"

_FIRST: Final[dict[str, Any]] = {"after_day": "1970-01-01", "after_number": -1}


def read_bars(
    reader: Reader,
    market: Market,
    rule: BarRule,
    span: Span,
    *,
    closed: bool = False,
    complete: bool = False,
) -> Iterator[pl.DataFrame]:
    """Yield pages of bars (BAR) whose first trade is in a time range, oldest first.

    `closed`: none that is still forming. `complete`: only those that are proven to be complete.

    Raises RequestError if no bars of the rule are stored; it names those that are.
    """
    choice = _choice(reader, market, rule, span) | {"closed": closed, "complete": complete}
    sql, after = _BARS % select_columns(BAR) + _PAGE, _FIRST
    while True:
        found = reader.database.query(sql, choice | after | {"limit": PAGE_ROWS})
        page = found.cast(BAR)  # type: ignore[arg-type]
        if page.height:
            yield page
            after = {"after_day": f"{page['day'][-1]}", "after_number": page["number"][-1]}
        if page.height < PAGE_ROWS:
            return


def read_rule(text: str) -> BarRule:
    """Return the rule of a text such as `volume 50`. Raises RequestError."""
    try:
        return parse_rule(text)
    except ValueError:
        raise RequestError(
            f"bars: got {text!r}, takes a kind and a positive threshold, such as 'tick 1000', "
            "'volume 50' or 'dollar 1000000'"
        ) from None


def count_bars(reader: Reader, market: Market, rule: BarRule, span: Span) -> int:
    """Return how many bars begin in a time range, whatever their state. Raises RequestError."""
    choice = _choice(reader, market, rule, span) | {"closed": False, "complete": False} | _FIRST
    return int(reader.database.query(_BARS % "count() AS rows", choice).item())


def _choice(reader: Reader, market: Market, rule: BarRule, span: Span) -> dict[str, Any]:
    """Return the parameters of a query for bars. Raises RequestError if none are stored."""
    rules = stored_rules(reader, market)
    if not rules:
        raise RequestError(f"bars: got {rule}, but no bars of {market} are stored")
    if rule not in rules:
        raise RequestError(
            f"bars: got {rule}, takes one stored of {market}: {', '.join(map(str, rules))}"
        )
    begin, end = reader.clip(market, span)
    names = {"kind": rule.kind, "threshold": rule.threshold, "begin": begin, "end": end}
    return market._asdict() | names


def stored_rules(reader: Reader, market: Market) -> list[BarRule]:
    """Return the rules of which bars of a market are stored; none in an older database."""
    if not reader.database.query(_HAS_TABLE).item():
        return []
    return [BarRule(*row) for row in reader.database.query(_RULES, market._asdict()).iter_rows()]
