"""Programs of others, pointed here instead of at Binance."""

import asyncio
import warnings
from collections.abc import Iterator
from decimal import Decimal

import ccxt
import pytest

from tests.support.traded_market import COUNT, FIRST, candles, trade, trades
from tests.support.web_server import BEGIN, Client

with warnings.catch_warnings():
    # It imports a name that websockets has deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance.client import Client as PythonBinance
    from binance.exceptions import BinanceAPIException

BEGIN_MS = int(BEGIN.timestamp()) * 1000


@pytest.fixture(scope="module")
def exchange(client: Client) -> Iterator[ccxt.binance]:
    """Binance of ccxt, whose public addresses are ours."""
    made = ccxt.binance({"options": {"fetchMarkets": {"types": ["spot"]}}})
    made.urls["api"]["public"] = f"http://127.0.0.1:{client.port}/api/v3"
    yield made
    made.session.close()


@pytest.fixture(scope="module")
def python_binance(client: Client) -> Iterator[PythonBinance]:
    """A client of python-binance, whose addresses are ours."""
    made = PythonBinance(ping=False)
    made.API_URL = f"http://127.0.0.1:{client.port}/api"
    yield made
    made.session.close()
    # It takes the thread's event loop, or makes one that nothing closes.
    made.loop.close()
    asyncio.set_event_loop(None)


def test_ccxt_reads_the_candles(exchange: ccxt.binance) -> None:
    """The last ones, and those from a time on, with the forming one."""
    expected = [
        [
            int(one["window_start"].timestamp()) * 1000,
            *(float(one[name]) for name in ("open", "high", "low", "close", "volume")),
        ]
        for one in candles()
    ]
    assert exchange.fetch_ohlcv("BTC/USDT", "1m") == expected
    assert exchange.fetch_ohlcv("BTC/USDT", "1m", limit=2) == expected[-2:]
    since = BEGIN_MS + 60_000
    assert exchange.fetch_ohlcv("BTC/USDT", "1m", since=since, limit=3) == expected[1:4]


def test_ccxt_reads_the_trades(exchange: ccxt.binance) -> None:
    """The last ones, and those from a time on, with the taker's side."""
    for found, numbers in (
        (exchange.fetch_trades("ETH/USDT", limit=3), range(COUNT - 3, COUNT)),
        (exchange.fetch_trades("ETH/USDT", since=BEGIN_MS + 9000, limit=4), range(1, 5)),
        (exchange.fetch_trades("ETH/USDT", limit=2, params={"fromId": FIRST + 20}), (20, 21)),
        (
            exchange.fetch_trades(
                "ETH/USDT", limit=1, params={"fetchTradesMethod": "publicGetTrades"}
            ),
            (COUNT - 1,),
        ),
    ):
        made = [trade(number) for number in numbers]
        assert [one["id"] for one in found] == [one["trade_id"] for one in made]
        assert [one["side"] for one in found] == [one["side"].lower() for one in made]
        assert [one["price"] for one in found] == [float(one["price"]) for one in made]
        assert [one["amount"] for one in found] == [float(one["quantity"]) for one in made]
        assert [one["timestamp"] for one in found] == [
            BEGIN_MS + number * 9000 for number in numbers
        ]


def test_ccxt_reads_markets_tickers_and_the_time(exchange: ccxt.binance) -> None:
    """Each market is active; what only an order book tells is unknown."""
    assert set(exchange.load_markets()) == {"BTC/USDT", "ETH/USDT"}
    assert exchange.market("BTC/USDT")["active"]
    ticker = exchange.fetch_ticker("BTC/USDT")
    assert ticker["last"] == float(trades()[-1]["price"])
    assert ticker["baseVolume"] == float(sum(one["quantity"] for one in trades()))
    assert ticker["bid"] is None
    assert set(exchange.fetch_tickers()) == {"BTC/USDT", "ETH/USDT"}
    assert exchange.fetch_time() > BEGIN_MS
    with pytest.raises(ccxt.BadSymbol):
        exchange.publicGetKlines({"symbol": "ABCUSDT", "interval": "1m"})


def test_python_binance_reads_klines_trades_and_markets(python_binance: PythonBinance) -> None:
    """With every digit: amounts are text."""
    klines = python_binance.get_klines(symbol="BTCUSDT", interval="1m")
    assert [[Decimal(text) for text in line[1:6]] for line in klines] == [
        [one[name] for name in ("open", "high", "low", "close", "volume")] for one in candles()
    ]
    assert all(len(line) == 12 for line in klines)
    history = python_binance.get_historical_klines("BTCUSDT", "1m", BEGIN_MS, BEGIN_MS + 120_000)
    assert history == klines[:3]
    found = python_binance.get_historical_trades(symbol="BTCUSDT", fromId=FIRST, limit=5)
    assert [Decimal(one["qty"]) for one in found] == [one["quantity"] for one in trades()[:5]]
    assert python_binance.get_symbol_info("ETHUSDT")["quoteAsset"] == "USDT"
    assert python_binance.ping() == {}
    with pytest.raises(BinanceAPIException, match="Invalid symbol") as refused:
        python_binance.get_klines(symbol="ABCUSDT", interval="1m")
    assert refused.value.code == -1121


def test_python_binance_iterates_over_aggregates(python_binance: PythonBinance) -> None:
    """From a time on, page by page by id."""
    found = list(python_binance.aggregate_trade_iter("BTCUSDT", start_str=BEGIN_MS))
    assert [one["a"] for one in found] == [one["sequence"] for one in trades()]
