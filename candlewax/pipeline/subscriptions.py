"""Table `subscriptions`: since when live feeds ask for a market."""

from collections.abc import Callable
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.schema import TIME, Columns
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.clocks import wall_clock

SUBSCRIPTIONS: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "at": TIME,
    "subscribed": pl.Boolean,
}
"""Rows of `subscriptions`."""

_SUBSCRIBED: Final = """
SELECT toString(exchange) AS exchange, toString(symbol) AS symbol
FROM subscriptions FINAL
WHERE exchange IN {exchanges:Array(String)}
GROUP BY exchange, symbol
HAVING argMax(subscribed, at)
"""


def record_subscriptions(
    process: ProcessContext, database: Database, now_us: Callable[[], int] = wall_clock
) -> None:
    """Store which markets this process begins to ask for, and which it no longer asks for.

    Markets of other exchanges, and of shards that other processes read, stay as they are. If
    nothing has changed, or the feed is not live, nothing is stored.
    """
    if not process.is_live:
        return
    wanted = {
        (exchange, symbol)
        for exchange in process.exchanges
        for native_symbol in process.instruments.subscriptions(exchange)
        if (symbol := process.unified_symbol(exchange, native_symbol))
        and process.reads_market(exchange, symbol)
    }
    stored = database.query(_SUBSCRIBED, {"exchanges": list(process.exchanges)}).rows()
    known = {market for market in stored if process.reads_market(*market)}
    at = now_us()
    rows = [(*market, at, market in wanted) for market in sorted(wanted ^ known)]
    if rows:
        table = pl.DataFrame(rows, SUBSCRIPTIONS, orient="row").to_arrow()
        token = f"subscriptions-{at}-{rows}"
        database.with_retries(lambda: database.insert("subscriptions", table, token))
