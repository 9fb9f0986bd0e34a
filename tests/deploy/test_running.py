"""Alerts and dashboards on a running pipeline: real processes, a real Prometheus, exchanges
that misbehave.
"""

import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.deploy.reading import ROOT
from tests.deploy.stack import Stack
from tests.deploy.test_alerts import need
from tests.deploy.test_dashboards import BOARDS, queries
from tests.support.kafka.reading import until

pytestmark = pytest.mark.slow("Prometheus, a server and three processes", seconds=60)

EVERY = {"ohlcv", "watch", "ingest"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A pipeline that runs well but for something unreadable now and then."""
    made = Stack(tmp_path_factory.mktemp("stack"), need("prometheus"))
    try:
        made.exchanges.start(garbage=0.05)
        made.start("ohlcv")
        made.start("watch")
        until(lambda: len(made.query("up == 1")) == len(EVERY))
        yield made
    finally:
        made.close()


def expanded(sql: str) -> str:
    """A query of ClickHouse's data source as Grafana sends it (its documentation, "Macros"),
    for the hours around now.
    """
    now = int(time.time())
    begin, end = f"toDateTime({now - 7_200})", f"toDateTime({now + 7_200})"
    sql = re.sub(r"\$__timeFilter\((\w+)\)", rf"\1 >= {begin} AND \1 <= {end}", sql)
    sql = sql.replace("$__fromTime", begin).replace("$__toTime", end)
    for name, value in {"exchange": "kraken", "symbol": "BTC/USD", "timeframe": "1m"}.items():
        sql = sql.replace(f"${name}", value)
    return sql


def test_the_pipeline_s_board_has_something_to_show(stack: Stack) -> None:
    """Each panel, whatever else is in it."""
    stack.change(
        "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, "
        "after, state) SELECT 'kraken', 'BTC/USD', 1, 3, 3, now(), now(), 'open'"
    )
    panels: dict[str, list[str]] = {}
    for name, expression in queries("prometheus"):
        panels.setdefault(name.rpartition(" ")[0], []).append(expression)
    assert len(panels) == len(BOARDS["pipeline"]["panels"])
    for title, expressions in panels.items():
        assert until(lambda some=expressions: any(map(stack.query, some))), title  # type: ignore[misc]


def test_the_market_s_board_has_something_to_show(stack: Stack) -> None:
    """Each panel, and what it lets one choose from."""
    variables = [v["query"] for v in BOARDS["market"]["templating"]["list"] if v["type"] == "query"]
    asked = [sql for _, sql in queries("grafana-clickhouse-datasource")]
    for sql in map(expanded, [*variables, *asked]):
        assert "$" not in sql
        assert until(lambda text=sql: stack.sql(text)), sql  # type: ignore[misc]


GAP = """
INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, after, state)
SELECT 'kraken', 'ETH/USD', 1, 3, {missing}, now(), now(), '{state}'
"""


def test_alerts_fire_and_clear(stack: Stack) -> None:
    """Every one of them: when exchanges send what cannot be read, are gone, when a process dies,
    the database stalls, a candle is wrong, a gap is there to stay, and a process is behind or
    has dropped something.
    """
    stack.wait_for("CandlewaxDeadLetters")
    stack.exchanges.stop()
    stack.kill("watch")
    stack.change(
        "INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, trade_count, closed, "
        "version) SELECT '1m', 'kraken', 'NO/SUCH', toStartOfMinute(max(watermark)) - 60, 1, 1, 3 "
        "FROM watermarks WHERE exchange = 'kraken'"
    )
    stack.told.increment(1, "lost", "kraken")
    stack.told.increment(1, "contradictions", "kraken")
    stack.told.increment(1, "unknown_conditions", "kraken", "AUCTION")
    stack.told.set_gauge(2, "refused_markets", "kraken")
    stack.wait_for("CandlewaxFramesLost", "CandlewaxContradiction", "CandlewaxUnknownCondition")
    stack.wait_for("CandlewaxMarketsRefused")
    stack.told.set_gauge(0, "refused_markets", "kraken")
    stack.behind = 20_000
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
    )
    stack.behind = 7
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
    )
    stack.freeze(signal.SIGSTOP)
    try:
        stack.wait_for("CandlewaxCommitStale", "CandlewaxCrossCheckStale")
    finally:
        stack.freeze(signal.SIGCONT)
    stack.wait_without("CandlewaxCommitStale", "CandlewaxCrossCheckStale")
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8")
    assert stack.fired == stack.over == set(re.findall(r"- alert: (\w+)", rules))
