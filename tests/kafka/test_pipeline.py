"""The three dataflows as processes, over a real broker and a ClickHouse server."""

import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv
from tests.support.kafka import reading
from tests.support.kafka.system import NORMALIZED, RAW, System, market, record, send
from tests.support.playing import INSTRUMENTS
from tests.support.processes import candlewax
from tests.support.sample import begin_of_sample

pytestmark = pytest.mark.slow("a broker, a server and processes between them", seconds=60)

FLOWS = ("silver", "ohlcv")

WHOLE = {
    "bronze_frames": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "silver_trades": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "dead_letters": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "ohlcv": "* EXCEPT updated_at",
}
"""Columns that do not depend on the way that frames take."""


EVERYTHING = " UNION ALL ".join(
    f"SELECT '{name}', count(), sum(sipHash64({columns})) FROM {name} FINAL"
    for name, columns in WHOLE.items()
)
"""A query of each table's name, number of rows, and sum of the hashes of its rows."""


EXCHANGES = {"binance", "binance_usdm", "coinbase", "kraken"}
"""The exchanges of the sample."""


def cross_checked(system: System) -> set[str]:
    """Return the exchanges whose candles were compared without a difference."""
    exchanges = system.tables.query(
        "SELECT exchange FROM cross_checks FINAL "
        "WHERE candles > 0 AND mismatches + missing_in_gold + missing_in_check = 0"
    )
    return set(exchanges["exchange"].cast(str).to_list())


@pytest.mark.parametrize("flows", [FLOWS, ("tables",)])
def test_processes_around_a_broker_store_what_one_process_stores(
    system: System, tmp_path: Path, tables: Database, flows: Sequence[str]
) -> None:
    """Each row, in all columns but sources and clocks. `verify` and the cross-check of the running
    process find no difference.
    """
    log, tally = begin_of_sample(tmp_path / "sample.tsv"), Counters()
    known = INSTRUMENTS, INSTRUMENTS.exchanges, tables, tally
    run_main(ohlcv.build(builder.build_components(FrameLogSource([log], tally), *known)))
    counting = "SELECT count() AS n, countIf(empty(conditions)) AS c FROM silver_trades FINAL"
    expected = tables.query(counting).row(0)
    running = [system.start(flow, CANDLEWAX_WATCH_SECONDS="0.2") for flow in flows]
    assert system.start("ingest", CANDLEWAX_FEED=str(log)).wait() == 0
    reading.until(lambda: system.stored() == expected, seconds=120, pause=0.5)
    reading.until(lambda: cross_checked(system) == EXCHANGES, seconds=120, pause=0.5)
    for process in running:
        assert process.end() == 0, process.said()
    assert sorted(system.tables.query(EVERYTHING).rows()) == sorted(tables.query(EVERYTHING).rows())
    verified = candlewax(tmp_path, "verify", **system.settings)
    assert verified.returncode == 0, verified.stdout


def test_clusters_of_two_share_the_partitions_and_name_a_deleted_topic(
    system: System, tmp_path: Path
) -> None:
    """Both processes of a dataflow end on a signal. If the topic of their snapshot is deleted, they
    fail with the cause, and so does one process in place of two.
    """
    log = str(record(tmp_path / "market.tsv", market(1000, seed=3)))
    for process in system.cluster("ingest", CANDLEWAX_FEED=log):
        assert process.wait() == 0, process.said()
    clusters = [system.cluster(flow, *system.memory(flow)) for flow in FLOWS]
    fills = system.catch_up(*clusters[0], *clusters[1])
    for cluster, number in zip(clusters, (signal.SIGTERM, signal.SIGINT), strict=True):
        for process in cluster:
            process.tell(number)
        for process in cluster:
            assert process.wait() == 0, process.said()
    system.check(fills)
    deleted = {"silver": RAW.format("binance"), "ohlcv": NORMALIZED}
    reading.delete_topics(system.servers, list(deleted.values()))
    alone = system.durable("silver")
    assert alone.wait() == 1
    assert "Traceback" not in alone.said()
    assert f"{deleted['silver']}, partition 0: what comes next" in alone.said()
    both = system.cluster("ohlcv", *system.memory("ohlcv"))
    assert 0 not in [process.wait() for process in both]
    output = "\n".join(process.said() for process in both)
    assert f"{deleted['ohlcv']}, partition 0: what comes next" in output, output


def test_process_of_all_tables_resumes_after_kills(system: System, tmp_path: Path) -> None:
    """With its recovery store and without. It sends no trades to a topic."""
    log = str(record(tmp_path / "market.tsv", market(500, seed=9)))
    running = system.durable("tables")
    assert system.start("ingest", CANDLEWAX_FEED=log).wait() == 0
    for life, name in enumerate(("", "tables-anew")):
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
        send(system.servers, market(300, seed=10 + life, begin=2000 + 500 * life))
        running = system.durable("tables", name=name)
        fills = system.catch_up(running)
    assert running.end() == 0, running.said()
    system.check(fills, sent=False)
