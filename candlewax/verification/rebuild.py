"""Silver and gold once more, from the stored frames alone: does the same come out?

The frames flow through the pipeline itself into a database beside the stored one,
which is dropped again, and the two are compared.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from clickhouse_connect.driver.binding import quote_identifier

from candlewax.clickhouse.client import Database, open_tables
from candlewax.core.trades.limits import AHEAD_US
from candlewax.feeds.replay.stored_frames import StoredFrames
from candlewax.runtime.counters import Tally
from candlewax.runtime.settings import Settings
from candlewax.verification.content_hash import Comparison, compare

FIRST: Final = 0
LAST: Final = 10_000_000_000_000_000
"""Before and after all times, in microseconds since 1970."""

# What came before the first frame that is read: the number at which each numbering of a market
# stood, and where those began.
_STOOD: Final = """
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
_BEGUN: Final = """
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

_GONE: Final = """
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
    """Nothing can be rebuilt; the text says why."""


@dataclass(frozen=True)
class Rebuilt:
    """What came out: `frames` were read, `comparison` tells what it equals."""

    frames: int
    comparison: Comparison


Play = Callable[[StoredFrames, Database, Tally], None]
"""Plays frames through the whole pipeline into a database, to their end."""


def rebuild(
    settings: Settings, play: Play, stored: Database, begin: int = FIRST, end: int = LAST
) -> Rebuilt:
    """Rebuild from all frames that can hold a trade since `begin`, and compare the trades
    from `begin` to before `end` and the candles whose windows lie wholly within
    (microseconds since 1970).

    All that is compared comes from frames: a trade may be dated 60 s after its frame
    came, never more, so none since `begin` was received earlier than that; and one that
    was repeated or repaired later counts, as all frames since are read. Of what was
    stored before, only the numbers are taken at which each market stood.

    Raises RebuildError.
    """
    since = max(FIRST, begin - AHEAD_US)
    _check(stored, since, begin, end)
    with _beside(settings, stored) as (name, rebuilt):
        _stand(stored, name, since)
        tally = Tally()
        play(StoredFrames(stored, since), rebuilt, tally)
        return Rebuilt(tally.total("frames"), compare(stored, rebuilt, begin, end))


def _check(stored: Database, since: int, begin: int, end: int) -> None:
    gone = stored.query(_GONE, {"since": since, "begin": begin, "end": end})
    if gone.height:
        exchange, day, first = gone.row(0)
        raise RebuildError(
            f"trades of {exchange} came by frames of {day} ({first} and later), which are not "
            "stored any more: frames are kept for 7 days; --from takes a later time"
        )


@contextmanager
def _beside(settings: Settings, stored: Database) -> Iterator[tuple[str, Database]]:
    """A database of its own in the same ClickHouse, for a while."""
    name = f"{settings.database}_rebuild_{os.getpid()}_{os.urandom(4).hex()}"
    opened = open_tables(settings.clickhouse, name)
    try:
        # The frames are stored already.
        opened.client.command("DROP TABLE bronze_frames SYNC")
        opened.client.command(
            f"CREATE TABLE bronze_frames AS {quote_identifier(settings.database)}.bronze_frames "
            "ENGINE = Null"
        )
        yield name, opened
    finally:
        opened.close()
        stored.client.command(f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC")


def _stand(stored: Database, name: str, since: int) -> None:
    columns = ", ".join(map(quote_identifier, stored.query(_COLUMNS)["name"]))
    parameters: dict[str, Any] = {"since": since}
    for sql in (_STOOD, _BEGUN):
        filled = sql.format(rebuilt=quote_identifier(name), columns=columns)
        stored.client.command(filled, parameters=parameters)
