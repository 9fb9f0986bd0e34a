"""Candles that exchanges published, compared with recorded trades of the same minutes."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import pytest

from candlewax.core.candles.reconciliation import OurCandle, Result, compare
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import parse, to_text
from candlewax.exchanges.protocol.venue_candles import CandleRules
from tests.support import recorded

pytestmark = recorded.needed


class Fill(NamedTuple):
    """A recorded trade, with its time in seconds since 1970."""

    number: int
    time_s: Decimal
    price: Decimal
    quantity: Decimal
    bought: bool


def candles_of(fills: list[Fill]) -> dict[int, OurCandle]:
    """The candles of whole minutes: all but the first and the last."""
    minutes: dict[int, list[Fill]] = {}
    for fill in sorted(fills):
        minutes.setdefault(int(fill.time_s) // 60 * 60, []).append(fill)
    return {start: _candle(start, minutes[start]) for start in sorted(minutes)[1:-1]}


def _candle(start: int, own: list[Fill]) -> OurCandle:
    prices = [fill.price for fill in own]
    bought = [fill for fill in own if fill.bought]
    return OurCandle(
        start,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum((fill.quantity for fill in own), Decimal()),
        sum((fill.price * fill.quantity for fill in own), Decimal()),
        sum((fill.quantity for fill in bought), Decimal()),
        sum((fill.price * fill.quantity for fill in bought), Decimal()),
        len(own),
    )


def rules_of(exchange: str) -> CandleRules:
    """The rules of an exchange."""
    rules = EXCHANGES[exchange].candles
    assert rules is not None
    return rules


def test_recorded_minutes_of_kraken_equal_its_own() -> None:
    """In prices, volume, count and the cut vwap; the answer is that of the exchange."""
    folder = recorded.DATA / "kraken_rest"
    answer = parse((folder / "kraken_xbtusdt_ohlc_1m_part1.json").read_text())
    answer["result"]["last"] = 2**40  # the recording leaves it out
    trades = parse((folder / "kraken_xbtusdt_trades_part1.json").read_text())
    rows = next(value for name, value in trades["result"].items() if name != "last")
    fills = [
        Fill(row[6], Decimal(to_text(row[2])), Decimal(row[0]), Decimal(row[1]), row[3] == "b")
        for row in rows
    ]
    rules = rules_of("kraken")
    theirs = {candle.start_s: candle for candle in rules.parse(answer)}
    compared = [
        compare(ours, theirs.get(start), rules) for start, ours in candles_of(fills).items()
    ]
    assert len(compared) == 138
    assert {one.result for one in compared} == {Result.EQUAL}


def _futures(name: str) -> Iterator[Fill]:
    for day in ("20240718", "20240719"):
        for _, frame in recorded.binance(f"binance_usdm_{name}_{day}.raw.gz"):
            trade = json.loads(frame).get("data", {})
            if trade.get("e") == "trade" and trade["X"] == "MARKET":
                amounts = Decimal(trade["p"]), Decimal(trade["q"])
                yield Fill(trade["t"], Decimal(trade["T"]) / 1000, *amounts, not trade["m"])


@pytest.mark.parametrize("name", ["btcusdt", "ethusdt"])
def test_recorded_minutes_of_binance_futures_equal_its_own(name: str) -> None:
    """In every field, of seven whole minutes over midnight."""
    file = recorded.DATA / "klines" / f"binance_usdm_{name.upper()}_1m_20240718T2357Z.csv"
    rules = rules_of("binance_usdm")
    rows = [line.split(",") for line in file.read_text().splitlines()]
    theirs = {one.start_s: one for one in rules.parse([row for row in rows if row[0].isdigit()])}
    candles = candles_of(list(_futures(name)))
    compared = [compare(ours, theirs.get(start), rules) for start, ours in candles.items()]
    assert len(compared) == 7
    assert {one.result for one in compared} == {Result.EQUAL}
