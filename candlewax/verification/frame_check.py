"""The check of stored frames: each trade they hold is stored, or a dead letter.

The trades are read from the frames by SQL that shares nothing with the decoder; see
`clickhouse/ddl/75_frame_check.sql`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_connect.driver.client import Client

CHUNK_TRADES: Final = 2_000_000
"""Trades that are compared at once, of whole hours of receipt: what memory is needed for."""

SETTLE_S: Final = (1.0, 4.0)
"""Seconds to wait before mismatches are looked at again where a process may store meanwhile: it
stores frames before their trades."""

_HOURS: Final = """
SELECT toUnixTimestamp(toStartOfHour(received_at)) AS hour, sum(trades)
FROM bronze_frames
WHERE kind = 'trade'
GROUP BY hour
ORDER BY hour
"""

_MISSING: Final = """
SELECT *, count() OVER () AS total
FROM frame_trade_mismatches(
    begin = {begin:DateTime64(6, 'UTC')}, end = {end:DateTime64(6, 'UTC')}
)
ORDER BY exchange, native_symbol, trade_id, source, source_partition, source_offset, source_index
LIMIT {limit:UInt32}
"""

_HOUR_S: Final = 3600


def find_missing_trades(
    client: Client,
    most: int,
    settle_s: Sequence[float] = (),
    wait: Callable[[float], object] = time.sleep,
) -> tuple[int, int, list[dict[str, Any]]]:
    """Return how many trades the stored frames hold, how many of them are neither stored nor
    dead letters, and at `most` so many of these (rows of `frame_trade_mismatches`).

    A trade counts as missing only if it is missing still after each pause of `settle_s`.
    """
    checked = missing = 0
    examples: list[dict[str, Any]] = []
    for begin, end, trades in _chunks(client):
        checked += trades
        total, rows = _missing(client, begin, end, most)
        for seconds in settle_s:
            if not total:
                break
            wait(seconds)
            total, rows = _missing(client, begin, end, most)
        missing += total
        examples += rows[: most - len(examples)]
    return checked, missing, examples


def _chunks(client: Client) -> Iterator[tuple[int, int, int]]:
    """Yield spans of receipt (seconds since 1970, the end exclusive), and their trades."""
    begin, end, trades = 0, 0, 0
    for hour, count in client.query(_HOURS).result_rows:
        if trades and trades + count > CHUNK_TRADES:
            yield begin, end, trades
            trades = 0
        if not trades:
            begin = hour
        end, trades = hour + _HOUR_S, trades + count
    if trades:
        yield begin, end, trades


def _missing(client: Client, begin: int, end: int, most: int) -> tuple[int, list[dict[str, Any]]]:
    span = {"begin": datetime.fromtimestamp(begin, UTC), "end": datetime.fromtimestamp(end, UTC)}
    rows = list(client.query(_MISSING, parameters={**span, "limit": most}).named_results())
    total = rows[0]["total"] if rows else 0
    return total, [{k: v for k, v in row.items() if k != "total"} for row in rows]
