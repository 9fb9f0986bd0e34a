"""Tables with candles, comparisons and subscriptions, and their consolidated candles."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle
from typing import Any

from candlewax.clickhouse.client import Database
from tests.support import oracle
from tests.support.candles import DAY
from tests.support.consolidated_oracle import Comparison, Comparisons, Market
from tests.support.oracle import LENGTHS, Fill
from tests.support.verified_tables import moment, store_candles

SECOND = 1_000_000
MINUTE = 60 * SECOND
NOON = DAY + 12 * 60 * MINUTE

FIELDS = (
    "open", "high", "low", "close", "volume", "quote_volume", "vwap", "trade_count", "buy_volume",
    "closed", "status", "trusted", "missing", "venues", "absent", "high_close", "low_close",
    "spread", "spread_bps",
)  # fmt: skip
PART = (
    "exchange",
    "symbol",
    "state",
    "close",
    "volume",
    "trade_count",
    "missing",
    "share",
    "proof",
)


def store(
    tables: Database,
    fills: Sequence[Fill],
    subscribed: Sequence[Market] = (),
    comparisons: Comparisons | None = None,
) -> None:
    """Store the candles of trades, comparisons, and markets that are subscribed since 1970."""
    for table in ("ohlcv", "subscriptions", "reconciliations"):
        tables.client.command(f"TRUNCATE TABLE {table}")
    certificates = oracle.certificates(fills)
    candles = oracle.candles(fills, oracle.watermarks(fills))
    store_candles(
        tables.client, {key: {**one, **certificates[key]} for key, one in candles.items()}
    )
    if subscribed:
        rows = [[*market, datetime(1970, 1, 2, tzinfo=UTC), True] for market in subscribed]
        names = ["exchange", "symbol", "at", "subscribed"]
        tables.client.insert("subscriptions", rows, column_names=names)
    if comparisons:
        compared = [
            [
                exchange,
                symbol,
                moment(minute * SECOND),
                result,
                2 * count + (count > 0),
                moment(DAY),
            ]
            for (exchange, symbol, minute), (result, count) in comparisons.items()
        ]
        names = ["exchange", "symbol", "window_start", "result", "version", "compared_at"]
        tables.client.insert("reconciliations", compared, column_names=names)


def read(
    tables: Database, timeframe: str = "1m", kind: str = "spot", quotes: Sequence[str] = ("USD",),
    begin: int = DAY, end: int = DAY + 86_400 * SECOND,
) -> list[dict[str, Any]]:  # fmt: skip
    """Read the consolidated candles of BTC."""
    rows = tables.query(
        "SELECT * FROM consolidated(timeframe = {t:String}, base = 'BTC', "
        "quotes = {q:Array(String)}, kind = {k:String}, begin = {b:DateTime('UTC')}, "
        "end = {e:DateTime('UTC')}) ORDER BY window_start",
        {"t": timeframe, "q": list(quotes), "k": kind, "b": moment(begin), "e": moment(end)},
    )
    assert (rows["window_end"] - rows["window_start"]).unique().to_list() in (
        [], [LENGTHS[timeframe]]
    )  # fmt: skip
    return [
        {
            **{name: row[name] for name in ("window_start", *FIELDS)},
            **{name: row[name].timestamp() * SECOND for name in ("open_time", "close_time")},
            **{
                f"{one}_market": (row[f"{one}_exchange"], row[f"{one}_symbol"])
                for one in ("high_close", "low_close")
            },
            "parts": [{name: part[name] for name in PART} for part in row["parts"]],
        }
        for row in rows.iter_rows(named=True)
    ]


def states(tables: Database, **options: Any) -> dict[int, dict[str, str]]:
    """Return the state of each exchange, by minute of the day."""
    return {
        (row["window_start"] * SECOND - DAY) // MINUTE: {
            part["exchange"]: part["state"] for part in row["parts"]
        }
        for row in read(tables, **options)
    }


def fill(exchange: str, number: int, minute: int, symbol: str = "BTC/USD") -> Fill:
    """A trade in the middle of a minute after noon."""
    return Fill(
        exchange, symbol, str(number), number, NOON + minute * MINUTE + 30 * SECOND,
        number % 2 == 0, Decimal(100 + number), Decimal(number),
    )  # fmt: skip


def compare(fills: Sequence[Fill], results: Sequence[str]) -> Comparisons:
    """Comparisons of the minutes with trades, in order, with these results over and over."""
    counts = Counter((one.exchange, one.symbol, one.time // MINUTE * 60) for one in fills)
    found: dict[tuple[str, str, int], Comparison] = {}
    for (minute, count), result in zip(sorted(counts.items()), cycle(results), strict=False):
        if result != "no":
            is_before = result == "before"
            found[minute] = ("equal", count - 1) if is_before else (result, count)
    return found


def proofs(row: dict[str, Any]) -> dict[str, str]:
    """The proof of each exchange's part."""
    return {part["exchange"]: part["proof"] for part in row["parts"]}
