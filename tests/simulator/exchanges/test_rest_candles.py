"""One-minute candles of the simulated exchanges over REST, read by the rules of each."""

from collections.abc import Iterator
from decimal import ROUND_DOWN, Decimal

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import parse
from candlewax.exchanges.protocol.venue_candles import VenueCandle
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.exchange_server import running
from tests.support.minutes_of_trades import begin_s, candles_of, market_of, publish, trades_of
from tests.support.simulator_rest import Reply, get

PLAYED = (
    "binance", "binance_usdm", "kraken", "coinbase", "okx", "bybit", "bybit_linear",
    "kraken_futures", "bitfinex", "bitstamp", "gemini",
)  # fmt: skip
COUNTS = (4, 1, 0, 0, 7, 2)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulator that plays nothing by itself."""
    with running(Simulator(Plan(starts_paused=True))) as (opened, _):
        yield opened


def ask_text(simulator: Simulator, exchange: str, begin: int, end: int) -> str:
    """The answer about a span of minutes of the first market."""
    rules = EXCHANGES[exchange].candles
    assert rules is not None
    path = rules.path(market_of(exchange).native_symbol, begin, end)
    reply: Reply = get(f"{simulator.rest_url(exchange)}{path}")
    assert reply.status == 200
    return reply.text


@pytest.mark.parametrize("exchange", PLAYED)
def test_candles_equal_those_of_the_trades(simulator: Simulator, exchange: str) -> None:
    """A minute without trades is flat, or left out where the exchange does so."""
    begin = begin_s()
    trades = trades_of(market_of(exchange), begin, COUNTS)
    publish(simulator, trades)
    rules = EXCHANGES[exchange].candles
    assert rules is not None
    text = ask_text(simulator, exchange, begin, begin + 60 * len(COUNTS))
    theirs = {candle.start_s: candle for candle in rules.parse(parse(text))}
    expected = candles_of(trades)
    for place, count in enumerate(COUNTS):
        start = begin + 60 * place
        if count:
            assert_equal(theirs[start], expected[start])
        else:
            assert (start in theirs) == rules.has_empty_minutes
            assert start not in theirs or theirs[start].is_empty
    assert min(theirs) == begin


def assert_equal(theirs: VenueCandle, ours: object) -> None:
    """Each published field is equal; a vwap is cut."""
    for name, text in theirs._asdict().items():
        if name == "vwap" and text is not None:
            exact = ours.quote_volume / ours.volume  # type: ignore[attr-defined]
            assert Decimal(text) == exact.quantize(Decimal(text), ROUND_DOWN)
        elif text is not None:
            assert Decimal(text) == getattr(ours, name), name


@pytest.mark.parametrize(
    ("exchange", "path", "status", "text"),
    [
        ("binance", "/api/v3/klines?symbol=NOPE&interval=1m", 400, "-1121"),
        ("binance", "/api/v3/klines?symbol=BTCUSDT&interval=7m", 400, "-1120"),
        ("kraken", "/0/public/OHLC?pair=NOPE&interval=1", 200, "Unknown asset pair"),
        ("coinbase", "/products/NO-PE/candles?granularity=60", 404, "NotFound"),
        ("coinbase", "/products/BTC-USD/candles?granularity=61", 400, "granularity"),
        (
            "coinbase",
            "/products/BTC-USD/candles?granularity=60&start=2026-01-01T00:00:00Z"
            "&end=2026-01-01T05:00:00Z",
            400,
            "too small",
        ),
    ],
)
def test_wrong_request_is_refused(
    simulator: Simulator, exchange: str, path: str, status: int, text: str
) -> None:
    """As the exchange does: 301 minutes are too many for Coinbase."""
    reply = get(f"{simulator.rest_url(exchange)}{path}")
    assert reply.status == status
    assert text in reply.text


def test_requests_are_counted(simulator: Simulator) -> None:
    """With exchange and target, for tests of rate limits."""
    before = len(simulator.rest_log)
    ask_text(simulator, "binance", begin_s(2), begin_s(1))
    assert len(simulator.rest_log) == before + 1
    _, exchange, target = simulator.rest_log[-1]
    assert exchange == "binance"
    assert "/api/v3/klines?symbol=" in target
