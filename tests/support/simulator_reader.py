"""A frame log read the slow way: line by line, with json and Decimal.

Knows the frames of the sample and nothing of the program under test.
"""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from tests.support.oracle import Fill

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ESCAPES = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
_FILE = Path(__file__).parents[2] / "instruments.toml"

SUBSCRIBED: dict[str, dict[str, str]] = {
    exchange: tables.get("subscribe", {})
    for exchange, tables in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()
}
"""Native symbols of each exchange and what they are called here."""

SYMBOLS = {
    **{exchange: dict(natives) for exchange, natives in SUBSCRIBED.items()},
    "binance_usdm": {"BTCUSDT": "BTC/USDT:USDT"},
}
SYMBOLS["kraken"]["XBT/EUR"] = "BTC/EUR"
SYMBOLS["coinbase"]["ETH-BTC"] = "ETH/BTC"


@dataclass(frozen=True)
class Frame:
    """A line of a log. `fills` in the order they stand in, `bad` counts trades that
    are none; `dead` if nothing can be made of it.
    """

    recv_us: int
    exchange: str
    connection: str
    seq: int
    text: str
    fills: tuple[Fill, ...]
    bad: int

    @property
    def dead(self) -> bool:
        """Whether nothing in it is good."""
        return bool(self.bad and not self.fills)

    @property
    def kind(self) -> str:
        """What it counts as."""
        return "trade" if self.fills else "dead" if self.dead else "control"


def frames(log: str) -> list[Frame]:
    """All frames of a log."""
    return [_frame(line) for line in log.removesuffix("\n").split("\n")]


def _frame(line: str) -> Frame:
    recv_ns, exchange, connection, seq, escaped = line.split("\t")
    text = re.sub(r"\\[\\tnr]", lambda found: _ESCAPES[found[0]], escaped)
    recv_us = int(recv_ns) // 1000
    fills: list[Fill] = []
    bad = 0
    try:
        rows = list(_rows(exchange, json.loads(text, parse_float=Decimal)))
    except ValueError:
        rows, bad = [], 1
    for row in rows:
        try:
            fills.append(_fill(exchange, row, recv_us))
        except (ValueError, KeyError, TypeError, InvalidOperation):
            bad += 1
    told_apart = tuple(_told_apart(fills))
    return Frame(recv_us, exchange, connection, int(seq), text, told_apart, bad)


def _rows(exchange: str, frame: Any) -> Iterator[dict[str, Any]]:
    """The trades of a frame under common names."""
    if exchange.startswith("binance"):
        yield from _binance(frame)
    elif exchange == "kraken":
        yield from _kraken(frame)
    else:
        yield from _coinbase(frame)


def _binance(frame: Any) -> Iterator[dict[str, Any]]:
    data = frame.get("data", frame)
    if data.get("e") == "trade":
        if not isinstance(data["t"], int):
            raise ValueError(data["t"])
        yield {
            "name": data["s"],
            "id": data["t"],
            "time": data["T"] * 1000,
            "bought": {True: False, False: True}[data["m"]],
            "price": data["p"],
            "quantity": data["q"],
            "condition": data.get("X", "MARKET"),
        }


def _kraken(frame: Any) -> Iterator[dict[str, Any]]:
    if isinstance(frame, list):
        for price, volume, time, side, *rest in frame[1]:
            yield {
                "name": frame[-1],
                "id": f"{time} {price} {volume} {side} {rest}",
                "time": int(Decimal(time) * 1_000_000),
                "bought": {"b": True, "s": False}[side],
                "price": price,
                "quantity": volume,
            }
    elif frame.get("channel") == "trade":
        for row in frame["data"]:
            yield {
                "name": row["symbol"],
                "id": row["trade_id"],
                "time": row["timestamp"],
                "bought": {"buy": True, "sell": False}.get(row["side"]),
                "price": row["price"],
                "quantity": row["qty"],
            }


def _coinbase(frame: Any) -> Iterator[dict[str, Any]]:
    rows = []
    if frame.get("channel") == "market_trades":
        rows = [row for event in frame["events"] for row in event["trades"]]
    elif frame.get("type") in {"match", "last_match"}:
        rows = [frame]
    for row in rows:
        yield {
            "name": row["product_id"],
            "id": int(row["trade_id"]),
            "time": row["time"],
            # The maker's side.
            "bought": {"sell": True, "buy": False}[row["side"].lower()],
            "price": row["price"],
            "quantity": row["size"],
        }


def _fill(exchange: str, row: dict[str, Any], recv_us: int) -> Fill:
    time = row["time"]
    if isinstance(time, str):
        time = (datetime.fromisoformat(time) - _EPOCH) // timedelta(microseconds=1)
    if not 0 <= time <= recv_us + 60_000_000 or row["bought"] is None:
        raise ValueError(row)
    condition = row.get("condition", "MARKET")
    return Fill(
        exchange=exchange,
        symbol=SYMBOLS[exchange][row["name"]],
        trade_id=str(row["id"]),
        sequence=row["id"] if isinstance(row["id"], int) else 0,
        time=time,
        bought=row["bought"],
        price=_amount(row["price"]),
        quantity=_amount(row["quantity"]),
        conditions=() if condition == "MARKET" else (condition,),
    )


def _amount(text: str | Decimal) -> Decimal:
    amount = Decimal(text)
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent < -12 or not 0 < amount < 10**18:
        raise ValueError(text)
    return amount


def _told_apart(fills: Iterable[Fill]) -> Iterator[Fill]:
    """Equal fills of one frame that shows no ids are so many trades."""
    seen: Counter[str] = Counter()
    for fill in fills:
        seen[fill.trade_id] += 1
        again = "" if fill.sequence or seen[fill.trade_id] == 1 else f" {seen[fill.trade_id]}"
        yield Fill(**{**fill.__dict__, "trade_id": fill.trade_id + again})
