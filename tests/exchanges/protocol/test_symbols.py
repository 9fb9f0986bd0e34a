"""Symbols: splits by rule, and symbols that need the instruments file."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.instruments import Instrument, Instruments, InstrumentsError, load
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.symbols import split_before_quote
from tests.support.decoding import INSTRUMENTS, read

QUOTES = EXCHANGES["binance"].quotes


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("DOTEUR", "DOT/EUR"),
        ("GALAEUR", "GALA/EUR"),
        ("GALAAEUR", "GALA/AEUR"),
        ("BNBBIDR", "BNB/BIDR"),
        ("BNBIDR", "BNB/IDR"),
        ("ETHFDUSD", "ETH/FDUSD"),
        ("SOLTUSD", "SOL/TUSD"),
        ("USDCEURI", "USDC/EURI"),
    ],
)
def test_symbol_with_two_possible_quotes_is_split_at_the_known_base(
    native: str, symbol: str
) -> None:
    """The base of the other split is no known asset."""
    instrument = INSTRUMENTS.resolve("binance", native)
    assert instrument is not None
    assert instrument.symbol == symbol


def _instrument(symbol: str) -> Instrument:
    base, quote = symbol.split("/")
    return Instrument(symbol, base, quote)


@pytest.mark.parametrize("native", ["QQAEUR", "QQBIDR", "USDTUSD", "WWWTUSD"])
def test_symbol_with_two_splits_and_no_single_known_base_is_a_dead_letter(native: str) -> None:
    """The detail names both splits and the instruments file; once listed there, it resolves."""
    text = (
        f'{{"e":"trade","E":1789473605000,"s":"{native}","t":7,"p":"1.5","q":"2",'
        '"T":1789473605000,"m":false,"M":true}'
    )
    (letter,) = read("binance", text).dead_letters.rows(named=True)
    assert letter["reason"] == "unknown_instrument"
    splits = [f"{native[: -len(q)]}/{q}" for q in QUOTES if native.endswith(q) and native != q]
    assert len(splits) == 2
    assert all(split in letter["detail"] for split in splits)
    assert "instruments file" in letter["detail"]
    listed = Instruments({"binance": {native: _instrument(splits[0])}})
    assert listed.resolve("binance", native) == _instrument(splits[0])


_ASSET = st.one_of(
    st.sampled_from(QUOTES), st.text("ABDEIRTUX1", min_size=1, max_size=4), st.just("USDTB")
)


@given(_ASSET, st.sampled_from(QUOTES), st.sets(_ASSET))
def test_split_needs_a_single_cut_or_a_single_known_base(
    base: str, quote: str, assets: set[str]
) -> None:
    """Compared with all places at which the symbol can be cut."""
    native = base + quote
    cuts = [(native[:n], native[n:]) for n in range(1, len(native)) if native[n:] in QUOTES]
    known = [cut for cut in cuts if cut[0] in {*assets, *QUOTES}]
    expected = cuts if len(cuts) == 1 else known
    assert split_before_quote(native, QUOTES, assets) == (
        expected[0] if len(expected) == 1 else None
    )


@pytest.mark.parametrize(
    ("exchange", "native", "symbol"),
    [
        ("kraken", "TSLAx/USD", "TSLAx/USD"),
        ("kraken", "XBT/TSLAx", "BTC/TSLAx"),
        ("kraken", "币安/EUR", "币安/EUR"),
        ("coinbase", "wETHx-USD", "wETHx/USD"),
        ("binance", "龙虾USDT", "龙虾/USDT"),
        ("binance_usdm", "龙虾USDT", "龙虾/USDT:USDT"),
    ],
)
def test_mixed_case_and_other_scripts_resolve_by_rule(
    exchange: str, native: str, symbol: str
) -> None:
    """Only a symbol without a separator must be free of lower-case letters."""
    instrument = INSTRUMENTS.resolve(exchange, native)
    assert instrument is not None
    assert instrument.symbol == symbol


@pytest.mark.parametrize(
    ("exchange", "native"),
    [
        ("binance", "ethUSDT"),
        ("binance", "\uff25\uff34\uff28USDT"),
        ("binance", "éUSDT"),
        ("binance", "ETH USDT"),
        ("kraken", "\uff25\uff34\uff28/USD"),
        ("kraken", "ﬁ/USD"),
        ("kraken", "ETH /USD"),
        ("kraken", "ETH/US\u200bD"),
        ("coinbase", "-USD"),
        ("coinbase", "X" * 21 + "-USD"),
    ],
)
def test_symbol_that_looks_like_another_is_unknown(exchange: str, native: str) -> None:
    """Full-width letters, ligatures, blanks and invisible characters."""
    assert INSTRUMENTS.resolve(exchange, native) is None


def test_bundled_file_lists_each_binance_asset_once() -> None:
    content = tomllib.loads((Path(__file__).parents[3] / "instruments.toml").read_text("utf-8"))
    assets = content["binance"]["assets"]
    assert len(set(assets)) == len(assets) > 100


@pytest.mark.parametrize(
    "text",
    ["[binance]\nassets = 'ADA'", "[binance]\nassets = [1]", "[binance]\nassets = ['']",
     "[binance]\nsubscribe = ['BTCUSDT']", "[binance]\nquotes = ['EUR']"],
)  # fmt: skip
def test_instruments_file_with_an_invalid_section_is_refused(tmp_path: Path, text: str) -> None:
    """The error names file and exchange."""
    path = tmp_path / "i.toml"
    path.write_text(text)
    with pytest.raises(InstrumentsError, match=r"i\.toml: \[binance\]"):
        load(path)


def test_instruments_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """Editors on Windows write one."""
    path = tmp_path / "i.toml"
    path.write_bytes(b'\xef\xbb\xbf[kraken.subscribe]\n"ETH/EUR" = "ETH/EUR"\n')
    assert load(path).subscriptions("kraken") == ["ETH/EUR"]
