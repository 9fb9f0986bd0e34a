"""Frames of the simulated channels, as the real exchanges send them."""

import polars as pl
import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import extract_columns, extract_many
from candlewax.simulator.frames import control
from candlewax.simulator.frames.channels import (
    AdvancedTrade,
    BinanceSpot,
    BinanceUsdm,
    CoinbaseExchange,
    Feed,
    KrakenV1,
    KrakenV2,
)
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Market, Trade
from tests.support import decoding

TIME_US = 1_789_421_400_123_456

BTC_USDT = catalog.spot_binance(900_000)[0]
BTC_USD = catalog.spot_kraken(900_000)[0]
COINBASE_BTC = catalog.spot_coinbase(900_000)[0]


def fill(market: Market, number: int, price: int, quantity: int, *, bought: bool) -> Trade:
    return Trade(market, number, TIME_US, price, quantity, bought, True, 5)


def test_binance_spot_trade_has_the_frame_of_its_stream() -> None:
    """An envelope with the name of the stream; amounts have eight decimals."""
    sold = fill(BTC_USDT, 77, 7_124_055, 61, bought=False)
    assert BinanceSpot().trades((sold,), TIME_US + 2_000) == (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1789421400125,"s":"BTCUSDT","t":77,'
        '"p":"71240.55000000","q":"0.00061000","T":1789421400123,"m":true,"M":true}}'
    )


def test_binance_futures_trade_carries_its_condition() -> None:
    """In the field X."""
    bought = fill(catalog.USDM_BTC, 77, 712_405, 6, bought=True)._replace(condition="ADL")
    assert BinanceUsdm().trades((bought,), TIME_US + 2_000) == (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1789421400125,"T":1789421400123,'
        '"s":"BTCUSDT","t":77,"p":"71240.5","q":"0.006","X":"ADL","m":false}}'
    )


def test_kraken_trade_has_amounts_as_json_numbers() -> None:
    """With all their zeros; the side is the taker's."""
    sold = fill(BTC_USD, 97_214_350, 712_405, 61_000, bought=False)
    assert KrakenV2().trades((sold,), TIME_US) == (
        '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"sell",'
        '"price":71240.5,"qty":0.00061000,"ord_type":"limit","trade_id":97214350,'
        '"timestamp":"2026-09-14T21:30:00.123456Z"}]}'
    )


def test_kraken_v1_trades_are_arrays_without_ids() -> None:
    bought = fill(catalog.KRAKEN_EUR, 1, 604_870, 61_000, bought=True)
    assert KrakenV1().trades((bought, bought), TIME_US) == (
        '[337,[["60487.00000","0.00061000","1789421400.123456","b","l",""],'
        '["60487.00000","0.00061000","1789421400.123456","b","l",""]],"trade","XBT/EUR"]'
    )


def test_coinbase_trades_are_newest_first_with_the_makers_side() -> None:
    """Messages carry consecutive sequence numbers."""
    feed = AdvancedTrade()
    assert '"sequence_num":0' in next(feed.opening(["BTC-USD"], TIME_US))
    bought = fill(COINBASE_BTC, 12, 7_124_055, 61_000, bought=True)
    sold = fill(COINBASE_BTC, 13, 7_124_054, 10_000_000, bought=False)
    assert feed.trades((bought, sold), TIME_US + 1_000) == (
        '{"channel":"market_trades","timestamp":"2026-09-14T21:30:00.124456187Z",'
        '"sequence_num":1,"events":[{"type":"update","trades":[{"product_id":"BTC-USD",'
        '"trade_id":"13","price":"71240.54","size":"0.1","time":"2026-09-14T21:30:00.123456Z",'
        '"side":"BUY"},{"product_id":"BTC-USD","trade_id":"12","price":"71240.55",'
        '"size":"0.00061","time":"2026-09-14T21:30:00.123456Z","side":"SELL"}]}]}'
    )


FEEDS: list[tuple[type[Feed], Market]] = [
    (BinanceSpot, BTC_USDT),
    (BinanceUsdm, catalog.USDM_BTC),
    (KrakenV2, BTC_USD),
    (KrakenV1, catalog.KRAKEN_EUR),
    (AdvancedTrade, COINBASE_BTC),
    (CoinbaseExchange, catalog.COINBASE_CROSS),
]
each = pytest.mark.parametrize(
    ("new_feed", "market"), [pytest.param(*feed, id=feed[0].__name__) for feed in FEEDS]
)


@each
def test_every_frame_is_decoded_by_columns(new_feed: type[Feed], market: Market) -> None:
    """Each frame of trades matches a layout of its exchange."""
    feed = new_feed()
    trades = tuple(fill(market, n, 7_124_055, 61, bought=n % 2 == 0) for n in (1, 2, 3))
    texts = [feed.trades(trades[:1], TIME_US)]
    texts += [] if feed.single else [feed.trades(trades, TIME_US)]
    texts += [feed.snapshot(trades, TIME_US)] if feed.history else []
    frames = pl.DataFrame({"row": range(len(texts)), "frame": texts}).cast({"row": pl.UInt32})
    rows: set[int] = set()
    for layout in EXCHANGES[feed.exchange].layouts:
        for extract in (
            (extract_columns, extract_many) if layout.has_several_trades else (extract_columns,)
        ):
            rows |= set(extract(layout, frames)["row"])
    assert rows == set(range(len(texts)))


@each
def test_opening_frames_and_heartbeats_are_control_frames(
    new_feed: type[Feed], market: Market
) -> None:
    """They hold no trades."""
    feed = new_feed()
    texts = [*feed.opening([market.native_symbol], TIME_US), feed.heartbeat(TIME_US)]
    sent = [text for text in texts if text is not None]
    assert decoding.kinds(feed.exchange, *sent) == ["control"] * len(sent)


def test_other_streams_are_control_frames() -> None:
    """Order books, book tickers and candles of Binance."""
    trade = fill(BTC_USDT, 77, 7_124_055, 61, bought=True)
    texts = [
        make(trade, TIME_US)
        for make in (control.binance_kline, control.binance_book_ticker, control.binance_depth)
    ]
    assert decoding.kinds("binance", *texts) == ["control"] * 3


@each
def test_bundles_keep_every_trade_and_whole_orders(new_feed: type[Feed], market: Market) -> None:
    """Bundles hold the trades in order; those of one order are in one bundle."""
    trades = [
        Trade(market, n, TIME_US + n // 2 * 60_000, 100, 1, True, True, n // 2) for n in range(20)
    ]
    bundles = list(new_feed().bundles(trades))
    assert [trade for bundle in bundles for trade in bundle] == trades
    assert all(len(bundle) % 2 == 0 for bundle in bundles)
