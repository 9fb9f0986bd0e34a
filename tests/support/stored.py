"""What the tables hold, what the oracle expects of them, and the comparison of both."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from candlewax.clickhouse.client import Database
from tests.support import oracle
from tests.support.oracle import Fill
from tests.support.playing import Frame, all_fills

FIELDS = (
    "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "buy_volume",
    "buy_quote_volume", "open_time", "close_time", "first_sequence", "last_sequence", "closed",
    "version",
)  # fmt: skip

CERTIFICATE = ("missing", "status", "feed_down_ms", "repaired", "revision")


def silver(tables: Database) -> dict[tuple[str, str, str], tuple[object, ...]]:
    """The stored trades by identity."""
    rows = tables.query(
        """
        SELECT exchange, symbol, trade_id, sequence, toUnixTimestamp64Micro(timestamp),
            toString(side), price, quantity, price * quantity = quote_volume, conditions
        FROM silver_trades FINAL
        """
    ).rows()
    assert len({row[:3] for row in rows}) == len(rows)
    return {row[:3]: row[3:] for row in rows}


def expected_silver(fills: Sequence[Fill]) -> dict[tuple[str, str, str], tuple[object, ...]]:
    """The trades that must be stored."""
    return {
        fill.identity: (
            fill.sequence,
            fill.time,
            "BUY" if fill.bought else "SELL",
            fill.price,
            fill.quantity,
            True,
            list(fill.conditions),
        )
        for fill in oracle.distinct(fills)
    }


def gold(tables: Database) -> dict[oracle.Window, dict[str, Any]]:
    """The stored candles."""
    rows = tables.query(
        f"""
        SELECT toString(timeframe) AS timeframe, exchange, symbol,
            toUnixTimestamp(window_start) AS window_start,
            {", ".join(FIELDS)}
        FROM ohlcv FINAL
        """
    ).rows(named=True)
    for row in rows:
        for name in ("open_time", "close_time"):
            row[name] = (row[name] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return {
        (row["timeframe"], row["exchange"], row["symbol"], row["window_start"]): {
            name: row[name] for name in FIELDS
        }
        for row in rows
    }


def certificates(tables: Database) -> dict[oracle.Window, dict[str, Any]]:
    """What the stored candles say of what they miss."""
    rows = tables.query(
        f"""
        SELECT toString(timeframe) AS timeframe, exchange, symbol,
            toUnixTimestamp(window_start) AS window_start,
            {", ".join(CERTIFICATE).replace("status", "toString(status) AS status")}
        FROM ohlcv FINAL
        """
    ).rows()
    return {row[:4]: dict(zip(CERTIFICATE, row[4:], strict=True)) for row in rows}


def check_revisions(tables: Database) -> None:
    """What is known now of closed candles is what is stored of them."""
    names = ", ".join(("timeframe", "exchange", "symbol", "window_start", *FIELDS, *CERTIFICATE))
    sides = (
        f"SELECT {names} FROM ohlcv FINAL WHERE closed",
        f"SELECT {names.replace('closed', 'true')} FROM ohlcv_as_of(t = now64(6))",
    )
    stored, known = (set(tables.query(sql).rows()) for sql in sides)
    assert stored == known


def expected_gold(fills: Sequence[Fill]) -> dict[oracle.Window, dict[str, Any]]:
    """The candles that must be stored."""
    return oracle.candles(oracle.distinct(fills), oracle.watermarks(fills))


def check(frames: Sequence[Frame], tables: Database, outages: oracle.Outages | None = None) -> None:
    """The tables hold exactly what these frames say."""
    fills = all_fills(frames)
    assert silver(tables) == expected_silver(fills)
    assert gold(tables) == expected_gold(fills)
    assert certificates(tables) == oracle.certificates(fills, outages)
    check_revisions(tables)
    (stored,) = tables.query(
        "SELECT count(), sum(trades), sum(trades) - sum(duplicates) FROM bronze_frames FINAL"
    ).rows()
    identities = {(f.exchange, f.connection, f.seq, f.recv_us) for f in frames}
    assert stored[0] == len(identities)
    assert stored[2] == len(oracle.distinct(fills))
    check_gaps(fills, tables)
    check_watermarks(fills, tables)


def check_watermarks(fills: Sequence[Fill], tables: Database) -> None:
    """The table says which candles are closed: windows end on whole minutes, so it need not
    be nearer than that.
    """
    rows = tables.query(
        """
        SELECT exchange, toUnixTimestamp64Micro(max(watermark)) FROM watermarks GROUP BY exchange
        """
    ).rows()
    expected = oracle.watermarks(fills)
    assert {name: mark // 60_000_000 for name, mark in rows} == {
        name: mark // 60_000_000 for name, mark in expected.items()
    }


def check_gaps(fills: Sequence[Fill], tables: Database) -> None:
    """The table of gaps tells of each number that is missing, and of none that is not,
    whatever batches it was found in.
    """
    seen = {(fill.exchange, fill.symbol, fill.sequence) for fill in fills if fill.sequence}
    rows = tables.query(
        """
        SELECT exchange, symbol, first_sequence, last_sequence, min(missing) AS missing,
            toString(max(state)) AS state
        FROM gaps
        GROUP BY exchange, symbol, first_sequence, last_sequence
        """
    ).rows()
    told = set()
    for exchange, symbol, first, last, missing, state in rows:
        numbers = {(exchange, symbol, number) for number in range(first, last + 1)}
        assert missing == len(numbers - seen)
        assert state == ("open" if missing else "repaired")
        told |= numbers
    for exchange, symbol in {key[:2] for key in seen}:
        own = {number for *key, number in seen if (exchange, symbol) == tuple(key)}
        inside = {(exchange, symbol, number) for number in range(min(own), max(own) + 1)}
        assert inside - seen <= told
        assert {key for key in told if key[:2] == (exchange, symbol)} <= inside
