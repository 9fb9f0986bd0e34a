"""Instruments: listed symbols, and the rules for all others."""

from pathlib import Path

import polars as pl
import pytest

from candlewax.core.instruments import InstrumentsError, load
from tests.support.decoding import INSTRUMENTS

ASSETS = ["BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LINK", "DOGE", "LTC", "AVAX", "ATOM"]


@pytest.mark.parametrize("asset", ASSETS)
def test_listed_market_resolves_on_every_exchange(asset: str) -> None:
    """By the native symbol of each exchange."""
    for exchange, native, symbol in (
        ("binance", f"{asset}USDT", f"{asset}/USDT"),
        ("binance_usdm", f"{asset}USDT", f"{asset}/USDT:USDT"),
        ("kraken", f"{asset}/USD", f"{asset}/USD"),
        ("coinbase", f"{asset}-USD", f"{asset}/USD"),
    ):
        instrument = INSTRUMENTS.resolve(exchange, native)
        assert instrument is not None
        assert (instrument.symbol, instrument.base) == (symbol, asset)


def test_subscriptions_hold_only_the_subscribe_section() -> None:
    subscribed = {name: INSTRUMENTS.subscriptions(name) for name in INSTRUMENTS.exchanges}
    assert sum(map(len, subscribed.values())) == 34
    assert subscribed["binance_usdm"] == []
    assert subscribed["kraken"][:2] == ["BTC/USD", "ETH/USD"]
    assert "XBT/USD" not in subscribed["kraken"]
    assert INSTRUMENTS.subscriptions("elsewhere") == []


@pytest.mark.parametrize(
    ("exchange", "native", "symbol"),
    [
        ("binance", "BNBUSDT", "BNB/USDT"),
        ("binance", "ETHBTC", "ETH/BTC"),
        ("binance", "USDCUSDT", "USDC/USDT"),
        ("binance", "BTCFDUSD", "BTC/FDUSD"),
        ("binance", "1000SATSUSDT", "1000SATS/USDT"),
        ("binance_usdm", "ETHUSDC", "ETH/USDC:USDC"),
        ("binance_usdm", "BTCUSDT_210625", "BTC/USDT:USDT-210625"),
        ("kraken", "XBT/USD", "BTC/USD"),
        ("kraken", "XDG/EUR", "DOGE/EUR"),
        ("kraken", "ETH/XBT", "ETH/BTC"),
        ("coinbase", "ETH-BTC", "ETH/BTC"),
    ],
)
def test_unlisted_symbol_resolves_by_the_rule_of_its_exchange(
    exchange: str, native: str, symbol: str
) -> None:
    """By separator and asset names; on Binance by a known quote asset at the end."""
    instrument = INSTRUMENTS.resolve(exchange, native)
    assert instrument is not None
    assert instrument.symbol == symbol


@pytest.mark.parametrize(
    ("exchange", "native"),
    [
        ("binance", "QQQZZZ"),
        ("binance", "USDT"),
        ("binance", "BTCUSDT_210625"),
        ("binance", "btcusdt"),
        ("binance", ""),
        ("binance_usdm", "BTCUSDT_PERP"),
        ("kraken", "XBTUSD"),
        ("kraken", "BTC/USD/EUR"),
        ("kraken", "BTC/'; --"),
        ("coinbase", "BTC"),
        ("coinbase", "BTC-USD-PERP"),
        ("coinbase", "BTC-\n"),
    ],
)
def test_symbol_that_no_rule_resolves_has_no_instrument(exchange: str, native: str) -> None:
    assert INSTRUMENTS.resolve(exchange, native) is None


def test_resolve_all_gives_null_for_unknown_symbols() -> None:
    table = INSTRUMENTS.resolve_all("kraken", pl.Series(["XBT/USD", "?"]))
    assert table["symbol"].cast(pl.String).to_list() == ["BTC/USD", None]
    assert table["base"].cast(pl.String).to_list() == ["BTC", None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no exchange"),
        ("[nasdaq.subscribe]\nAAPL = 'A/B'", "none of binance"),
        ("[kraken.buy]\n'XBT/USD' = 'BTC/USD'", "subscribe and also"),
        ("[kraken.subscribe]\n'XBT/USD' = 'BTCUSD'", "looks like BTC/USDT"),
        ("[kraken.subscribe]\n'XBT/USD' = 7", "looks like BTC/USDT"),
        ("[kraken", "instruments.toml"),
        ("kraken = 3", "subscribe and also"),
        ("[kraken]\nsubscribe = ['XBT/USD']", "subscribe and also"),
        ("[kraken.subscribe]\n'XBT/USD' = 'BTC/ USD'", "looks like BTC/USDT"),
        ("[kraken.subscribe]\n'' = 'BTC/USD'", "looks like BTC/USDT"),
        (
            "[kraken.subscribe]\n'XBT/USD' = 'BTC/USD'\n'BTC/USD' = 'BTC/USD'",
            "XBT/USD and BTC/USD are both BTC/USD",
        ),
        (
            "[binance.subscribe]\nABUSD = 'A/BUSD'\n[binance.also]\nABUSD = 'AB/USD'",
            "ABUSD is A/BUSD in one table and AB/USD in the other",
        ),
    ],
)
def test_invalid_file_error_names_path_and_fault(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "instruments.toml"
    path.write_text(text)
    with pytest.raises(InstrumentsError) as error:
        load(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)


def test_missing_file_error_names_setting_path_and_reason(tmp_path: Path) -> None:
    message = (
        r"CANDLEWAX_INSTRUMENTS: got '.*none\.toml', takes the path of a readable file: No such"
    )
    with pytest.raises(InstrumentsError, match=message):
        load(tmp_path / "none.toml")
