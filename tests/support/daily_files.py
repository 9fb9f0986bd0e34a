"""Daily files of trades and candles in Binance's layout, and a server that publishes them."""

import hashlib
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from candlewax.simulator.market.market import Trade
from tests.support.minutes_of_trades import MinuteCandle, candles_of


class _Quiet(SimpleHTTPRequestHandler):
    """Handler that logs nothing."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def publishing(folder: Path) -> Iterator[str]:
    """Serve a folder; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def put(folder: Path, path: str, text: str) -> Path:
    """Write a zip file with one text, and its checksum beside it."""
    target = folder / path.removeprefix("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{target.stem}.csv", text)
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    target.with_name(f"{target.name}.CHECKSUM").write_text(f"{digest}  {target.name}\n")
    return target


def trade_lines(trades: Sequence[Trade]) -> str:
    """A file of trades of Binance spot, in microseconds and without a header."""
    lines = []
    for trade in trades:
        price = Decimal(trade.price).scaleb(-trade.market.price_decimals)
        quantity = Decimal(trade.quantity).scaleb(-trade.market.lot_decimals)
        lines.append(
            f"{trade.trade_id},{price:f},{quantity:f},0,{trade.time_us},{not trade.bought},True\n"
        )
    return "".join(lines)


def contract_lines(trades: Sequence[Trade]) -> str:
    """A file of trades of Binance COIN-M, in milliseconds and below a header."""
    lines = ["id,price,qty,base_qty,time,is_buyer_maker\n"]
    for trade in trades:
        price = Decimal(trade.price).scaleb(-trade.market.price_decimals)
        contracts = Decimal(trade.quantity).scaleb(-trade.market.lot_decimals)
        base = (100 * contracts / price).quantize(Decimal("1e-8"))
        seller = str(not trade.bought).lower()
        time_ms = trade.time_us // 1000
        lines.append(f"{trade.trade_id},{price:f},{contracts:f},{base:f},{time_ms},{seller}\n")
    return "".join(lines)


def in_base(klines: str) -> str:
    """Klines with amounts of the base, about, in place of those of the quote."""
    rows = [line.split(",") for line in klines.splitlines()]
    for row in rows:
        for quote, contracts in ((7, 5), (10, 9)):
            row[quote] = (
                f"{(100 * Decimal(row[contracts]) / Decimal(row[4])).quantize(Decimal('1e-8')):f}"
            )
    return "".join(",".join(row) + "\n" for row in rows)


def kline_lines(trades: Sequence[Trade], begin_s: int, minutes: int) -> str:
    """A file of klines of a span; a minute without trades is flat."""
    candles = candles_of(trades)
    close = next(iter(candles.values())).open
    lines = []
    for start in range(begin_s, begin_s + 60 * minutes, 60):
        one = candles.get(start)
        none = Decimal()
        flat = MinuteCandle(start, close, close, close, close, none, none, none, none, 0)
        close = one.close if one else close
        lines.append(_line(one or flat))
    return "".join(lines)


def _line(one: MinuteCandle) -> str:
    start_us = one.start_s * 1_000_000
    return (
        f"{start_us},{one.open},{one.high},{one.low},{one.close},{one.volume},"
        f"{start_us + 59_999_999},{one.quote_volume},{one.trade_count},{one.buy_volume},"
        f"{one.buy_quote_volume},0\n"
    )
