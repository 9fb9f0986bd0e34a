"""Trades without numbers are stored once, whichever way and however late they come again."""

from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from candlewax.clickhouse.client import Database
from candlewax.verification.verify import check_totals, verify
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.playing import Frame, kraken_v1, play, received

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=3)

SECOND: Final = 1_000_000
LATER: Final = DAY + 5 * 86_400 * SECOND


def test_trade_is_a_duplicate_after_its_id_has_expired(tables: Database) -> None:
    """Ids older than a day are looked up in the tables."""
    trade = Fill("kraken", "BTC/USD", "", 0, DAY + SECOND, True, Decimal(1), Decimal(1))
    days = [0, 2, 0, 3]
    frames = [
        kraken_v1(n, LATER + n, [replace(trade, time=trade.time + day * 86_400 * SECOND)])
        for n, day in enumerate(days)
    ]
    counters = play(received(frames, range(len(days))), tables)
    assert counters.total("duplicates") == 1
    assert tables.query("SELECT count() FROM silver_trades").item() == len(set(days))
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


Row = tuple[int, int, int]
"""Id, milliseconds since the start of the day, price."""


def bitstamp(seq: int, trade: Row) -> Frame:
    """A frame of Bitstamp's websocket."""
    number, ms, price = trade
    time_us = DAY + ms * 1_000
    text = (
        f'{{"data":{{"id":{number},"timestamp":"{time_us // SECOND}","amount":1,"amount_str":"1",'
        f'"price":{price},"price_str":"{price}","type":0,"microtimestamp":"{time_us}",'
        '"buy_order_id":2,"sell_order_id":1},"channel":"live_trades_btcusd","event":"trade"}'
    )
    return Frame("bitstamp", "c0", seq, LATER + seq, text, ())


def answer(seq: int, trades: list[Row]) -> Frame:
    """A response of its REST: newest first, times in seconds."""
    rows = ",".join(
        f'{{"date":"{DAY // SECOND + ms // 1_000}","tid":"{number}","amount":"1","type":"0",'
        f'"price":"{price}"}}'
        for number, ms, price in reversed(trades)
    )
    return Frame("bitstamp", "rest/btcusd", seq, LATER + seq, f"[{rows}]", ())


TRADES: Final = [(100, 1_200, 7), (103, 1_900, 9), (104, 30_500, 3), (111, 30_700, 5)]
AFTER: Final = (120, 3 * 86_400_000, 8)


@pytest.mark.parametrize("cuts", [(), (1, 2, 3, 4, 5)], ids=["one batch", "many batches"])
@pytest.mark.parametrize("restarts", [False, True], ids=["one process", "a new one each time"])
def test_trades_of_rest_and_of_the_websocket_are_the_same(
    tables: Database, cuts: tuple[int, ...], restarts: bool
) -> None:
    """By id, even after a day; missing trades are filled, no gap is claimed, and nothing is
    complete. The order of trades within a second is that of their ids.
    """
    frames = [
        bitstamp(0, TRADES[0]),
        answer(1, TRADES),
        bitstamp(2, TRADES[1]),
        bitstamp(3, AFTER),
        answer(4, TRADES),
    ]
    batches = received(frames, cuts)
    counters = [
        play(part, tables) for part in ([[one] for one in batches] if restarts else [batches])
    ]
    assert sum(one.total("duplicates") for one in counters) == 6
    assert tables.query(
        "SELECT trade_id, sequence FROM silver_trades ORDER BY trade_id"
    ).rows() == [(str(number), 0) for number, *_ in [*TRADES, AFTER]]
    candle = tables.query(
        "SELECT trade_count, open, high, low, close, toString(status) FROM ohlcv FINAL "
        "WHERE timeframe = '1m' AND window_start = fromUnixTimestamp64Micro({day:Int64}, 'UTC')",
        {"day": DAY},
    ).row(0)
    # The trade at 1.2 s came first by websocket, that at 1.9 s by REST, which says 1 s.
    assert candle == (4, 9, 9, 3, 5, "unverified")
    assert tables.query("SELECT count() FROM gaps").item() == 0
    result = verify(tables.client)
    assert result.equal
    # SQL does not read the frames of this exchange, and does not count them as checked.
    assert result.parts["frames"].checked == 0
    assert not check_totals(tables.client)
