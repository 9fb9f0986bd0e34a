"""Bitfinex, by frames written after its documentation."""

from dataclasses import replace
from decimal import Decimal

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, Number, parse
from candlewax.exchanges.protocol.markets import MarketKind
from candlewax.exchanges.protocol.rest import RestErrorKind
from candlewax.exchanges.protocol.websocket import Kind
from candlewax.feeds.rest.client import Client
from candlewax.feeds.rest.span_pages import SpanCounts, pages
from candlewax.simulator.market.market import Trade as SimulatedTrade
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.exchanges.conformance import Conformance, Declared, Trade
from tests.support.decoding import INSTRUMENTS, ms, read, reasons, trades
from tests.support.exchange_server import running
from tests.support.minutes_of_trades import begin_s, publish

HELLO = '{"event":"info","version":2,"serverId":"5b73","platform":{"status":1}}'
CONF = '{"event":"conf","status":"OK","flags":65536}'
ACK = '{"event":"subscribed","channel":"trades","chanId":232959,"symbol":"tBTCUSD","pair":"BTCUSD"}'
TE = '[232959,"te",[1788348473,1790359963339,0.00106,83999.5],2]'
SOLD = '[232959,"te",[1788348471,1790359963341,-2,83999],4]'
TU = TE.replace('"te"', '"tu"').replace(",2]", ",3]")
SNAPSHOT = (
    "[232959,[[1788348471,1790359963341,-2,83999],[1788348473,1790359963339,0.00106,83999.5]],1]"
)


class TestConformance(Conformance):
    """The suite of all exchanges."""

    declared = Declared(
        "bitfinex",
        "tBTCUSD",
        "BTC/USD",
        opening=(HELLO, CONF, ACK),
        frames=(TE, SOLD),
        trades=(
            Trade("1788348473", ms(1790359963339), "BUY", "83999.5", "0.00106"),
            Trade("1788348471", ms(1790359963341), "SELL", "83999", "2"),
        ),
        is_numbered=False,
        controls={
            HELLO: Kind.OTHER,
            CONF: Kind.OTHER,
            ACK: Kind.ACK,
            TU: Kind.OTHER,
            '[232959,"hb",5]': Kind.HEARTBEAT,
            '{"event":"info","code":20051,"msg":"Stopping. Please reconnect"}': Kind.SHUTDOWN,
            '{"event":"info","code":20060,"msg":"Maintenance"}': Kind.OTHER,
            '{"event":"info","code":20061,"msg":"Maintenance has ended"}': Kind.SHUTDOWN,
            '{"event":"error","msg":"subscribe: dup","code":10301,"symbol":"tBTCUSD"}': Kind.ACK,
            '{"event":"unsubscribed","status":"OK","chanId":17}': Kind.OTHER,
        },
        refusal='{"event":"error","msg":"symbol: invalid","code":10300,"symbol":"tNOPEUSD"}',
        unknown="tNOPUSD",
        malformed={
            '[232959,"te",[1788348473,1790359963339,0.1],2]': "bad_shape",
            '[232959,"te"]': "bad_shape",
            '[232959,"te",[1788348473,-5,0.1,83999.5],2]': "bad_time",
            '[232959,"te",[1788348473,1790359963339,0,83999.5],2]': "bad_quantity",
            '[232959,"te",[1788348473,1790359963339,0.1,-3],2]': "bad_price",
            '[17,"te",[1788348473,1790359963339,0.1,83999.5],2]': "unknown_channel",
            '["x","te",[1788348473,1790359963339,0.1,83999.5],2]': "bad_shape",
            '[232959,"news"]': "bad_shape",
            "[]": "bad_shape",
            "{": "bad_json",
        },
        response="[[1788348473,1790359963339,0.00106,83999.5],[1788348471,1790359963341,-2,83999]]",
        rest_errors=(
            (500, '["error",10020,"symbol: invalid"]', RestErrorKind.PERMANENT),
            (500, '["error",10020,"limit: invalid"]', RestErrorKind.FAILED),
            (500, '["error",11010,"ratelimit: error"]', RestErrorKind.RATE_LIMITED),
            (429, '{"error":"ERR_RATE_LIMIT"}', RestErrorKind.RATE_LIMITED),
            (500, '["error",20060,"maintenance"]', RestErrorKind.FAILED),
            (503, "<html>", RestErrorKind.FAILED),
        ),
    )


@pytest.mark.parametrize("few", [0, 1000])
def test_snapshot_holds_the_trades_that_came_before(few: int) -> None:
    """Oldest first, as nothing else tells the order of trades of one millisecond."""
    decoded = read("bitfinex", HELLO, ACK, SNAPSHOT, TE, few=few).trades
    assert decoded["trade_id"].to_list() == ["1788348473", "1788348471", "1788348473"]
    assert decoded["quantity"].to_list() == [Decimal("0.00106"), Decimal(2), Decimal("0.00106")]


def test_exponents_and_appended_fields_are_read() -> None:
    """Amounts are exact; what has no meaning here is kept."""
    frame = '[232959,"te",[1,1790359963339,-2.516e-05,1e-8,"more"],2]'
    (trade,) = trades("bitfinex", ACK, frame)
    assert (trade["quantity"], trade["price"]) == (Decimal("0.00002516"), Decimal("0.00000001"))
    assert (trade["side"], trade["vendor"]) == ("SELL", {"field 4": "more"})


@pytest.mark.parametrize(
    ("frame", "number"),
    [
        (TE, 2),
        (TU, 3),
        (SNAPSHOT, 1),
        ('[232959,"hb",5]', 5),
        ('[232959,"hb",5,1790359963339]', 5),
        ('[232959,"te",[1,2,3,4],7,1790359963339]', 7),
        ('[232959,"te",[1,2,3,4]]', None),
        ('[232959,"hb"]', None),
        ("[232959,[]]", None),
        (ACK, None),
    ],
)
def test_number_of_a_frame_is_behind_its_content(frame: str, number: int | None) -> None:
    """Before a time of sending, if the connection asks for one."""
    channels = EXCHANGES["bitfinex"].channels
    assert channels is not None
    assert channels.read_number(parse(frame)) == number


def test_connection_numbers_its_frames() -> None:
    live = EXCHANGES["bitfinex"].live
    assert live.opening_messages == ('{"event":"conf","flags":65536}',)
    assert live.subscribe(["tBTCUSD"], 1) == (
        '{"event":"subscribe","channel":"trades","symbol":"tBTCUSD"}'
    )


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("tBTCUSD", "BTC/USD"),
        ("tIOTETH", "IOTA/ETH"),
        ("tBTCUST", "BTC/USDT"),
        ("tDUSK:USD", "DUSK/USD"),
        ("tBTCF0:USTF0", "BTC/USDT:USDT"),
        ("tTESTBTC:TESTUSD", "TESTBTC/TESTUSD"),
    ],
)
def test_symbols_are_split(native: str, symbol: str) -> None:
    instrument = INSTRUMENTS.resolve("bitfinex", native)
    assert instrument is not None
    assert instrument.symbol == symbol


@pytest.mark.parametrize("native", ["fUSD", "BTCUSD", "tBTC", "tBTCUSDT", "tBTCF0:USD", "tbtcusd"])
def test_other_names_are_not_guessed(native: str) -> None:
    changed = ACK.replace("tBTCUSD", native)
    expected = [] if native == "fUSD" or not native.startswith("t") else ["unknown_instrument"]
    assert reasons("bitfinex", changed, TE) == expected


def test_paths_of_rest_follow_the_documentation() -> None:
    exchange = EXCHANGES["bitfinex"]
    page = exchange.rest.parse_page(parse("[[7,1790359963339,1,2],[5,1790359963341,1,2],[6]]"))
    assert (list(page.numbers), page.until_ns, page.unreadable_rows) == (
        [5, 7], 1790359963340999999, 1,
    )  # fmt: skip
    assert exchange.candles is not None
    assert exchange.candles.path("tBTCUSD", 1790359920, 1790360040) == (
        "/v2/candles/trade:1m:tBTCUSD/hist?start=1790359920000&end=1790360039999&limit=10000&sort=1"
    )
    (candle,) = exchange.candles.parse(parse("[[1790359920000,1,2,4,0.5,7.25]]"))
    assert (candle.start_s, candle.open, candle.close, candle.high, candle.low, candle.volume) == (
        1790359920, "1", "2", "4", "0.5", "7.25",
    )  # fmt: skip


@pytest.mark.parametrize(("first", "last", "page_rows"), [(0, 39, 7), (3, 20, 10_000), (5, 6, 4)])
def test_span_is_loaded_by_time(first: int, last: int, page_rows: int) -> None:
    """Each of its trades, also where a page ends among trades of one millisecond."""
    rest = replace(EXCHANGES["bitfinex"].rest, page_rows=page_rows, requests_per_s=1000, burst=1000)
    begin = begin_s() * 1_000_000
    with running(Simulator(Plan(starts_paused=True))) as (simulator, _):
        market = simulator.venues["bitfinex"].markets["tBTCUSD"]
        made = [
            SimulatedTrade(market, 100 + n, begin + n // 3 * 1000, 5, 7, n % 2 == 0, True, n)
            for n in range(40)
        ]
        publish(simulator, made)
        client = Client(rest, simulator.rest_url("bitfinex"))
        span = made[first].time_us, made[last].time_us + 1000
        answers = list(pages(client, rest, "tBTCUSD", span, lambda _: None, SpanCounts()))
        client.close()
    ids = {int(number) for answer in answers for number in answer.page.numbers}
    assert ids >= {t.trade_id for t in made if span[0] <= t.time_us < span[1]}
    # Those behind the span come with the last page.
    assert all(t.trade_id not in ids for t in made if t.time_us < span[0])


def test_markets_are_listed() -> None:
    rules = EXCHANGES["bitfinex"].markets
    assert rules is not None
    ticker = ["tBTCUSD", 1, 1, 1, 1, 1, 1, Number("83999.5"), 2, 1, 1]
    spot, dusk, perpetual, odd = rules.parse(
        [[["BTCUSD", "DUSK:USD"]], [["BTCF0:USTF0", "ODD"]], [ticker, ["fUSD", 1]]]
    )
    assert not isinstance(spot, FrameError)
    assert not isinstance(perpetual, FrameError)
    assert (spot.native_symbol, spot.symbol, spot.price, spot.turnover) == (
        "tBTCUSD", "BTC/USD", Decimal("83999.5"), Decimal(167999),
    )  # fmt: skip
    assert not isinstance(dusk, FrameError)
    assert (dusk.native_symbol, dusk.turnover) == ("tDUSK:USD", None)
    assert (perpetual.symbol, perpetual.kind) == ("BTC/USDT:USDT", MarketKind.PERPETUAL)
    assert isinstance(odd, FrameError)
