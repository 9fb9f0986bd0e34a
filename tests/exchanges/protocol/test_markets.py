"""Lists of markets, by answers written after the exchanges' documentation."""

from decimal import Decimal

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketKind,
    MarketStatus,
    parse_step,
)

SPOT = """{"timezone":"UTC","symbols":[
{"symbol":"ETHBTC","status":"TRADING","baseAsset":"ETH","quoteAsset":"BTC","filters":[
 {"filterType":"LOT_SIZE","stepSize":"0.0001"},
 {"filterType":"PRICE_FILTER","minPrice":"0.00001000","tickSize":"0.00001000"}]},
{"symbol":"LUNABUSD","status":"BREAK","baseAsset":"LUNA","quoteAsset":"BUSD","filters":[]},
{"symbol":"ODD","status":"TRADING","baseAsset":7,"quoteAsset":"BUSD"}]}"""
SPOT_TICKERS = '[{"symbol":"ETHBTC","lastPrice":"0.02955","volume":"10.5","quoteVolume":"0.311"}]'

USDM = """{"symbols":[
{"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC",
 "quoteAsset":"USDT","marginAsset":"USDT",
 "filters":[{"filterType":"PRICE_FILTER","tickSize":"0.10"}]},
{"symbol":"ETHUSDT_270326","contractType":"CURRENT_QUARTER","status":"DELIVERING",
 "baseAsset":"ETH","quoteAsset":"USDT","marginAsset":"USDT","filters":[]}]}"""
USDM_TICKERS = '[{"symbol":"BTCUSDT","lastPrice":"71000.1","quoteVolume":"15.5"}]'

KRAKEN = """{"error":[],"result":{
"XXBTZUSD":{"altname":"XBTUSD","wsname":"XBT/USD","tick_size":"0.1","status":"online"},
"XDGUSD":{"altname":"XDGUSD","wsname":"XDG/USD","tick_size":"0.0000001","status":"cancel_only"},
"ODD":{"altname":"ODD"}}}"""
KRAKEN_TICKERS = """{"error":[],"result":{"XXBTZUSD":
{"c":["71240.5","0.1"],"v":["1.0","2.5"],"p":["71100.1","70000.0"],"o":"70500.0"}}}"""

COINBASE = """[
{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01",
 "status":"online","trading_disabled":false},
{"id":"OLD-USD","base_currency":"OLD","quote_currency":"USD","quote_increment":"0.01",
 "status":"delisted","trading_disabled":true},
{"id":"NEW-USD","base_currency":"NEW","quote_currency":"USD","quote_increment":"0.01",
 "status":"online","trading_disabled":true}]"""
COINBASE_STATS = """{"BTC-USD":{"stats_30day":{"volume":"9"},
"stats_24hour":{"open":"1","high":"3","low":"1","volume":"2.5","last":"70000"}}}"""


def parse_list(exchange: str, *answers: str) -> ListedMarkets:
    """Return the markets of an exchange's answers."""
    rules = EXCHANGES[exchange].markets
    assert rules is not None
    assert len(rules.paths) == len(answers)
    return rules.parse([parse(answer) for answer in answers])


def test_binance_spot_tells_step_status_and_turnover() -> None:
    """A market that cannot be read is an error beside the others."""
    first, second, odd = parse_list("binance", SPOT, SPOT_TICKERS)
    assert first == ListedMarket(
        "ETHBTC", "ETH/BTC", "ETH", "BTC",
        tick="0.00001", price=Decimal("0.02955"), turnover=Decimal("0.311"),
    )  # fmt: skip
    assert second == ListedMarket(
        "LUNABUSD", "LUNA/BUSD", "LUNA", "BUSD", status=MarketStatus.SUSPENDED
    )
    assert isinstance(odd, FrameError)
    assert "baseAsset" in odd.detail


def test_binance_futures_have_their_settlement_and_expiry() -> None:
    """Quantities are in the base, so there is no contract size."""
    perpetual, future = parse_list("binance_usdm", USDM, USDM_TICKERS)
    assert perpetual == ListedMarket(
        "BTCUSDT", "BTC/USDT:USDT", "BTC", "USDT", MarketKind.PERPETUAL,
        tick="0.1", price=Decimal("71000.1"), turnover=Decimal("15.5"),
    )  # fmt: skip
    assert future == ListedMarket(
        "ETHUSDT_270326", "ETH/USDT:USDT-270326", "ETH", "USDT", MarketKind.FUTURE,
        status=MarketStatus.DELISTED,
    )  # fmt: skip


def test_kraken_spells_symbols_as_its_websocket_v2() -> None:
    """Turnover is the volume at the mean price of 24 hours, not of today."""
    bitcoin, doge, odd = parse_list("kraken", KRAKEN, KRAKEN_TICKERS)
    assert bitcoin == ListedMarket(
        "BTC/USD", "BTC/USD", "BTC", "USD",
        tick="0.1", price=Decimal("71240.5"), turnover=Decimal(175_000),
    )  # fmt: skip
    assert doge == ListedMarket(
        "DOGE/USD", "DOGE/USD", "DOGE", "USD", tick="0.0000001", status=MarketStatus.SUSPENDED
    )
    assert isinstance(odd, FrameError)


def test_coinbase_values_the_volume_at_the_last_price() -> None:
    """A disabled product may come back, a delisted one does not."""
    bitcoin, old, new = parse_list("coinbase", COINBASE, COINBASE_STATS)
    assert bitcoin == ListedMarket(
        "BTC-USD", "BTC/USD", "BTC", "USD",
        tick="0.01", price=Decimal(70_000), turnover=Decimal(175_000),
    )  # fmt: skip
    assert isinstance(old, ListedMarket)
    assert isinstance(new, ListedMarket)
    assert (old.status, new.status) == (MarketStatus.DELISTED, MarketStatus.SUSPENDED)


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm", "kraken", "coinbase"])
@pytest.mark.parametrize("answer", ["[7]", '{"error":["EGeneral:Internal"]}', "7"])
def test_answer_of_another_form_is_an_error(exchange: str, answer: str) -> None:
    """No list is taken for an empty one."""
    with pytest.raises(FrameError):
        parse_list(exchange, answer, answer)


@pytest.mark.parametrize("value", ["0", "-1", "x", "", True, [], "NaN"])
def test_step_must_be_a_positive_decimal(value: object) -> None:
    """An absent step is known to be absent, a bad one is an error."""
    assert parse_step(None) is None
    assert parse_step("10") == "10"
    assert parse_step("1E-8") == "0.00000001"
    with pytest.raises(FrameError):
        parse_step(value)
