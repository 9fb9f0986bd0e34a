"""Candles of each status and gaps of each state."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from candlewax.clickhouse.client import Database
from tests.support.traded_market import candles
from tests.support.web_server import BEGIN, row, store_rows

STATUSES = ("complete", "gaps", "partial", "unverified")
SECONDS = int(BEGIN.timestamp())


def store_states(tables: Database) -> None:
    """Store candles of SOL/USDT, and gaps of two other markets."""
    store_rows(tables, list(certified_candles()))
    for number, state in enumerate(("open", "repairing", "unrepairable", "repaired")):
        for symbol in ("BTC/USDT", "ETH/USDT"):
            tables.client.command(
                "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, "
                "before, after, connection, detected_at, state, attempts) VALUES ('binance', "
                f"'{symbol}', {10 * number}, {10 * number + 1}, 2, {SECONDS + number}, "
                f"{SECONDS + number + 1}, 'b', {SECONDS}, '{state}', 1)"
            )


def certified_candles() -> Iterator[dict[str, Any]]:
    """200 candles, the status of each by its number; the last one forms. And their day."""
    for number in range(200):
        closed = number < 199
        values = {**candles()[0], "window_start": BEGIN + timedelta(minutes=number)}
        status = STATUSES[number % 4] if closed else "forming"
        yield {
            **row("1m", "SOL/USDT", **{**values, "closed": closed}),
            "status": status,
        }
    yield row("1d", "SOL/USDT", **{**candles(timedelta(days=1))[0], "closed": False})
