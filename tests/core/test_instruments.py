"""Instruments: listed symbols, and the rules for all others."""

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from candlewax.core.instruments import (
    FileContent,
    Instrument,
    Instruments,
    InstrumentsError,
    load,
)
from candlewax.core.market_facts import MarketFacts
from candlewax.exchanges.protocol.markets import MarketKind, MarketStatus
from tests.support.decoding import INSTRUMENTS

SPOT = "[binance.also]\nAB = {{symbol = 'A/B', {}}}"
"""A market with a fact."""

PERPETUAL = (
    '{symbol = "BTC/USD:BTC", kind = "perpetual", contract_size = "100", contract_unit = "USD", '
    'tick = "0.1", status = "trading"}'
)

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
        ("[kraken.buy]\n'XBT/USD' = 'BTC/USD'", "subscribe, also and bars"),
        ("[kraken.subscribe]\n'XBT/USD' = 'BTCUSD'", "looks like BTC/USDT"),
        ("[kraken.subscribe]\n'XBT/USD' = 7", "looks like BTC/USDT"),
        ("[kraken", "instruments.toml"),
        ("kraken = 3", "subscribe, also and bars"),
        ("[kraken]\nsubscribe = ['XBT/USD']", "subscribe, also and bars"),
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
        (SPOT.format("kind = 'swap'"), "kind = 'swap', takes one of spot, perpetual, future"),
        (SPOT.format("kind = 'future'"), "kind = 'future', but A/B names a spot"),
        (SPOT.format("tick = 0.01"), "tick = 0.01, takes a positive decimal in quotes"),
        (SPOT.format("tick = '0'"), "tick = '0', takes a positive decimal in quotes"),
        (SPOT.format("tick = '1e-8'"), "at most 12 decimals"),
        (SPOT.format("contract_size = '10'"), "given together or not at all"),
        (SPOT.format("contract_unit = 'USD'"), "given together or not at all"),
        (SPOT.format("contract_size = '1', contract_unit = 'U S'"), "takes the code of an asset"),
        (SPOT.format("status = 'open'"), "takes one of trading, suspended, delisted"),
        (SPOT.format("lot = '1'"), "lot is none of symbol, kind"),
        ("[binance.also]\nAB = {kind = 'spot'}", "looks like BTC/USDT"),
        (
            SPOT.format("tick = '1'") + "\n[binance.subscribe]\nAB = {symbol = 'A/B', tick = '2'}",
            "AB has other facts in one table than in the other",
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


def test_inline_table_tells_kind_contract_tick_and_status(tmp_path: Path) -> None:
    """A market is a string as before, or a table; the other table may repeat it without facts."""
    path = tmp_path / "instruments.toml"
    path.write_text(
        f"""
        [binance.subscribe]
        ETHUSDT = "ETH/USDT"
        BTCUSD_PERP = "BTC/USD:BTC"
        [binance.also]
        BTCUSD_PERP = {PERPETUAL}
        ETHUSD_261225 = {{symbol = "ETH/USD:ETH-261225"}}
        """
    )
    instruments = load(path)
    perpetual = instruments.resolve("binance", "BTCUSD_PERP")
    assert perpetual is not None
    assert perpetual.facts == MarketFacts(Decimal(100), "USD", Decimal("0.1"), MarketStatus.TRADING)
    kinds = {name: market.kind for name, market in instruments.content.listed["binance"].items()}
    assert kinds == {
        "ETHUSDT": MarketKind.SPOT,
        "BTCUSD_PERP": MarketKind.PERPETUAL,
        "ETHUSD_261225": MarketKind.FUTURE,
    }
    assert instruments.subscriptions("binance") == ["ETHUSDT", "BTCUSD_PERP"]


def test_changed_file_is_taken_up_whole_or_not_at_all() -> None:
    """Dropped markets stay known, and a market with another symbol refuses the file."""
    instruments = Instruments({"binance": {"AB": Instrument("A/B", "A", "B")}}, {"binance": ["AB"]})
    assert instruments.known_table("binance")["native_symbol"].to_list() == ["AB"]
    renamed = FileContent(
        {"binance": {"AB": Instrument("X/B", "X", "B"), "CD": Instrument("C/D", "C", "D")}}
    )
    with pytest.raises(InstrumentsError, match=r"AB = 'X/B': it is A/B in this process"):
        instruments.take_up(renamed)
    assert instruments.resolve("binance", "CD") is None
    assert instruments.subscriptions("binance") == ["AB"]

    changed = FileContent({"binance": {"CD": Instrument("C/D", "C", "D")}}, {"binance": ["CD"]})
    instruments.take_up(changed)
    assert instruments.subscriptions("binance") == ["CD"]
    assert instruments.known_table("binance")["native_symbol"].to_list() == ["AB", "CD"]
    assert instruments.resolve("binance", "AB") == Instrument("A/B", "A", "B")


class _Reloading(Instrument):
    """A market in the midst of whose reading a changed file is taken up."""

    instruments: Instruments

    def __getattribute__(self, name: str) -> object:
        if name == "base":
            changed = FileContent({"binance": {"CD": Instrument("C/D", "C", "D")}})
            type(self).instruments.take_up(changed)
        return super().__getattribute__(name)


def test_file_can_be_taken_up_while_symbols_are_read() -> None:
    """A signal comes at any time, and batches are decoded in another thread."""
    first = _Reloading("A/B", "A", "B")
    instruments = Instruments({"binance": {"EF": Instrument("E/F", "E", "F")}})
    instruments._resolved["binance"]["AB"] = first  # noqa: SLF001 - as if another thread did it
    _Reloading.instruments = instruments
    assert instruments.known_table("binance")["native_symbol"].to_list() == ["EF", "AB"]
    assert instruments.known_table("binance")["native_symbol"].to_list() == ["EF", "AB", "CD"]


BARS = "[binance.also]\nAB = 'A/B'\n[binance.bars]\n"


def test_bars_have_rules_by_unified_symbol(tmp_path: Path) -> None:
    """Each once, in order; none by default."""
    path = tmp_path / "i.toml"
    path.write_text(BARS + '"A/B" = ["volume 0.5", "tick 10", "tick 10"]')
    rules = load(path).content.bars["binance"]["A/B"]
    assert [str(rule) for rule in rules] == ["tick 10", "volume 0.5"]
    assert not any(INSTRUMENTS.content.bars.values())


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"A/C" = ["tick 10"]', "A/C is no unified symbol of a market in subscribe or also"),
        ('"A/B" = ["tick 1.5"]', "got 'tick 1.5', takes a list such as"),
        ('"A/B" = ["tick 0"]', "got 'tick 0', takes"),
        ('"A/B" = ["time 60"]', "got 'time 60', takes"),
        ('"A/B" = ["dollar 0.0000000000001"]', "at most 12 decimals"),
        ('"A/B" = "tick 10"', "got 'tick 10', takes a list"),
    ],
)
def test_wrong_rule_of_bars_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "i.toml"
    path.write_text(BARS + line)
    with pytest.raises(InstrumentsError) as refused:
        load(path)
    assert "[binance.bars]" in str(refused.value)
    assert reason in str(refused.value)
