"""Requests for spans of time: of the one before the start, and of outages that no gap shows.

Where ids do not count trades, nothing tells which trades an outage cost. Of each market it is a row
of `market_outages`, from the last frame of its connection until it is subscribed again. So all
trades since its begin are requested once it is over; those that are stored are known by their ids.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.feeds.rest.client import Answer, Client
from candlewax.feeds.rest.id_check import CheckAnswer, IdCheck, check_nothing
from candlewax.feeds.rest.start_fill import StartFill, StartSpan, markets_to_fill

_MARGIN_US: Final = 2_000_000
"""Time before an outage that is requested, too: trades of it may still have been on their way."""

_RECENT_US: Final = 3_600_000_000
"""Outages that ended so long before the start are requested, too: the process before may have been
killed before it had requested all. So late an outage may be stored after its end."""

_NOW: Final = "SELECT toUnixTimestamp64Micro(now64(6)) AS now"

_OUTAGES: Final = """
SELECT symbol, toUnixTimestamp64Micro(stored.began) AS began,
    toUnixTimestamp64Micro(min(stored.since)) AS since,
    toUnixTimestamp64Micro(max(stored.ended)) AS ended
FROM market_outages AS stored
WHERE exchange = {exchange:String}
    AND stored.ended > fromUnixTimestamp64Micro({since:Int64}, 'UTC')
    AND stored.ended <= now64(6) - toIntervalMicrosecond({settle:Int64})
GROUP BY symbol, stored.began
ORDER BY symbol, began
"""

_NATIVE_SYMBOLS: Final = """
SELECT symbol, argMax(native_symbol, timestamp) AS native_symbol FROM silver_trades
WHERE exchange = {exchange:String} AND symbol IN {symbols:Array(String)} AND via = 'websocket'
GROUP BY symbol
ORDER BY symbol
"""


class SpanFills:
    """Requests of the spans of one exchange, for use by one thread.

    `put` is called with a native symbol and each response about it. `reads_market` says whether
    this process reads a unified symbol. Trades have `settle_s` seconds after an outage to be shown.
    """

    def __init__(
        self,
        database: Database,
        exchange: str,
        client: Client,
        rest: RestRules,
        span: StartSpan,
        put: Callable[[str, Answer], None],
        wait: Callable[[float], object],
        reads_market: Callable[[str], bool] = lambda _: True,
        settle_s: float = 0.0,
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._client = client
        self._rest = rest
        self._put = put
        self._wait = wait
        self._reads_market = reads_market
        self._settle_us = int(settle_s * 1_000_000)
        names = markets_to_fill(database, exchange, rest, span, wait)
        self._check: CheckAnswer = (
            check_nothing if rest.shows_gaps else IdCheck(database, exchange, wait)
        )
        self._fills = [self._fill(names, span.begin_us)]
        now_us = 0 if rest.shows_gaps else int(database.query(_NOW, {}, wait).item())
        self._since_us = now_us - _RECENT_US
        self._found: dict[tuple[str, int], int] = {}
        """When each market outage that was found ended, by symbol and begin."""

    def run(self) -> None:
        """Request what is due: of the span before the start, and of outages that are over."""
        if not self._rest.shows_gaps:
            self._find_outages()
        for fill in self._fills:
            fill.run()
        self._fills = [fill for fill in self._fills if not fill.is_done]

    def _find_outages(self) -> None:
        """Find market outages that ended, each once, and request the trades since their begins."""
        parameters = {
            "exchange": self._exchange, "since": self._since_us, "settle": self._settle_us,
        }  # fmt: skip
        rows = self._database.query(_OUTAGES, parameters, self._wait).rows()
        begins: dict[str, int] = {}
        for symbol, began, since, ended in rows:
            if (symbol, began) not in self._found:
                self._found[symbol, began] = ended
                if self._reads_market(symbol):
                    begins[symbol] = min(since, begins.get(symbol, since))
        if not begins:
            return
        self._since_us = max(self._since_us, max(self._found.values()) - _RECENT_US)
        self._found = {key: at_us for key, at_us in self._found.items() if at_us > self._since_us}
        for began_us, names in self._markets_by_begin(begins).items():
            self._add(began_us, names)

    def _markets_by_begin(self, begins: Mapping[str, int]) -> dict[int, list[str]]:
        """Return the native symbols of markets by begin, of those with a stored trade."""
        symbols = {"exchange": self._exchange, "symbols": list(begins)}
        rows = self._database.query(_NATIVE_SYMBOLS, symbols, self._wait)
        names: dict[int, list[str]] = {}
        for symbol, native_symbol in rows.iter_rows():
            names.setdefault(begins[symbol], []).append(native_symbol)
        return names

    def _add(self, began_us: int, native_symbols: Sequence[str]) -> None:
        """Request the trades of markets since the begin of an outage.

        While the exchange refuses requests, outages do not add up to ever more of them.
        """
        begin_us = max(0, began_us - _MARGIN_US)
        names = [
            name
            for name in native_symbols
            if not any(fill.covers(name, begin_us) for fill in self._fills)
        ]
        self._fills.append(self._fill(names, begin_us))

    def _fill(self, native_symbols: Sequence[str], begin_us: int) -> StartFill:
        return StartFill(
            self._client, self._rest, native_symbols, begin_us, self._put, check=self._check
        )
