"""The cross-check as it goes on: are the candles that have just closed what the stored
trades say?

`verify` computes every candle again; this only those that closed since the last look, and
a little more. One-minute candles are computed from trades, longer ones from the stored
one-minute candles, so that even the look at the end of a day reads little.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from candlewax.core.candles.combine import SECOND
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US
from candlewax.verification.cross_check_metrics import (
    LENGTHS,
    NAMES,
    CrossCheckMetrics,
    Mismatch,
    Window,
)

BACK_S: Final = 120
"""Seconds before what was looked at last that are looked at again."""

LATE_S: Final = ALLOWED_LATENESS_US // SECOND + 300
"""The same, now and then: a closed candle may change for so long."""

OFTEN: Final = 15
"""Every so many looks go back that far."""

_STEP_S: Final = 3_600
"""The most seconds of an exchange's time that one query computes."""

_MOST_S: Final = 86_400
"""Windows that ended longer before the others are left to `verify`."""

_MOST_WRONG: Final = 1_000
"""Wrong candles that are remembered, and told of by one query."""

_MOST_AGAIN: Final = 20
"""Minutes with wrong candles that one look goes back to."""

# It is to disturb nobody: one thread, behind everyone else, and never for long.
_MODESTLY: Final = """
SETTINGS max_threads = 1, priority = 10, max_memory_usage = 1000000000, max_execution_time = 50,
    join_use_nulls = 0"""

_OF_TRADES: Final = """
SELECT 1 AS number, symbol, toUnixTimestamp(toStartOfMinute(timestamp)) AS start,
    argMin(price, (timestamp, sequence, source_offset, source_index, trade_id) AS place) AS open,
    max(price) AS high, min(price) AS low, argMax(price, place) AS close,
    sum(quantity) AS volume,
    sum(silver_trades.quote_volume) AS quote_volume, count() AS trade_count,
    sumIf(quantity, side = 'BUY') AS buy_volume,
    sumIf(silver_trades.quote_volume, side = 'BUY') AS buy_quote_volume,
    min(timestamp) AS open_time, max(timestamp) AS close_time,
    argMin(sequence, place) AS first_sequence, argMax(sequence, place) AS last_sequence
FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND empty(conditions)
    AND timestamp >= toDateTime({begin:UInt32}, 'UTC')
    AND timestamp < toDateTime({end:UInt32}, 'UTC')
GROUP BY symbol, start
"""

_OF_MINUTES: Final = """
SELECT frame.1 AS number, symbol,
    intDiv(toUnixTimestamp(window_start), frame.2) * frame.2 AS start,
    argMin(ohlcv.open, window_start) AS open, max(ohlcv.high) AS high, min(ohlcv.low) AS low,
    argMax(ohlcv.close, window_start) AS close, sum(ohlcv.volume) AS volume,
    sum(ohlcv.quote_volume) AS quote_volume, sum(ohlcv.trade_count) AS trade_count,
    sum(ohlcv.buy_volume) AS buy_volume, sum(ohlcv.buy_quote_volume) AS buy_quote_volume,
    min(ohlcv.open_time) AS open_time, max(ohlcv.close_time) AS close_time,
    argMin(ohlcv.first_sequence, window_start) AS first_sequence,
    argMax(ohlcv.last_sequence, window_start) AS last_sequence
FROM ohlcv FINAL
ARRAY JOIN {frames:Array(Tuple(UInt8, UInt32))} AS frame
WHERE timeframe = '1m' AND exchange = {exchange:String}
    AND window_start >= toDateTime({earliest:UInt32}, 'UTC')
    AND window_start < toDateTime({end:UInt32}, 'UTC')
    AND start + frame.2 > {begin:UInt32} AND start + frame.2 <= {end:UInt32}
GROUP BY number, frame.2, symbol, start
"""

_COMPARE: Final = """
WITH
    ['open', 'high', 'low', 'close', 'volume', 'quote_volume', 'trade_count', 'buy_volume',
     'buy_quote_volume', 'open_time', 'close_time', 'first_sequence', 'last_sequence', 'closed',
     'version'] AS names,
    [gold.open = sql.open, gold.high = sql.high, gold.low = sql.low, gold.close = sql.close,
     gold.volume = sql.volume, gold.quote_volume = sql.quote_volume,
     gold.trade_count = sql.trade_count, gold.buy_volume = sql.buy_volume,
     gold.buy_quote_volume = sql.buy_quote_volume, gold.open_time = sql.open_time,
     gold.close_time = sql.close_time, gold.first_sequence = sql.first_sequence,
     gold.last_sequence = sql.last_sequence, gold.closed,
     gold.version = 2 * sql.trade_count + 1] AS equal,
    arrayFilter((name, same) -> NOT same, names, equal) AS differing
SELECT count() AS candles,
    groupArrayIf(1000)(
        (
            if(gold.present, gold.number, sql.number),
            if(gold.present, gold.symbol, sql.symbol),
            if(gold.present, gold.start, sql.start),
            multiIf(NOT gold.present, 'missing_in_gold', NOT sql.present, 'missing_in_check',
                'mismatch'),
            if(gold.present AND sql.present, differing, [])
        ),
        notEmpty(differing)
    ) AS wrong
FROM
(
    SELECT *, toUInt8(timeframe) AS number, toUnixTimestamp(window_start) AS start, true AS present
    FROM ohlcv FINAL
    WHERE exchange = {exchange:String}
        AND timeframe IN {names:Array(String)}
        AND window_start >= toDateTime({earliest:UInt32}, 'UTC')
        AND window_start < toDateTime({end:UInt32}, 'UTC')
        AND start + transform(number, {numbers:Array(UInt8)}, {lengths:Array(UInt32)}, 0)
            > {begin:UInt32}
        AND start + transform(number, {numbers:Array(UInt8)}, {lengths:Array(UInt32)}, 0)
            <= {end:UInt32}
) AS gold
FULL JOIN (SELECT *, true AS present FROM (COMPUTED)) AS sql
    ON gold.number = sql.number AND gold.symbol = sql.symbol AND gold.start = sql.start
"""

_MARKS: Final = """
SELECT exchange, toUnixTimestamp(max(watermark)) AS mark FROM watermarks GROUP BY exchange
"""

# What is done with counts for a day, what is not as long as it takes.
_GAPS: Final = """
SELECT exchange, toString(gap_state) AS state, count() AS gaps, sum(gap_missing) AS missing
FROM
(
    SELECT exchange, max(state) AS gap_state, min(gaps.missing) AS gap_missing,
        max(updated_at) AS changed
    FROM gaps
    GROUP BY exchange, symbol, first_sequence, last_sequence, numbering
)
WHERE gap_state < 'unrepairable' OR changed > now64(6) - INTERVAL 1 DAY
GROUP BY exchange, gap_state
"""


@dataclass
class _Looked:
    """What one look has found, and where it looked: exchanges, and from when to when."""

    candles: Counter[str] = field(default_factory=Counter)
    wrong: dict[Window, Mismatch] = field(default_factory=dict)
    spans: list[tuple[str, int, int]] = field(default_factory=list)

    def at(self, window: Window) -> bool:
        """Whether a window was looked at."""
        return any(
            exchange == window.exchange and begin < window.end <= end
            for exchange, begin, end in self.spans
        )


class CrossCheck:
    """Looks at the candles that closed, again and again; not for several threads."""

    def __init__(
        self, client: Client, checked: CrossCheckMetrics, exchanges: Collection[str] | None = None
    ) -> None:
        """Of these exchanges, or of all that the tables hold."""
        self._client = client
        self._checked = checked
        self._exchanges = exchanges
        self._done: dict[str, int] = {}
        self._suspects: dict[Window, Mismatch] = {}
        self._looks = 0

    def run_once(self) -> None:
        """Compare what closed since the last look, and what was wrong then. Raises
        ClickHouseError.
        """
        begin = time.monotonic()
        looked = _Looked()
        for exchange, mark_s in self._own(_MARKS):
            mark = mark_s // 60 * 60
            for earlier, later in _steps(self._begin(exchange, mark), mark):
                self._compare(looked, exchange, earlier, later)
            self._done[exchange] = max(mark, self._done.get(exchange, 0))
        self._checked.compared.update(looked.candles)
        for exchange, end in self._again(looked):
            self._compare(looked, exchange, end - 60, end)
        self._tell(looked)
        self._checked.gaps = [tuple(row) for row in self._own(_GAPS)]
        self._checked.seconds.observe(time.monotonic() - begin)
        self._checked.looked_at = time.time()
        self._looks += 1

    def _own(self, sql: str) -> list[Sequence[Any]]:
        """Return the rows of a query that begin with an exchange that is looked at."""
        rows = self._client.query(sql).result_rows
        return [row for row in rows if self._exchanges is None or row[0] in self._exchanges]

    def _begin(self, exchange: str, mark: int) -> int:
        """From where on an exchange is looked at."""
        done = self._done.get(exchange)
        if done is None:
            return mark - LATE_S
        back = BACK_S if self._looks % OFTEN else LATE_S
        return max(done - back, mark - _MOST_S)

    def _again(self, looked: "_Looked") -> list[tuple[str, int]]:
        """Where else something was wrong: exchanges, and ends of windows."""
        places = {(w.exchange, w.end) for w in self._suspects if not looked.at(w)}
        return sorted(places, key=lambda place: place[1])[-_MOST_AGAIN:]

    def _compare(self, looked: "_Looked", exchange: str, begin: int, end: int) -> None:
        """Compare the windows of an exchange that ended after `begin`, and by `end`."""
        longer = [n for n, length in LENGTHS.items() if n > 1 and end // length > begin // length]
        self._query(_OF_TRADES, looked, (exchange, begin, end), [1])
        if longer:
            self._query(_OF_MINUTES, looked, (exchange, begin, end), longer)
        looked.spans.append((exchange, begin, end))

    def _query(
        self, computed: str, looked: "_Looked", span: tuple[str, int, int], numbers: list[int]
    ) -> None:
        exchange, begin, end = span
        lengths = [LENGTHS[number] for number in numbers]
        parameters = {
            "exchange": exchange,
            "begin": begin,
            "end": end,
            "earliest": min(begin // length * length for length in lengths),
            "numbers": numbers,
            "names": [NAMES[number] for number in numbers],
            "lengths": lengths,
            "frames": list(zip(numbers, lengths, strict=True)),
        }
        sql = _COMPARE.replace("COMPUTED", computed) + _MODESTLY
        ((candles, rows),) = self._client.query(sql, parameters=parameters).result_rows
        for number, symbol, start, problem, fields in rows:
            looked.wrong[Window(exchange, number, symbol, start)] = Mismatch(problem, tuple(fields))
        looked.candles[exchange] += candles

    def _tell(self, looked: "_Looked") -> None:
        """Count what was found twice; what was not looked at again is as it was."""
        known = self._checked.wrong
        unseen = {w: why for w, why in self._suspects.items() if not looked.at(w)}
        found = {**unseen, **looked.wrong}
        wrong = {
            window: why
            for window, why in found.items()
            if window in known or (window in self._suspects and window not in unseen)
        }
        for window, why in wrong.items():
            if window not in known:
                place = (window.exchange, why.problem)
                counts = self._checked.mismatches
                counts[place] = counts.get(place, 0) + 1
        self._suspects = dict(list(found.items())[-_MOST_WRONG:])
        self._checked.wrong = wrong


def _steps(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The span in parts that one query each can look at."""
    while begin < end:
        yield begin, min(begin + _STEP_S, end)
        begin += _STEP_S
