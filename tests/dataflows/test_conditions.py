"""Trades outside candles: their numbers count, their amounts do not."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from tests.support.examples import examples
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame, clear, play, received
from tests.support.stored import check

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=3)

KINDS = ("MARKET", "RPI", "NA", "INSURANCE_FUND", "ADL", "AUCTION")
COUNTED = ("MARKET", "RPI")


def usdm(seq: int, fill: Fill, kind: str) -> Frame:
    """Return a message of Binance USD-M."""
    data = {
        "e": "trade", "E": fill.time // 1000, "T": fill.time // 1000,
        "s": fill.symbol.partition(":")[0].replace("/", ""), "t": fill.sequence,
        "p": str(fill.price), "q": str(fill.quantity), "X": kind, "m": not fill.bought,
    }  # fmt: skip
    text = json.dumps(data, separators=(",", ":"))
    placed = replace(fill, offset=seq, conditions=() if kind in COUNTED else (kind,))
    return Frame("binance_usdm", "u0", seq, fill.time, text, (placed,))


@st.composite
def futures(draw: st.DrawFn) -> list[Frame]:
    """Trades of two markets, with numbers without a trade and with missing numbers."""
    frames, time = [], EPOCH_ZERO
    numbers = {"BTC/USDT:USDT": 1, "ETH/USDC:USDC": 700}
    for seq in range(draw(st.integers(2, 20))):
        time += draw(st.sampled_from([0, 1_000, 20_000_000, 60_000_000]))
        symbol, kind = draw(st.sampled_from(sorted(numbers))), draw(st.sampled_from(KINDS))
        numbers[symbol] += draw(st.sampled_from([1, 1, 1, 1, 2]))
        empty = kind not in COUNTED and draw(st.booleans())
        price, quantity = (
            Decimal(0) if empty else Decimal(draw(st.integers(1, 999))) / 4 for _ in range(2)
        )
        number, bought = numbers[symbol], draw(st.booleans())
        fill = Fill("binance_usdm", symbol, str(number), number, time, bought, price, quantity)
        frames.append(usdm(seq, fill, kind))
    return frames


@given(futures(), st.lists(st.integers(1, 20), max_size=4), st.integers(0, 20))
@examples(5)
def test_trade_outside_candles_uses_its_number_and_changes_no_candle(
    tables: Database, frames: list[Frame], cuts: list[int], stop: int
) -> None:
    """For any batches, and in a process that starts from the tables."""
    clear(tables)
    for part in (frames[:stop], frames[stop:]):
        if part:
            play(received(part, cuts), tables)
    check(frames, tables)
    assert tables.query("SELECT count() FROM dead_letters").item() == 0
