"""Minutes that live reconciliation looks for, and results that it keeps."""

import pytest

from candlewax.clickhouse.client import Database
from candlewax.simulator.server import Simulator
from candlewax.verification import reconciler
from tests.support.minutes_of_trades import begin_s, publish, trades_of
from tests.support.reconciling import ALL_EQUAL, LAST, World


def test_minute_without_a_candle_of_ours_is_told(
    tables: Database, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The exchange has trades of it; the row has version 0."""
    world = World("kraken", tables, simulator)
    trades = trades_of(world.market, world.begin, (2, 3, 2, LAST))
    simulator.published.forget("kraken")
    publish(simulator, trades)
    world.store([t for t in trades if t.time_us // 60_000_000 * 60 != world.begin + 60])
    world.next_round()
    assert world.results() == {0: "equal", 2: "equal"}
    world.next_round()
    assert world.results() == {0: "equal", 2: "equal"}
    ((start, version, ours, theirs),) = tables.query(
        "SELECT toUnixTimestamp(window_start), version, ours, theirs FROM reconciliations "
        "WHERE result = 'differs'"
    ).rows()
    assert (start, version, set(ours), theirs[-1]) == (world.begin + 60, 0, {""}, "3")
    assert "trade_count: ours none, theirs 3" in caplog.text
    # Its trades come after all.
    world.store(trades)
    world.next_round()
    assert world.results() == {0: "equal", 1: "equal", 2: "equal"}
    world.client.close()


def test_minutes_before_a_long_silence_of_ours_are_looked_for(
    tables: Database, simulator: Simulator
) -> None:
    """As far back as half of an answer: that of OKX has 100 minutes."""
    world = World("okx", tables, simulator)
    world.begin = begin_s(100)
    counts = (1, LAST, *[0] * 83, 2, 0, 1, LAST)
    trades = trades_of(world.market, world.begin, counts)
    simulator.published.forget("okx")
    publish(simulator, trades)
    world.store(trades[: 1 + LAST])
    world.next_round()
    assert world.results() == {0: "equal"}
    world.store([t for t in trades if t.time_us // 60_000_000 * 60 != world.begin + 60 * 85])
    world.next_round()
    assert world.results() == {0: "equal", 1: "no", 87: "equal"}
    world.next_round()
    ((start, version),) = tables.query(
        "SELECT toUnixTimestamp(window_start), version FROM reconciliations "
        "WHERE result = 'differs'"
    ).rows()
    assert (start, version) == (world.begin + 60 * 85, 0)
    world.client.close()


@pytest.mark.parametrize("world", ["kraken"], indirect=True)
def test_no_missing_minute_is_passed_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: old ones do not wait for the next round."""
    monkeypatch.setattr(reconciler, "_MOST_MISSING", 1)
    world.tables.client.command(
        f"DELETE FROM ohlcv WHERE window_start IN ({world.begin + 60}, {world.begin + 180})"
    )
    world.reconciler._now = lambda: world.begin + 3600.0  # noqa: SLF001 - the test's own
    world.next_round()
    rows = world.tables.query(
        "SELECT toUnixTimestamp(window_start) FROM reconciliations WHERE version = 0 ORDER BY ALL"
    ).rows()
    assert rows == [(world.begin + 60,), (world.begin + 180,)]


def test_candle_that_left_the_reach_waits_no_more(world: World) -> None:
    """Otherwise a request that fails for days would fill the memory."""
    world.simulator.fail_rate = 1
    world.next_round()
    assert world.counters.gauges()["unreconciled", world.exchange] == 4
    world.reconciler._now = lambda: world.begin + 86_400 + 180.0  # noqa: SLF001 - the test's own
    for _ in range(15):
        world.next_round()
    world.simulator.fail_rate = 0
    assert world.counters.gauges()["unreconciled", world.exchange] == 2


@pytest.mark.parametrize("world", ["kraken"], indirect=True)
def test_candle_that_the_exchange_no_longer_shows_is_not_asked_for(world: World) -> None:
    """Kraken shows the last 719 minutes."""
    world.reconciler._now = lambda: world.begin + 719 * 60 + 180.0  # noqa: SLF001 - the test's own
    assert world.next_round() == 1
    assert world.results() == {0: "no", 1: "no", 3: "equal", 4: "equal"}


def test_result_that_cannot_be_stored_is_stored_in_the_next_round(world: World) -> None:
    """Without asking the exchange again."""
    world.tables.command("ALTER TABLE reconciliations ADD CONSTRAINT held CHECK version = 0")
    assert world.next_round() == 1
    world.tables.command("ALTER TABLE reconciliations DROP CONSTRAINT held")
    assert world.next_round() == 0
    assert world.results() == ALL_EQUAL
    assert world.count("equal") == 4
