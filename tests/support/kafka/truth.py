"""What live frames say, read the plain way: json, Decimal, and the instruments file."""

import json
import tomllib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Message

from tests.support.kafka import reading
from tests.support.oracle import Fill

_FILE = Path(__file__).parents[3] / "instruments.toml"
SYMBOLS: dict[str, dict[str, str]] = {
    exchange: tables["subscribe"]
    for exchange, tables in tomllib.loads(_FILE.read_text("utf-8")).items()
    if "subscribe" in tables
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fills(servers: str) -> list[Fill]:
    """All trades of the raw topics, in the order of their topic."""
    there = reading.topics(servers)
    return [
        fill
        for exchange, read in _READERS.items()
        if f"market.crypto.trades.{exchange}.raw" in there
        for message in reading.read_all(servers, f"market.crypto.trades.{exchange}.raw")
        for fill in _each(message, exchange, read)
    ]


def _each(message: Message, exchange: str, read: "Reader") -> Iterator[Fill]:
    value, offset = message.value() or b"", message.offset() or 0
    return _fills(value, exchange, read, _received(message), offset)


def of_frames(exchange: str, frames: Iterable[tuple[str, int, int]]) -> list[Fill]:
    """All trades of some frames: their text, when they were received, in microseconds since
    1970, and their numbers.
    """
    read = _READERS[exchange]
    return [
        fill for text, at, number in frames for fill in _fills(text, exchange, read, at, number)
    ]


def _fills(
    text: str | bytes, exchange: str, read: "Reader", received: int, offset: int
) -> Iterator[Fill]:
    try:
        frame = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return
    if not isinstance(frame, dict):
        return
    latest = received + 60_000_000
    try:
        natives = list(read(frame))
    except (KeyError, TypeError, AttributeError):
        return
    for index, native in enumerate(natives):
        if native and native[0] in SYMBOLS[exchange] and 0 <= native[2] <= latest:
            name, number, time, bought, price, size = native
            symbol = SYMBOLS[exchange][name]
            identity = (exchange, symbol, str(number), number)
            yield Fill(*identity, time, bought, price, size, offset=offset, index=index)


def _received(message: Message) -> int:
    """Microseconds since 1970."""
    header = dict(message.headers() or ()).get("recv_ns")
    return int(header) // 1000 if header else message.timestamp()[1] * 1000


Native = tuple[str, int, int, bool, Decimal, Decimal] | None
"""Native symbol, id, time, whether the taker bought, price, quantity; None is no trade."""

Reader = Callable[[dict[str, Any]], Iterator[Native]]


def _sound(*fields: Any, time: Callable[[], int]) -> Native:
    """A trade, if its fields make one."""
    name, number, bought, price, size = fields
    try:
        amounts = Decimal(price), Decimal(size)
        at = time()
        identity = int(number)
        exact = all(a.is_finite() and 0 < a < 10**18 and a == round(a, 12) for a in amounts)
    except (ValueError, TypeError, ArithmeticError, KeyError):
        return None
    return (name, identity, at, bought, *amounts) if exact else None


def _binance(frame: dict[str, Any]) -> Iterator[Native]:
    data = frame.get("data", frame)
    if data.get("e") == "trade":
        fields = (data["s"], data["t"], not data["m"], data["p"], data["q"])
        yield _sound(*fields, time=lambda: int(data["T"]) * 1000)


def _kraken(frame: dict[str, Any]) -> Iterator[Native]:
    if frame.get("channel") == "trade":
        for one in frame["data"]:
            fields = (
                one["symbol"],
                one["trade_id"],
                one["side"] == "buy",
                one["price"],
                one["qty"],
            )
            known = one["side"] in ("buy", "sell")
            yield _sound(*fields, time=_at(one["timestamp"])) if known else None


def _coinbase(frame: dict[str, Any]) -> Iterator[Native]:
    for event in frame.get("events", ()) if frame.get("channel") == "market_trades" else ():
        for one in event["trades"]:
            # The side is the maker's.
            taker = one["side"] == "SELL"
            fields = (one["product_id"], one["trade_id"], taker, one["price"], one["size"])
            yield _sound(*fields, time=_at(one["time"]))


def _at(text: str) -> Callable[[], int]:
    return lambda: _microseconds(text)


def _microseconds(text: str) -> int:
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = (datetime.fromisoformat(f"{whole}+00:00") - _EPOCH) // timedelta(seconds=1)
    return seconds * 1_000_000 + int(f"{fraction:0<6}"[:6] or 0)


_READERS: dict[str, Reader] = {"binance": _binance, "kraken": _kraken, "coinbase": _coinbase}
