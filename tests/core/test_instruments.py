"""Instruments: what is listed, and the rules for the rest."""

from pathlib import Path

import polars as pl
import pytest

from candlewax.core.instruments import InstrumentsError, load
from tests.support.decoding import INSTRUMENTS

ASSETS = ["BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LINK", "DOGE", "LTC", "AVAX", "ATOM"]


@pytest.mark.parametrize("asset", ASSETS)
def test_the_markets_are_known_on_all_exchanges(asset: str) -> None:
    """Each by its exchange's own name."""
    for exchange, native, symbol in (
        ("binance", f"{asset}USDT", f"{asset}/USDT"),
        ("binance_usdm", f"{asset}USDT", f"{asset}/USDT:USDT"),
        ("kraken", f"{asset}/USD", f"{asset}/USD"),
        ("coinbase", f"{asset}-USD", f"{asset}/USD"),
    ):
        found = INSTRUMENTS.resolve(exchange, native)
        assert found is not None
        assert (found.symbol, found.base) == (symbol, asset)


def test_a_live_feed_knows_what_to_subscribe_to() -> None:
    """What stands under `subscribe`, and nothing that is only known."""
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
def test_what_is_not_listed_follows_the_rule_of_its_exchange(
    exchange: str, native: str, symbol: str
) -> None:
    """The separator and asset names; on Binance the known quote asset at the end."""
    found = INSTRUMENTS.resolve(exchange, native)
    assert found is not None
    assert found.symbol == symbol


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
def test_what_no_rule_resolves_is_not_guessed(exchange: str, native: str) -> None:
    """It has no instrument."""
    assert INSTRUMENTS.resolve(exchange, native) is None


def test_a_table_resolves_many_names_at_once() -> None:
    """Null where nothing resolves."""
    table = INSTRUMENTS.resolve_all("kraken", pl.Series(["XBT/USD", "?"]))
    assert table["symbol"].cast(pl.String).to_list() == ["BTC/USD", None]
    assert table["base"].cast(pl.String).to_list() == ["BTC", None]


@pytest.mark.parametrize(
    ("text", "says"),
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
def test_a_wrong_file_is_told(tmp_path: Path, text: str, says: str) -> None:
    """With its path and what is wrong."""
    path = tmp_path / "instruments.toml"
    path.write_text(text)
    with pytest.raises(InstrumentsError) as error:
        load(path)
    assert str(path) in str(error.value)
    assert says in str(error.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """With the setting that names it, its path, and the reason."""
    wrong = r"CANDLEWAX_INSTRUMENTS: got '.*none\.toml', takes the path of a readable file: No such"
    with pytest.raises(InstrumentsError, match=wrong):
        load(tmp_path / "none.toml")
