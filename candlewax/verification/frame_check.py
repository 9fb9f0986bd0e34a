"""Check of stored frames: each of their trades is stored or a dead letter.

SQL that shares no code with the decoder reads the trades from the frames of some exchanges; see
`clickhouse/ddl/75_frame_check.sql`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from clickhouse_connect.driver.client import Client

CHUNK_TRADES: Final = 2_000_000
"""Trades per query, in whole hours of receipt; this bounds the memory."""

SETTLE_S: Final = (1.0, 4.0)
"""Pauses in seconds before mismatches are checked again if another process may be storing, as it
stores frames before their trades."""

_HOURS: Final = """
SELECT toUnixTimestamp(toStartOfHour(received_at)) AS hour, sum(trades)
FROM bronze_frames FINAL
WHERE kind = 'trade' AND exchange IN (SELECT exchange FROM frame_check_exchanges)
    AND inserted_at > (SELECT since FROM retention WHERE table = 'silver_trades')
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
    limit: int,
    settle_s: Sequence[float] = (),
    wait: Callable[[float], object] = time.sleep,
) -> tuple[int, int, list[dict[str, Any]]]:
    """Return the number of trades in stored frames, the number missing, and examples.

    A trade is missing if it is neither stored nor a dead letter, and still so after each pause of
    `settle_s`. The examples are up to `limit` rows of `frame_trade_mismatches`.
    """
    checked = missing = 0
    examples: list[dict[str, Any]] = []
    for begin, end, trades in _chunks(client):
        checked += trades
        total, rows = _find_missing(client, begin, end, limit)
        for seconds in settle_s:
            if not total:
                break
            wait(seconds)
            total, rows = _find_missing(client, begin, end, limit)
        missing += total
        examples += rows[: limit - len(examples)]
    return checked, missing, examples


def _chunks(client: Client) -> Iterator[tuple[int, int, int]]:
    """Yield spans of receipt time (seconds since 1970, end exclusive), and their trades."""
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


def _find_missing(
    client: Client, begin: int, end: int, limit: int
) -> tuple[int, list[dict[str, Any]]]:
    span = {"begin": datetime.fromtimestamp(begin, UTC), "end": datetime.fromtimestamp(end, UTC)}
    rows = list(client.query(_MISSING, parameters={**span, "limit": limit}).named_results())
    total = rows[0]["total"] if rows else 0
    return total, [{name: value for name, value in row.items() if name != "total"} for row in rows]
