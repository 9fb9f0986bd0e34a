"""Binance COIN-M futures and Binance.US: what differs from Binance's other markets."""

from decimal import Decimal

import pytest

from candlewax.core.instruments import load
from candlewax.data import INSTRUMENTS
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dump_files import read_piece
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import ListedMarket, MarketKind, MarketStatus
from candlewax.exchanges.protocol.venue_candles import VenueCandle
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.exchanges.test_conformance import TestBinance, TestBinanceUsdm
from tests.support.decoding import ms

COINM = EXCHANGES["binance_coinm"]
US = EXCHANGES["binance_us"]
_FUTURES = TestBinanceUsdm.declared
_SPOT = TestBinance.declared

# The same classes would be collected here too.
del TestBinance, TestBinanceUsdm


class TestCoinm(Conformance):
    """Binance COIN-M futures, by frames with and without the field `st`."""

    declared = Declared(
        "binance_coinm",
        "BTCUSD_PERP",
        "BTC/USD:BTC",
        frames=(
            '{"stream":"btcusd_perp@trade","data":{"e":"trade","E":1790300000108,'
            '"T":1790300000107,"s":"BTCUSD_PERP","t":1155839922,"p":"83728.0","q":"40",'
            '"X":"MARKET","m":false}}',
            '{"stream":"btcusd_perp@trade","data":{"e":"trade","E":1790300000109,'
            '"T":1790300000108,"s":"BTCUSD_PERP","t":1155839923,"p":"83727.9","q":"1",'
            '"X":"MARKET","m":true,"st":2}}',
        ),
        trades=(
            Trade("1155839922", ms(1790300000107), "BUY", "83728", "40"),
            Trade("1155839923", ms(1790300000108), "SELL", "83727.9", "1"),
        ),
        is_numbered=True,
        controls=_FUTURES.controls,
        refusal=_FUTURES.refusal,
        unknown="NOPEUSD_PERP",
        refuses_unknown=False,
        malformed=_FUTURES.malformed,
        response=(
            '[{"id":1155839922,"price":"83728.0","qty":"40","baseQty":"0.04777374",'
            '"time":1790300000107,"isBuyerMaker":false},'
            '{"id":1155839923,"price":"83727.9","qty":"1","baseQty":"0.00119434",'
            '"time":1790300000108,"isBuyerMaker":true}]'
        ),
        rest_errors=_FUTURES.rest_errors,
    )


class TestUs(Conformance):
    """Binance.US, by frames of Binance spot."""

    declared = Declared(
        "binance_us",
        _SPOT.native_symbol,
        _SPOT.symbol,
        frames=_SPOT.frames,
        trades=_SPOT.trades,
        is_numbered=True,
        controls=_SPOT.controls,
        refusal=_SPOT.refusal,
        unknown=_SPOT.unknown,
        refuses_unknown=False,
        malformed=_SPOT.malformed,
        response=_SPOT.response,
        rest_errors=_SPOT.rest_errors,
    )


@pytest.mark.parametrize(
    ("native_symbol", "split"),
    [
        ("BTCUSD_PERP", ("BTC/USD:BTC", "BTC", "USD")),
        ("ETHUSD_261225", ("ETH/USD:ETH-261225", "ETH", "USD")),
        ("BTCUSD", None),
        ("BTCUSDT", None),
        ("BTCEUR_PERP", None),
    ],
)
def test_symbol_is_settled_in_its_base(
    native_symbol: str, split: tuple[str, str, str] | None
) -> None:
    assert COINM.split_symbol(native_symbol, ()) == split


def test_line_of_a_dump_has_contracts_and_their_worth_in_the_base() -> None:
    """A line of the columns of USD-M without a base quantity is not taken for one."""
    assert COINM.dump is not None
    text = (
        "id,price,qty,base_qty,time,is_buyer_maker\n"
        "7857136,19099.7,40,0.20942737,1607294296510,false\n"
        "7857137,19099.7,37\n"
    )
    (first, trade), (second, fault) = read_piece(COINM.dump, "BTCUSD_PERP", text)
    assert (first, second) == (1, 2)
    assert isinstance(trade, dict)
    meaning = COINM.dump.dialect.interpret(trade)
    assert (meaning.trade_id, meaning.price, meaning.quantity) == ("7857136", "19099.7", "40")
    assert meaning.time == 1607294296510_000
    assert isinstance(fault, FrameError)


def test_own_candle_counts_contracts_and_has_no_value_in_the_quote() -> None:
    """The field that holds the quote volume of other markets holds the base here."""
    assert COINM.candles is not None
    content = parse(
        '[[1790300040000,"83728.0","83730.1","83727.9","83728.0","180",1790300099999,"0.21498328",'
        '12,"60","0.07166109","0"]]'
    )
    assert COINM.candles.parse(content) == [
        VenueCandle(
            1790300040, "83728.0", "83730.1", "83727.9", "83728.0", "180",
            buy_volume="60", trade_count=12,
        )
    ]  # fmt: skip


def test_list_tells_the_size_of_a_contract() -> None:
    """Turnover is the value of the contracts, as tickers have none in the quote."""
    assert COINM.markets is not None
    symbols = parse(
        '{"symbols":[{"symbol":"BTCUSD_PERP","pair":"BTCUSD","contractType":"PERPETUAL",'
        '"contractStatus":"TRADING","contractSize":100,"baseAsset":"BTC","quoteAsset":"USD",'
        '"marginAsset":"BTC","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.1"}]},'
        '{"symbol":"ETHUSD_261225","contractType":"CURRENT_QUARTER","contractStatus":"DELIVERED",'
        '"contractSize":10,"baseAsset":"ETH","quoteAsset":"USD","marginAsset":"ETH","filters":[]}]}'
    )
    tickers = parse(
        '[{"symbol":"BTCUSD_PERP","pair":"BTCUSD","lastPrice":"83728.0","volume":"300",'
        '"baseVolume":"0.35"}]'
    )
    assert COINM.markets.parse([symbols, tickers]) == [
        ListedMarket(
            "BTCUSD_PERP", "BTC/USD:BTC", "BTC", "USD", MarketKind.PERPETUAL,
            contract_size="100", contract_unit="USD", tick="0.1",
            price=Decimal("83728.0"), turnover=Decimal(30_000),
        ),
        ListedMarket(
            "ETHUSD_261225", "ETH/USD:ETH-261225", "ETH", "USD", MarketKind.FUTURE,
            contract_size="10", contract_unit="USD", status=MarketStatus.DELISTED,
        ),
    ]  # fmt: skip


def test_bundled_markets_say_that_they_count_contracts() -> None:
    """Binance's other markets count the base."""
    listed = load(INSTRUMENTS).content.listed
    sizes = {name: market.facts for name, market in listed["binance_coinm"].items()}
    assert (sizes["BTCUSD_PERP"].contract_size, sizes["BTCUSD_PERP"].contract_unit) == (
        Decimal(100),
        "USD",
    )
    assert {facts.contract_size for name, facts in sizes.items() if "BTC" not in name} == {10}
    assert all(market.facts.contract_size is None for market in listed["binance_usdm"].values())


def test_us_needs_a_key_for_old_trades_and_has_no_dumps() -> None:
    """It is thin: ten minutes without a trade are no fault of a connection."""
    assert US.rest.requires_key
    assert US.dump is None
    assert US.daily_files is None
    assert US.live.stalled_after_s == 600
