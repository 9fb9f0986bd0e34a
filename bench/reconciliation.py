"""Measure what live reconciliation costs: python -m bench.reconciliation [--markets N].

A day of one-minute candles of each market is stored in an embedded database, all compared but the
last ones. Each round then stores one more minute, untimed, and compares it with what a server of
another process shows. The lines hold the processor seconds of all threads of this process, with
those of ClickHouse, and their share of one core in the minute that a round lasts.
"""

import argparse
import json
import tempfile
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from candlewax.clickhouse.client import Database, open_tables
from candlewax.clickhouse.reconciliation_table import ReconciliationTable
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client
from candlewax.runtime.counters import Counters
from candlewax.verification.reconciler import Reconciler

_ROUNDS: Final = 30
_MINUTE_S: Final = 60
_DAY_S: Final = 86_400
_BEGIN_S: Final = 1_772_323_200
"""2026-03-01 00:00 UTC."""

_TRADES: Final = """
INSERT INTO silver_trades (exchange, symbol, native_symbol, base, quote, trade_id, sequence,
    timestamp, side, price, quantity, quote_volume, received_at, source, source_offset)
SELECT 'binance', concat('M', toString(number), '/USDT'), concat('M', toString(number), 'USDT'),
    concat('M', toString(number)), 'USDT', '{begin}', 1, toDateTime64({begin}, 6, 'UTC'), 'BUY',
    1, 1, 1, toDateTime64({begin}, 6, 'UTC'), 'bench', number
FROM numbers({markets})
"""

_CANDLES: Final = """
INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, open, high, low, close, volume,
    quote_volume, trade_count, buy_volume, buy_quote_volume, closed, status, version)
SELECT '1m', 'binance', concat('M', toString(number), '/USDT'),
    toDateTime({begin} + minute * 60, 'UTC'), 1, 1, 1, 1, 1, 1, 1, 1, 1, true, 'complete', 3
FROM numbers({markets}) ARRAY JOIN range({minutes}) AS minute
"""

_COMPARED: Final = """
INSERT INTO reconciliations (exchange, symbol, window_start, result, version, compared_at)
SELECT exchange, symbol, window_start, 'equal', version, now64(6)
FROM ohlcv
"""


class _Klines(BaseHTTPRequestHandler):
    """Handler that shows a candle of each minute that is asked for, equal to the stored one."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request for klines."""
        query = parse_qs(urlsplit(self.path).query)
        begin, end = (int(query[name][0]) for name in ("startTime", "endTime"))
        rows = [
            [start, "1", "1", "1", "1", "1", start + 59_999, "1", 1, "1", "1", "0"]
            for start in range(begin, end + 1, 60_000)
        ]
        body = json.dumps(rows).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _serve(address: Connection) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Klines)
    address.send(f"http://127.0.0.1:{server.server_address[1]}")
    server.serve_forever()


class _Clock:
    """Time that the rounds set; waiting for a rate limit takes none of the processor's."""

    def __init__(self) -> None:
        self.monotonic_s = 0.0

    def monotonic(self) -> float:
        return self.monotonic_s

    def now(self) -> float:
        return _BEGIN_S + _DAY_S + self.monotonic_s

    def wait(self, seconds: float) -> bool:
        self.monotonic_s += seconds
        return True


def _store_candles(database: Database, markets: int, begin_s: int, minutes: int) -> None:
    database.client.command(_CANDLES.format(markets=markets, begin=begin_s, minutes=minutes))


def _measure(database: Database, url: str, markets: int) -> None:
    """Run the rounds, and print what they took."""
    exchange, clock, counters = EXCHANGES["binance"], _Clock(), Counters()
    rules = exchange.candles
    if rules is None:
        raise SystemExit("binance shows no candles")
    table = ReconciliationTable(database, exchange.id)
    reconciler = Reconciler(
        exchange.id, rules, table, counters, now=clock.now, monotonic=clock.monotonic
    )
    costs = []
    with closing(Client(exchange.rest, url, wait=clock.wait, now=clock.monotonic)) as client:
        for number in range(_ROUNDS):
            minute_s = _BEGIN_S + _DAY_S + number * _MINUTE_S
            database.client.command(_TRADES.format(markets=markets, begin=minute_s))
            _store_candles(database, markets, minute_s, 1)
            clock.monotonic_s = (number + 1) * _MINUTE_S + 10.0
            begin = time.process_time()
            reconciler.run(client, clock.monotonic_s + _MINUTE_S - 10)
            costs.append(time.process_time() - begin)
    compared = counters.total("reconciled")
    for name, cost in (("mean", sum(costs) / len(costs)), ("most", max(costs))):
        print(f"{name}: {cost:.3f} s of processor a round, {cost / _MINUTE_S:.2%} of a core")
    print(f"{compared:,} candles of {markets} markets compared in {_ROUNDS} rounds")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.reconciliation")
    parser.add_argument("--markets", type=int, default=100)
    markets = parser.parse_args().markets
    context = get_context("spawn")
    address, sender = context.Pipe(duplex=False)
    server = context.Process(target=_serve, args=(sender,), daemon=True)
    server.start()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            closing(open_tables(Path(folder), "bench")) as database,
        ):
            _store_candles(database, markets, _BEGIN_S, _DAY_S // _MINUTE_S)
            database.client.command(_COMPARED)
            _measure(database, address.recv(), markets)
    finally:
        server.terminate()


if __name__ == "__main__":
    main()
