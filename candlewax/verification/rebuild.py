"""Rebuild of trades and candles from stored frames, compared with the stored ones.

The frames flow through the pipeline into a temporary database, which is compared and dropped.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.binding import quote_identifier

from candlewax.clickhouse.client import Database, open_tables
from candlewax.clickhouse.retention import read_keep
from candlewax.core.trades.limits import AHEAD_US
from candlewax.feeds.replay.stored_frames import StoredFrameSource
from candlewax.runtime.counters import Counters
from candlewax.runtime.keep_settings import format_keep
from candlewax.runtime.settings import Settings
from candlewax.verification.content_hash import Comparison, compare

FIRST: Final = 0
LAST: Final = 10_000_000_000_000_000
"""Bounds of all times, in microseconds since 1970."""

# State before the first frame that is read: the last number of each numbering of a market, and the
# numberings themselves.
_COPY_LAST_NUMBERS: Final = """
INSERT INTO {rebuilt}.silver_trades ({columns})
SELECT {columns}
FROM silver_trades FINAL
WHERE (exchange, symbol, numbering, sequence) IN
(
    SELECT exchange, symbol, numbering, max(sequence)
    FROM silver_trades
    WHERE sequence > 0 AND received_at < fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
    GROUP BY exchange, symbol, numbering
)
"""
_COPY_NUMBERINGS: Final = """
INSERT INTO {rebuilt}.numberings
SELECT *
FROM numberings FINAL
WHERE (exchange, symbol) IN
(
    SELECT exchange, symbol
    FROM silver_trades
    WHERE sequence > 0 AND received_at < fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
)
"""

_EXPIRED: Final = """
SELECT toString(exchange) AS exchange, toString(toDate(received_at)) AS day,
    toString(min(received_at)) AS first
FROM silver_trades
WHERE received_at >= fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC')
    AND timestamp < fromUnixTimestamp64Micro({end:Int64}, 'UTC')
GROUP BY exchange, toDate(received_at)
HAVING (exchange, day) NOT IN
    (SELECT DISTINCT toString(exchange), toString(toDate(received_at)) FROM bronze_frames)
ORDER BY first
LIMIT 1
"""

_COLUMNS: Final = """
SELECT name FROM system.columns
WHERE database = currentDatabase() AND table = 'silver_trades' AND default_kind != 'MATERIALIZED'
ORDER BY position
"""


class RebuildError(RuntimeError):
    """Error for a rebuild that is not possible; the text says why."""


@dataclass(frozen=True)
class RebuildResult:
    """Result of a rebuild: the number of frames read, and the comparison."""

    frames: int
    comparison: Comparison


Play = Callable[[StoredFrameSource, Database, Counters], None]
"""Callable that runs frames through the whole pipeline into a database, to their end."""


def rebuild(
    settings: Settings, play: Play, stored: Database, begin: int = FIRST, end: int = LAST
) -> RebuildResult:
    """Rebuild from all frames that can hold a trade since `begin`, and compare the results.

    Compares the trades from `begin` to before `end`, and the candles whose windows lie within
    (microseconds since 1970).

    A trade's time is at most 60 s after its receipt, so frames are read from 60 s before `begin`,
    and to the last one, as trades may be repeated or repaired later. Of earlier rows only the last
    number of each market is copied. Raises RebuildError.
    """
    since_us = max(FIRST, begin - AHEAD_US)
    _check_frames(stored, since_us, begin, end)
    with _temporary_database(settings, stored) as (name, rebuilt):
        _copy_numbers(stored, name, since_us)
        counters = Counters()
        play(StoredFrameSource(stored, since_us), rebuilt, counters)
        return RebuildResult(counters.total("frames"), compare(stored, rebuilt, begin, end))


def _check_frames(stored: Database, since_us: int, begin: int, end: int) -> None:
    expired = stored.query(_EXPIRED, {"since": since_us, "begin": begin, "end": end})
    if expired.height:
        exchange, day, first = expired.row(0)
        keep = read_keep(stored)["bronze_frames"]
        raise RebuildError(
            f"trades of {exchange} came by frames of {day} ({first} and later), which are not "
            f"stored any more: frames are kept for {format_keep(keep)}; --from takes a later time"
        )


@contextmanager
def _temporary_database(settings: Settings, stored: Database) -> Iterator[tuple[str, Database]]:
    """Yield name and connection of a temporary database in the same ClickHouse."""
    name = f"{settings.database}_rebuild_{os.getpid()}_{os.urandom(4).hex()}"
    database = open_tables(settings.clickhouse, name)
    try:
        # The frames need not be stored a second time.
        database.client.command("DROP TABLE bronze_frames SYNC")
        database.client.command(
            f"CREATE TABLE bronze_frames AS {quote_identifier(settings.database)}.bronze_frames "
            "ENGINE = Null"
        )
        yield name, database
    finally:
        database.close()
        stored.client.command(f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC")


def _copy_numbers(stored: Database, name: str, since_us: int) -> None:
    columns = ", ".join(map(quote_identifier, stored.query(_COLUMNS)["name"]))
    parameters: dict[str, Any] = {"since": since_us}
    for sql in (_COPY_LAST_NUMBERS, _COPY_NUMBERINGS):
        statement = sql.format(rebuilt=quote_identifier(name), columns=columns)
        stored.client.command(statement, parameters=parameters)
