"""Requests for spans of time: of the one before the start, and of outages that no gap shows.

Where ids do not count trades, nothing tells which trades an outage cost, be it one of the exchange
or of single markets. So all trades of its time are requested once it is over; those that are stored
are known by their ids.
"""

from collections.abc import Callable, Sequence
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.feeds.rest.client import Answer, Client
from candlewax.feeds.rest.start_fill import StartFill, StartSpan, markets_to_fill

_MARGIN_US: Final = 2_000_000
"""Time before an outage that is requested, too: trades of it may still have been on their way."""

_RECENT_US: Final = 3_600_000_000
"""Outages stored or ended so long before the start are requested, too: the process before may have
been killed before it had requested all. So late an outage may be stored after its end."""

_NOW: Final = "SELECT toUnixTimestamp64Micro(now64(6)) AS now"

_OUTAGES: Final = """
SELECT toUnixTimestamp64Micro(min(began)) AS began,
    toUnixTimestamp64Micro(max(inserted_at)) AS inserted, count() AS outages
FROM outages
WHERE exchange = {exchange:String}
    AND inserted_at > fromUnixTimestamp64Micro({since:Int64}, 'UTC')
"""

_MARKET_OUTAGES: Final = """
SELECT symbol, toUnixTimestamp64Micro(stored.began) AS began,
    toUnixTimestamp64Micro(min(stored.since)) AS since,
    toUnixTimestamp64Micro(max(stored.ended)) AS ended
FROM market_outages AS stored
WHERE exchange = {exchange:String}
    AND stored.ended > fromUnixTimestamp64Micro({since:Int64}, 'UTC')
GROUP BY symbol, stored.began
ORDER BY symbol, began
"""

_NATIVE_SYMBOLS: Final = """
SELECT symbol, argMax(native_symbol, timestamp) AS native_symbol FROM silver_trades
WHERE exchange = {exchange:String} AND symbol IN {symbols:Array(String)} AND via = 'websocket'
GROUP BY symbol
ORDER BY symbol
"""

_MARKETS: Final = """
SELECT DISTINCT symbol, native_symbol FROM silver_trades
WHERE exchange = {exchange:String} AND via = 'websocket'
    AND timestamp >= fromUnixTimestamp64Micro({begin:Int64}, 'UTC') - INTERVAL 1 DAY
"""


class SpanFills:
    """Requests of the spans of one exchange, for use by one thread.

    `put` is called with a native symbol and each response about it. `reads_market` says whether
    this process reads a unified symbol.
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
    ) -> None:
        self._database = database
        self._exchange = exchange
        self._client = client
        self._rest = rest
        self._put = put
        self._wait = wait
        self._reads_market = reads_market
        names = markets_to_fill(database, exchange, rest, span, wait)
        self._fills = [StartFill(client, rest, names, span.begin_us, put)]
        now_us = 0 if rest.shows_gaps else int(database.query(_NOW, {}, wait).item())
        self._since_us = self._ended_since_us = now_us - _RECENT_US
        self._found: dict[tuple[str, int], int] = {}
        """When each market outage that was found ended, by symbol and begin."""

    def run(self) -> None:
        """Request what is due: of the span before the start, and of outages that are over."""
        if not self._rest.shows_gaps:
            self._find_outages()
            self._find_market_outages()
        for fill in self._fills:
            fill.run()
        self._fills = [fill for fill in self._fills if not fill.is_done]

    def _find_outages(self) -> None:
        parameters = {"exchange": self._exchange, "since": self._since_us}
        began, inserted, count = self._database.query(_OUTAGES, parameters, self._wait).row(0)
        if not count:
            return
        self._since_us = inserted
        begin = {"exchange": self._exchange, "begin": began}
        rows = self._database.query(_MARKETS, begin, self._wait).rows()
        self._add(
            began, [native_symbol for symbol, native_symbol in rows if self._reads_market(symbol)]
        )

    def _find_market_outages(self) -> None:
        parameters = {"exchange": self._exchange, "since": self._ended_since_us}
        rows = self._database.query(_MARKET_OUTAGES, parameters, self._wait).rows()
        begins: dict[str, int] = {}
        for symbol, began, since, ended in rows:
            if (symbol, began) not in self._found:
                self._found[symbol, began] = ended
                if self._reads_market(symbol):
                    begins[symbol] = min(since, begins.get(symbol, since))
        if not begins:
            return
        self._ended_since_us = max(self._found.values()) - _RECENT_US
        self._found = {key: at for key, at in self._found.items() if at > self._ended_since_us}
        symbols = {"exchange": self._exchange, "symbols": list(begins)}
        names_by_begin: dict[int, list[str]] = {}
        for symbol, native_symbol in self._database.query(
            _NATIVE_SYMBOLS, symbols, self._wait
        ).iter_rows():
            names_by_begin.setdefault(begins[symbol], []).append(native_symbol)
        for began, names in names_by_begin.items():
            self._add(began, names)

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
        self._fills.append(StartFill(self._client, self._rest, names, begin_us, self._put))
