"""Helpers that read frames without any engine."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl

from candlewax.core import instruments
from candlewax.core.schema import FRAMES, VENDOR
from candlewax.core.trades.decode import DecodedFrames, decode
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import SELL

INSTRUMENTS = instruments.load(Path(__file__).parents[2] / "instruments.toml")

RECEIVED_NS = 1_800_000_000_123_456_789
"""2027-01-15 08:00:00.123456789 UTC."""

KINDS = {1: "trade", 2: "control", 3: "dead"}


def read(
    exchange: str,
    *texts: str,
    recv_ns: int = RECEIVED_NS,
    few: int = 0,
    connection: str = "c0",
) -> DecodedFrames:
    """Read frames of one connection: in columns, or one by one if they are no more than
    a few.
    """
    rows = [(recv_ns + n, connection, n, text) for n, text in enumerate(texts)]
    frames = pl.DataFrame(rows, schema=FRAMES, orient="row")
    with mock.patch("candlewax.core.trades.decode.ONE_BY_ONE_FRAMES", few):
        return decode(EXCHANGES[exchange], frames, INSTRUMENTS)


def kinds(exchange: str, *texts: str) -> list[str]:
    """What became of each frame."""
    return kinds_of(exchange, "c0", *texts)


def kinds_of(exchange: str, connection: str, *texts: str) -> list[str]:
    """What became of each frame of a connection."""
    bronze = read(exchange, *texts, connection=connection).bronze
    return [KINDS[kind] for kind in bronze["kind"]]


def reasons(exchange: str, *texts: str) -> list[str]:
    """The reasons of the dead letters."""
    return reasons_of(exchange, "c0", *texts)


def reasons_of(exchange: str, connection: str, *texts: str) -> list[str]:
    """The reasons of the dead letters of a connection's frames."""
    return read(exchange, *texts, connection=connection).dead_letters["reason"].to_list()


def trades(exchange: str, *texts: str) -> list[dict[str, Any]]:
    """The trades as dictionaries, vendor fields by their own names under `vendor`."""
    return trades_of(exchange, "c0", *texts)


def trades_of(exchange: str, connection: str, *texts: str) -> list[dict[str, Any]]:
    """The same of a connection's frames."""
    found = []
    for row in read(exchange, *texts, connection=connection).trades.rows(named=True):
        vendor = {
            name.removeprefix(VENDOR): value
            for name, value in row.items()
            if name.startswith(VENDOR) and value is not None
        }
        plain = {name: value for name, value in row.items() if not name.startswith(VENDOR)}
        plain["side"] = "SELL" if row["side"] == SELL else "BUY"
        found.append({**plain, "vendor": vendor})
    return found


def at(text: str) -> datetime:
    """A time in UTC, with any number of digits up to microseconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ms(number: int) -> datetime:
    """A time from milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=number)
