"""Check that REST answers name trades by the ids that the websocket gave them.

Where ids do not count trades, the trades of an outage are requested over REST, and received ones
are known by their ids alone. Were the ids of the two interfaces different, each trade that came
over both would be stored twice. So an answer is compared with the stored trades of its time.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FROM_REST
from candlewax.core.instruments import Instrument, Instruments
from candlewax.core.schema import FRAMES
from candlewax.core.trades.decode import decode
from candlewax.core.trades.unnumbered import SAME_TRADE, SAME_TRADE_US
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Answer
from candlewax.feeds.rest.span_pages import BackfillError

_RECEIVED: Final = """
SELECT trade_id, toInt8(side) AS side, price, quantity, timestamp FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND native_symbol = {native_symbol:String}
    AND via = 'websocket'
    AND timestamp >= fromUnixTimestamp64Micro({first:Int64}, 'UTC')
    AND timestamp <= fromUnixTimestamp64Micro({last:Int64}, 'UTC')
ORDER BY timestamp, trade_id
"""

_CONTENT: Final = ("side", "price", "quantity")
_COLUMNS: Final = ("trade_id", *_CONTENT, "timestamp")

_log: Final = logging.getLogger(__name__)

CheckAnswer = Callable[[str, Answer], None]
"""Checks an answer about a native symbol. Raises BackfillError if it must not be stored."""


def check_nothing(_: str, __: Answer) -> None:
    """Accept an answer."""


class IdCheck:
    """Check of the answers of one exchange against the stored trades of its websocket."""

    def __init__(self, database: Database, exchange: str, wait: Callable[[float], object]) -> None:
        self._database = database
        self._exchange = EXCHANGES[exchange]
        self._wait = wait

    def __call__(self, native_symbol: str, answer: Answer) -> None:
        """Check an answer about a market.

        Raises BackfillError if received trades would be stored again: if it shows none of its time
        under its id and half of them or more under another one, or one at another time. Logs
        received trades that it shows with other content.
        """
        times = answer.page.times_us
        if not times:
            return
        # Some exchanges cut times to the second over REST.
        received = self._read_received(native_symbol, min(times), max(times) + SAME_TRADE_US)
        if received.is_empty():
            return
        shown = self._decode(native_symbol, answer)
        same_id = received.join(shown, on="trade_id", suffix="_shown")
        if same_id.is_empty():
            self._refuse_twins(native_symbol, received, shown)
            return
        self._refuse_moved(native_symbol, same_id)
        self._report_changed(native_symbol, same_id)

    def _read_received(self, native_symbol: str, first_us: int, last_us: int) -> pl.DataFrame:
        parameters = {
            "exchange": self._exchange.id,
            "native_symbol": native_symbol,
            "first": first_us,
            "last": last_us,
        }
        return self._database.query(_RECEIVED, parameters, self._wait)

    def _decode(self, native_symbol: str, answer: Answer) -> pl.DataFrame:
        """Return the trades of an answer: trade_id, side, price, quantity and timestamp."""
        row = (answer.received_ns, FROM_REST + native_symbol, 0, answer.text)
        frames = pl.DataFrame([row], FRAMES, orient="row")
        # Symbols are not compared, so any will do.
        instruments = Instruments({self._exchange.id: {native_symbol: Instrument("X/Y", "X", "Y")}})
        trades = decode(self._exchange, frames, instruments).trades
        return trades.select(_COLUMNS)

    def _refuse_twins(
        self, native_symbol: str, received: pl.DataFrame, shown: pl.DataFrame
    ) -> None:
        twins = received.join(shown, on=_CONTENT, suffix="_shown").filter(_ARE_NEAR)
        # Few equal fills behind the end of the answer may be trades of their own.
        if 2 * twins["trade_id"].n_unique() >= received.height:
            names = twins.select("trade_id", "trade_id_shown", "timestamp")
            trade_id, shown_id, time = names.row(0)
            raise BackfillError(
                f"{self._exchange.id}: REST names trades of {native_symbol} by other ids than the "
                f"websocket, as {shown_id} for {trade_id} of {_show(time)}: stored, they "
                "would count twice"
            )

    def _refuse_moved(self, native_symbol: str, same_id: pl.DataFrame) -> None:
        moved = same_id.filter(~_ARE_NEAR)
        if moved.height:
            times = moved.select("trade_id", "timestamp", "timestamp_shown")
            trade_id, time, time_shown = times.row(0)
            raise BackfillError(
                f"{self._exchange.id}: REST gives trades of {native_symbol} other times than the "
                f"websocket, as {_show(time_shown)} for {_show(time)} of {trade_id}: stored, they "
                "would count twice"
            )

    def _report_changed(self, native_symbol: str, same_id: pl.DataFrame) -> None:
        changed = same_id.filter(
            pl.any_horizontal(pl.col(c) != pl.col(f"{c}_shown") for c in _CONTENT)
        )
        if changed.height:
            _log.warning(
                "%s: REST shows %d received trades of %s with other content, first that with id "
                "%s; the received content stays",
                self._exchange.id, changed.height, native_symbol, changed["trade_id"][0],
            )  # fmt: skip


def _show(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}Z"


_ARE_NEAR: Final = (pl.col("timestamp") - pl.col("timestamp_shown")).abs() <= SAME_TRADE
