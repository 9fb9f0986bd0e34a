"""Live reconciliation over real tables and the sockets of a simulated exchange."""

import logging
from dataclasses import replace

import pytest

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from candlewax.simulator.server import Simulator
from tests.support.minutes_of_trades import begin_s, publish, trades_of
from tests.support.reconciling import ALL_EQUAL, COUNTS, LAST, World


@pytest.mark.parametrize(
    "world",
    ["binance", "binance_usdm", "kraken", "coinbase", "okx", "bybit", "bitstamp", "gemini"],
    indirect=True,
)
def test_closed_candles_equal_those_of_the_exchange(world: World) -> None:
    """One request compares all minutes of a market; a process that starts again asks for none."""
    assert set(world.results().values()) == {"no"}
    assert world.next_round() == 1
    assert world.results() == ALL_EQUAL
    assert world.count("equal") == 4
    assert world.next_round() == 0
    world.reconciler = world.start()
    assert world.next_round() == 0
    assert world.count("equal") == 4
    assert world.counters.gauges()["unreconciled", world.exchange] == 0


def test_first_round_begins_after_a_minute(world: World) -> None:
    """A process that has just started has other things to do."""
    world.clock.time += 59
    world.reconciler.run(world.client, world.clock.time + 60)
    assert set(world.results().values()) == {"no"}


def test_difference_is_stored_with_both_values_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Once the candle is corrected it is compared again."""
    ((close,),) = world.tables.query(
        f"SELECT close FROM ohlcv_1m WHERE window_start = toDateTime({world.begin + 180}, 'UTC')"
    ).rows()
    world.spoil(3, "close + toDecimal128('0.000000000001', 12) AS close")
    world.next_round()
    assert world.results() == {**ALL_EQUAL, 3: "differs"}
    ((differing,),) = world.tables.query(
        "SELECT toString(differing) FROM ohlcv_1m_reconciled WHERE reconciled = 'differs'"
    ).rows()
    ours, theirs = f"{close:f}"[:-1] + "1", f"{close:f}".rstrip("0").rstrip(".")
    assert differing == f"{{'close':('{ours}','{theirs}')}}"
    (message,) = [log.getMessage() for log in caplog.records if log.levelname == "ERROR"]
    assert message.endswith(f"the exchange's own candle in close: ours {ours}, theirs {theirs}")
    world.spoil(3, "close - toDecimal128('0.000000000001', 12) AS close")
    assert world.results() == {**ALL_EQUAL, 3: "no"}
    world.next_round()
    assert world.results() == ALL_EQUAL


@pytest.mark.parametrize("world", ["bitstamp"], indirect=True)
@pytest.mark.parametrize(
    "cause", ["", "first", "earlier", "market outage", "outage", "later outage"]
)
def test_candle_that_could_not_be_whole_does_not_alarm(
    world: World, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Where ids count no trades its certificate does not say so, but the table does."""
    minute, second = world.begin, 0.5
    if cause in ("first", "earlier"):
        at = minute + 30 if cause == "first" else minute - 600
        store(world, "subscriptions (exchange, symbol, at, subscribed)", f"{at}, true")
    elif cause.endswith("outage"):
        began = minute + (10 if cause == "market outage" else 70)
        if cause != "outage":
            times = f"{began}, {began}, {began + second}"
            store(world, "market_outages (exchange, symbol, began, since, ended)", times)
    caplog.set_level(logging.INFO, "candlewax")
    world.spoil(0, "feed_down_ms + 500 AS feed_down_ms, " * (cause == "outage") + WRONG)
    world.next_round()
    ((status,),) = world.tables.query(
        "SELECT status FROM reconciliations FINAL WHERE result = 'differs'"
    ).rows()
    is_known = cause in ("first", "market outage", "outage")
    assert status == ("partial" if is_known else "unverified")
    assert world.counters.total("reconciled", "bitstamp", "differs", status) == 1
    said = {log.levelno: log.getMessage() for log in caplog.records if "differ" in log.getMessage()}
    if is_known:
        text = "bitstamp: 1 candles that lack trades by their certificate differ from its own"
        assert said == {logging.INFO: text}
    else:
        assert said.keys() == {logging.ERROR}


WRONG = "close + toDecimal128('0.000000000001', 12) AS close"


def store(world: World, columns: str, values: str) -> None:
    """Insert a row about the market of a world."""
    market = f"'{world.exchange}', '{world.market.symbol}'"
    world.tables.command(f"INSERT INTO {columns} VALUES ({market}, {values})")


def test_candle_that_differs_is_compared_again_after_doubling_pauses(world: World) -> None:
    """The exchange may correct its own. A new process compares it at once."""
    world.spoil(0, "trade_count + 1 AS trade_count")
    requests = [world.next_round() for _ in range(50)]
    assert [minute for minute, count in enumerate(requests) if count] == [0, 14, 42]
    world.reconciler = world.start()
    assert world.next_round() == 1


def test_new_difference_is_not_told_before_it_is_confirmed(
    tables: Database, simulator: Simulator
) -> None:
    """The exchange may not have finished its candle."""
    world = World("binance", tables, simulator)
    world.begin = begin_s(3)
    trades = trades_of(world.market, world.begin, (2, 1, LAST))
    simulator.published.forget("binance")
    publish(simulator, trades)
    world.store(trades)
    world.spoil(0, "trade_count + 1 AS trade_count")
    world.reconciler._now = lambda: world.begin + 60 + 179.0  # noqa: SLF001 - the test's own clock
    world.next_round()
    assert world.results() == {0: "no", 1: "equal"}
    world.reconciler._now = lambda: world.begin + 60 + 180.0  # noqa: SLF001
    assert world.next_round() == 1
    assert world.results() == {0: "differs", 1: "equal"}
    assert world.count("differs") == 1
    world.client.close()


@pytest.mark.parametrize("world", ["coinbase"], indirect=True)
def test_minute_that_the_exchange_does_not_show_is_unavailable(world: World) -> None:
    """Its reason is stored."""
    own = world.simulator.published.market_trades("coinbase", world.market.native_symbol)
    kept = [trade for trade in own.all() if trade.time_us // 60_000_000 * 60 != world.begin]
    world.simulator.published.forget("coinbase")
    publish(world.simulator, kept)
    world.next_round()
    assert world.results() == {**ALL_EQUAL, 0: "unavailable"}
    ((reason,),) = world.tables.query(
        "SELECT reason FROM reconciliations WHERE result = 'unavailable'"
    ).rows()
    assert reason == "the exchange shows no candle of this minute"


def test_failed_requests_are_held_back_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The pauses double; gaps can be asked for meanwhile."""
    caplog.set_level(logging.INFO, "candlewax")
    world.simulator.fail_rate = 1
    requests = [world.next_round() for _ in range(8)]
    world.simulator.fail_rate = 0
    assert requests == [1, 1, 0, 1, 0, 0, 0, 1]
    assert world.client.seconds_until_slot() == 0
    warnings = [log for log in caplog.records if log.levelname == "WARNING"]
    assert [log.getMessage() for log in warnings] == [
        "binance: its candles cannot be asked for: status 503; it is tried again"
    ]
    assert world.counters.total("candle_requests", "binance", "refused") == 4
    for _ in range(8):
        world.next_round()
    assert world.results() == ALL_EQUAL
    assert "binance: its candles are compared again" in caplog.text


def test_unknown_market_is_unavailable(world: World) -> None:
    """The exchange's own text is the reason."""
    world.simulator.refuse(world.market.native_symbol)
    world.next_round()
    world.simulator.refuse(world.market.native_symbol, is_known=True)
    assert set(world.results().values()) == {"unavailable"}
    assert world.tables.query("SELECT DISTINCT reason FROM reconciliations").rows() == [
        ("Invalid symbol.",)
    ]


def test_database_that_is_away_is_told_once_and_compared_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The next round reaches as far back as the first."""
    world.tables.command("RENAME TABLE reconciliations TO elsewhere")
    assert [world.next_round(), world.next_round()] == [0, 0]
    world.tables.command("RENAME TABLE elsewhere TO reconciliations")
    (warning,) = [log for log in caplog.records if log.levelname == "WARNING"]
    assert warning.getMessage().startswith("binance: the candles cannot be compared: ")
    world.next_round()
    assert world.results() == ALL_EQUAL


def test_requests_of_many_markets_keep_the_rate_limit(world: World) -> None:
    """A hundred markets cost eight requests for trades: 200 of the weight of 6000 a minute."""
    trades = trades_of(world.market, world.begin, (*COUNTS, LAST))
    names = [f"M{number}USDT" for number in range(100)]
    markets = [replace(world.market, native_symbol=name) for name in names]
    venue = world.simulator.venues["binance"]
    for market in markets:
        venue.markets[market.native_symbol] = market
        publish(world.simulator, [trade._replace(market=market) for trade in trades])
    world.store([trade._replace(market=market) for market in markets for trade in trades])
    began = world.clock.time
    assert world.next_round() == 101
    rest = EXCHANGES["binance"].rest
    spent = 101 * 2 / 25
    assert spent <= rest.burst + (world.clock.time - began) * rest.requests_per_s
    assert world.count("equal") == 101 * 4
    weight = sum(2 for _, _, target in world.simulator.rest_log if "klines" in target)
    assert weight <= 6000
    for name in names:
        del venue.markets[name]
