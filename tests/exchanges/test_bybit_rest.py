"""Bybit over REST: addresses of its categories, dump files, candles and lists of markets."""

from decimal import Decimal
from typing import Any

import pytest

from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges.bybit import BYBIT, BYBIT_LINEAR
from candlewax.exchanges.bybit_rest import parse_candles
from candlewax.exchanges.protocol.fields import FrameError
from candlewax.exchanges.protocol.markets import ListedMarket, MarketKind, MarketStatus
from candlewax.exchanges.protocol.venue_candles import VenueCandle
from tests.support.decoding import at, read, trades, trades_of

LINEAR = (
    '{"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":['
    '{"T":1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",'
    '"i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false}]}'
)
"""A frame of the websocket, whose trade is in the dump file of its day, too."""


def test_categories_have_addresses_of_their_own() -> None:
    assert BYBIT.live.url.endswith("/spot")
    assert BYBIT_LINEAR.live.url.endswith("/linear")
    assert BYBIT.rest.latest_path("BTCUSDT", 60) == (
        "/v5/market/recent-trade?category=spot&symbol=BTCUSDT&limit=60"
    )
    assert BYBIT_LINEAR.candles is not None
    assert BYBIT_LINEAR.candles.path("BTCUSDT", 1670608800, 1670608920) == (
        "/v5/market/kline?category=linear&symbol=BTCUSDT&interval=1&start=1670608800000"
        "&end=1670608860000&limit=2"
    )


def test_lines_of_a_dump_have_the_ids_of_the_websocket() -> None:
    """Times are seconds; spot has no file whose ids could be compared."""
    text = (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
        "foreignNotional\n"
        "1672304486.8651,BTCUSDT,Buy,0.001,16578.50,PlusTick,"
        "20f43950-d8dd-5b31-9112-a178eb6023af,1657850.0,0.001,16.5785\n"
        "1672304487,BTCUSDT,Sell,2,16578,MinusTick,5c0bd0ad-2f6a-5e0e-bd69-2c3a4d4a2f3e,1,2,3,1"
    )
    first, second = trades_of("bybit_linear", "dump/BTCUSDT", text)
    (sent,) = trades("bybit_linear", LINEAR)
    assert all(first[name] == sent[name] for name in ("trade_id", "side", "price", "quantity"))
    assert first["timestamp"] == at("2022-12-29T09:01:26.8651")
    assert (second["timestamp"], second["quantity"]) == (at("2022-12-29T09:01:27"), Decimal(2))
    assert BYBIT.dump is None


def test_received_trade_is_a_duplicate_in_the_file_of_its_day() -> None:
    """A trade may have a finer time, or one cut to the second; the others of the file are new."""
    deduplicator = Deduplicator()
    assert deduplicator.mark_new(read("bybit_linear", LINEAR).trades).is_new.to_list() == [True]
    line = "{},BTCUSDT,Buy,0.001,16578.50,PlusTick,{},1657850.0,0.001,16.5785"
    sent, missed = "20f43950-d8dd-5b31-9112-a178eb6023af", "5c0bd0ad-2f6a-5e0e-bd69-2c3a4d4a2f3e"
    for time in ("1672304486.8651", "1672304486"):
        text = "\n".join((line.format(time, sent), line.format("1672304487", missed)))
        found = read("bybit_linear", text, connection="dump/BTCUSDT").trades
        is_first = time.endswith("1")
        assert deduplicator.mark_new(found).is_new.to_list() == [False, is_first]


def candles(now_ms: Any) -> dict[str, Any]:
    rows = [
        ["1670608860000", "17055.5", "17060", "17055", "17058", "1.5", "25587"],
        ["1670608800000", "17071", "17073", "17027", "17055.5", "268.611", "4582741.2"],
    ]
    return {"retCode": 0, "result": {"list": rows}, "time": now_ms}


def test_candle_that_has_not_ended_is_left_out() -> None:
    first = VenueCandle(1670608800, "17071", "17073", "17027", "17055.5", "268.611")
    assert parse_candles(candles(1670608919999)) == [first]
    assert [candle.start_s for candle in parse_candles(candles(1670608920000))] == [
        1670608860,
        1670608800,
    ]
    with pytest.raises(FrameError, match="time"):
        parse_candles(candles(None))


def test_list_of_markets_is_read() -> None:
    """A market whose symbol contradicts its assets is an error."""
    rows = [
        {"symbol": "BTCUSDT", "contractType": "LinearPerpetual", "status": "Trading",
         "baseCoin": "BTC", "quoteCoin": "USDT", "priceFilter": {"tickSize": "0.10"}},
        {"symbol": "ETH-26DEC25", "contractType": "LinearFutures", "status": "PreLaunch",
         "baseCoin": "ETH", "quoteCoin": "USDC", "priceFilter": {"tickSize": "0.01"}},
        {"symbol": "XUSDT", "status": "Trading", "baseCoin": "Y", "quoteCoin": "USDT"},
    ]  # fmt: skip
    tickers = [{"symbol": "BTCUSDT", "lastPrice": "20533.13", "turnover24h": "243765620.65"}]
    assert BYBIT_LINEAR.markets is not None
    *markets, error = BYBIT_LINEAR.markets.parse(
        [{"result": {"list": rows}}, {"result": {"list": tickers}}]
    )
    assert isinstance(error, FrameError)
    assert markets == [
        ListedMarket("BTCUSDT", "BTC/USDT:USDT", "BTC", "USDT", MarketKind.PERPETUAL, tick="0.1",
                     price=Decimal("20533.13"), turnover=Decimal("243765620.65")),
        ListedMarket("ETH-26DEC25", "ETH/USDC:USDC-251226", "ETH", "USDC", MarketKind.FUTURE,
                     tick="0.01", status=MarketStatus.SUSPENDED),
    ]  # fmt: skip
