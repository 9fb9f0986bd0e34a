"""Alerts and dashboards on a running pipeline: real processes, a real Prometheus and faulty
exchanges.
"""

import re
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from candlewax.clickhouse import bar_metrics
from candlewax.cold import metrics
from candlewax.cold.units import Measure, Unit
from tests.deploy.reading import ROOT
from tests.deploy.stack import Stack
from tests.deploy.test_alerts import need
from tests.deploy.test_dashboards import BOARDS, queries
from tests.support.kafka.reading import until

pytestmark = pytest.mark.slow("Prometheus, a server and three processes", seconds=60)

EVERY = {"ohlcv", "watch", "ingest"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A healthy pipeline that receives an unreadable frame from time to time."""
    made = Stack(tmp_path_factory.mktemp("stack"), need("prometheus"))
    try:
        made.exchanges.start(garbage=0.05)
        made.start("ohlcv")
        made.start("watch")
        until(lambda: len(made.query("up == 1")) == len(EVERY))
        yield made
    finally:
        made.close()


def expand_macros(sql: str) -> str:
    """Return a query of ClickHouse's data source as Grafana sends it for the hours around now.

    By the section "Macros" of its documentation.
    """
    now = int(time.time())
    begin, end = f"toDateTime({now - 7_200})", f"toDateTime({now + 7_200})"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {begin} AND \1 <= {end}", sql)
    sql = sql.replace("$__fromTime", begin).replace("$__toTime", end)
    for name, value in {"exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1m"}.items():
        sql = sql.replace(f"${name}", value)
    return sql


def test_each_panel_of_the_pipeline_board_has_data(stack: Stack) -> None:
    """From at least one of its queries."""
    stack.change(
        "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, "
        "after, state) SELECT 'kraken', 'BTC/USD', 1, 3, 3, now(), now(), 'open'"
    )
    archive_is(stale=False, held=0, mismatches=0)
    stack.counters.increment(1, "reconciled", "kraken", "equal", "complete")
    bar_metrics.end_round("kraken", time.time())
    panels: dict[str, list[str]] = {}
    for name, expression in queries("prometheus"):
        panels.setdefault(name.rpartition(" ")[0], []).append(expression)
    assert len(panels) == len(BOARDS["pipeline"]["panels"])
    for title, expressions in panels.items():
        assert until(lambda some=expressions: any(map(stack.query, some))), title  # type: ignore[misc]


def test_each_panel_and_variable_of_the_market_board_has_data(stack: Stack) -> None:
    """From each of its queries."""
    variables = [v["query"] for v in BOARDS["market"]["templating"]["list"] if v["type"] == "query"]
    panel_queries = [sql for _, sql in queries("grafana-clickhouse-datasource")]
    for sql in map(expand_macros, [*variables, *panel_queries]):
        assert "$" not in sql
        assert until(lambda text=sql: stack.sql(text)), sql  # type: ignore[misc]


def archive_is(*, stale: bool, held: int, mismatches: int) -> None:
    """Let the process of the rare metrics say what a cold tier would."""
    hour = Unit("silver.trades", "kraken", datetime(2026, 3, 1, tzinfo=UTC))
    metrics.count_written({hour: Measure(1, "0" * 32, 0)})
    metrics.set_verified([(hour, hour.end)])
    # A round that went well stays new, however long the test takes.
    metrics.end_round(time.time() + (-86_400 if stale else 86_400), 0)
    metrics.set_held({"silver_trades": held})
    metrics.set_mismatches(mismatches)


GAP = """
INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, after, state)
SELECT 'kraken', 'ETH/USD', 1, 3, {missing}, now(), now(), '{state}'
"""


def test_each_alert_fires_and_clears(stack: Stack) -> None:
    """Exchanges send unreadable frames or are away, a process dies, lags or drops frames, the
    database stalls, a candle is wrong, and a gap cannot be repaired.
    """
    stack.wait_for("CandlewaxDeadLetters")
    stack.exchanges.stop()
    stack.kill("watch")
    stack.change(
        "INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, trade_count, closed, "
        "version) SELECT '1m', 'kraken', 'NO/SUCH', toStartOfMinute(max(watermark)) - 60, 1, 1, 3 "
        "FROM watermarks WHERE exchange = 'kraken'"
    )
    stack.counters.increment(1, "lost", "kraken")
    stack.counters.increment(1, "contradictions", "kraken")
    stack.counters.increment(1, "unknown_conditions", "kraken", "AUCTION")
    stack.counters.increment(1, "reconciled", "coinbase", "differs", "complete")
    stack.counters.set_gauge(2, "refused_markets", "kraken")
    archive_is(stale=True, held=1, mismatches=1)
    bar_metrics.end_round("kraken", time.time() - 86_400)
    stack.wait_for("CandlewaxFramesLost", "CandlewaxContradiction", "CandlewaxUnknownCondition")
    stack.wait_for("CandlewaxMarketsRefused", "CandlewaxReconciliationDiffers")
    stack.wait_for("CandlewaxColdStale", "CandlewaxColdHeld", "CandlewaxColdMismatch")
    stack.wait_for("CandlewaxBarsStale")
    archive_is(stale=False, held=0, mismatches=0)
    # Those of tests that ran in this process before, too.
    (rounds,) = bar_metrics._LAST_ROUND.collect()  # noqa: SLF001 - the test's own
    for one in rounds.samples:
        bar_metrics.end_rounds(one.labels["exchange"])
    stack.counters.set_gauge(0, "refused_markets", "kraken")
    stack.lag_messages = 20_000
    stack.wait_for(
        "CandlewaxFeedSilent",
        "CandlewaxProcessDown",
        "CandlewaxCrossCheckMismatch",
        "CandlewaxLag",
    )
    stack.wait_without(
        "CandlewaxDeadLetters",
        "CandlewaxFramesLost",
        "CandlewaxContradiction",
        "CandlewaxUnknownCondition",
        "CandlewaxMarketsRefused",
        "CandlewaxBarsStale",
        "CandlewaxColdStale",
        "CandlewaxColdHeld",
        "CandlewaxColdMismatch",
    )
    stack.lag_messages = 7
    stack.exchanges.start()
    stack.change(GAP.format(missing=3, state="unrepairable"))
    stack.start("watch")
    stack.change("ALTER TABLE ohlcv DELETE WHERE symbol = 'NO/SUCH' SETTINGS mutations_sync = 1")
    stack.wait_for("CandlewaxGapUnrepairable")
    stack.change("ALTER TABLE gaps DELETE WHERE symbol = 'ETH/USD' SETTINGS mutations_sync = 1")
    stack.wait_without(
        "CandlewaxFeedSilent",
        "CandlewaxProcessDown",
        "CandlewaxCrossCheckMismatch",
        "CandlewaxLag",
        "CandlewaxGapUnrepairable",
        "CandlewaxReconciliationDiffers",
    )
    stack.freeze(signal.SIGSTOP)
    try:
        stack.wait_for("CandlewaxCommitStale", "CandlewaxCrossCheckStale")
    finally:
        stack.freeze(signal.SIGCONT)
    stack.wait_without("CandlewaxCommitStale", "CandlewaxCrossCheckStale")
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    assert stack.fired == stack.cleared == set(re.findall(r"- alert: (\w+)", rules))
