"""Exchanges' own candles, by answers from their documentation."""

from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle

MINUTE = 1_700_000_040
"""A whole minute, 2023-11-14 22:14 UTC."""

BINANCE = (
    f'[[{MINUTE}000,"0.01","0.80","0.005","0.02","148.11",{MINUTE + 59}999,"2434.19",308,'
    '"17.87","28.46","0"]]'
)
KRAKEN = (
    f'{{"error":[],"result":{{"XXBTZUSD":[[{MINUTE},"306.1","306.2","305.7","305.8","306.1",'
    f'"3.39243896",23],[{MINUTE + 60},"305.8","305.8","305.8","305.8","0.0","0.00000000",0],'
    f'[{MINUTE + 120},"305.8","305.9","305.8","305.9","305.8","1.5",2]],"last":{MINUTE + 60}}}}}'
)
COINBASE = f"[[{MINUTE + 60},0.32,4.2,0.35,4.2,1e-08],[{MINUTE},1,2,1.5,1.75,12.3]]"


def rules(exchange: str) -> CandleRules:
    """Return the rules of an exchange."""
    candles = EXCHANGES[exchange].candles
    assert candles is not None
    return candles


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm"])
def test_kline_of_binance_has_every_field(exchange: str) -> None:
    """The taker's parts and the count are beside the amounts."""
    assert rules(exchange).parse(parse(BINANCE)) == [
        VenueCandle(
            MINUTE,
            "0.01",
            "0.80",
            "0.005",
            "0.02",
            "148.11",
            "2434.19",
            "17.87",
            "28.46",
            None,
            308,
        )
    ]


def test_kraken_answer_leaves_out_the_candle_that_is_not_committed() -> None:
    """A minute without trades is flat."""
    traded, empty = rules("kraken").parse(parse(KRAKEN))
    assert traded.start_s == MINUTE
    assert (traded.open, traded.high, traded.low, traded.close) == (
        "306.1",
        "306.2",
        "305.7",
        "305.8",
    )
    assert (traded.volume, traded.trade_count, traded.vwap) == ("3.39243896", 23, "306.1")
    assert (traded.is_empty, empty.is_empty) == (False, True)


def test_coinbase_row_has_low_before_high() -> None:
    """Amounts in JSON numbers stay exact, and no count is published."""
    tiny, whole = rules("coinbase").parse(parse(COINBASE))
    assert (tiny.open, tiny.high, tiny.low, tiny.close) == ("0.35", "4.2", "0.32", "4.2")
    assert Decimal(tiny.volume) == Decimal("0.00000001")
    assert (tiny.is_empty, tiny.trade_count) == (False, None)
    assert (whole.start_s, whole.high, whole.low) == (MINUTE, "2", "1")


@pytest.mark.parametrize(
    ("exchange", "path", "query"),
    [
        (
            "binance",
            "/api/v3/klines",
            {
                "symbol": "BTCUSDT",
                "interval": "1m",
                "startTime": f"{MINUTE}000",
                "endTime": f"{MINUTE + 120}000",
                "limit": "3",
            },
        ),
        (
            "binance_usdm",
            "/fapi/v1/klines",
            {
                "symbol": "BTCUSDT",
                "interval": "1m",
                "startTime": f"{MINUTE}000",
                "endTime": f"{MINUTE + 120}000",
                "limit": "3",
            },
        ),
        (
            "kraken",
            "/0/public/OHLC",
            {"pair": "XBTUSD", "interval": "1", "since": f"{MINUTE - 1}"},
        ),
        (
            "coinbase",
            "/products/BTC-USD/candles",
            {
                "granularity": "60",
                "start": "2023-11-14T22:14:00Z",
                "end": "2023-11-14T22:16:00Z",
            },
        ),
    ],
)
def test_path_asks_for_three_minutes(exchange: str, path: str, query: dict[str, str]) -> None:
    """The end of the span is excluded, where the exchange would include it."""
    names = {"kraken": "BTC/USD", "coinbase": "BTC-USD"}
    native_symbol = names.get(exchange, "BTCUSDT")
    parts = urlsplit(rules(exchange).path(native_symbol, MINUTE, MINUTE + 180))
    assert parts.path == path
    assert {name: value for name, (value,) in parse_qs(parts.query).items()} == query


@pytest.mark.parametrize(
    ("exchange", "answer", "message"),
    [
        ("binance", '{"code":-1}', "a list of candles"),
        ("binance", BINANCE.replace(',"0.02"', ',"NaN"'), "close of a candle is 'NaN'"),
        ("binance", BINANCE.replace(f"{MINUTE}000", f"{MINUTE}001"), "not a whole minute"),
        ("binance", BINANCE.replace("308", '"3e2"'), "trade_count of a candle is '3e2'"),
        ("binance", "[[1]]", "a candle with open at 1"),
        ("kraken", KRAKEN.replace('"last"', '"end"'), "the rows of one pair"),
        ("coinbase", f"[[{MINUTE + 1},1,2,1.5,1.75,12.3]]", "not a whole minute"),
    ],
)
def test_answer_of_another_shape_is_an_error(exchange: str, answer: str, message: str) -> None:
    """The error says what was expected and what came."""
    with pytest.raises(FrameError, match=message):
        rules(exchange).parse(parse(answer))
