"""An exchange in shards, as processes over a real broker: the tables of a run without shards."""

import json
import signal
from pathlib import Path
from zlib import crc32

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.kafka import topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.topics import RAW_RETENTION_MS, Topic
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv
from tests.support.kafka import reading
from tests.support.kafka.system import NORMALIZED, RAW, Process, System, record
from tests.support.playing import INSTRUMENTS
from tests.support.processes import candlewax
from tests.support.shard_frames import market_frames

pytestmark = pytest.mark.slow("a broker, a server and processes between them", seconds=60)

ROWS = {
    "bronze_frames": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "silver_trades": "* EXCEPT (inserted_at, source, source_partition, source_offset)",
    "ohlcv": "* EXCEPT (updated_at, closed, revision)",
}
"""Columns that depend neither on the way that frames take nor on the watermarks of shards."""

EVERYTHING = " UNION ALL ".join(
    f"SELECT '{name}', count(), sum(sipHash64({columns})) FROM {name} FINAL"
    for name, columns in ROWS.items()
)
"""A query of each table's name, number of rows, and sum of the hashes of its rows."""


def start_flows(system: System, way: str) -> list[Process]:
    """Start what reads the raw topic."""
    if way == "workers":
        return [system.start("tables", "-w", "2")]
    if way == "cluster":
        return system.cluster("tables")
    if way == "independent":
        return [
            system.start("tables", name=f"tables-{n}", CANDLEWAX_EXCHANGES=f"binance/{n}")
            for n in range(2)
        ]
    return [system.start(flow) for flow in ("silver", "ohlcv")]


@pytest.mark.parametrize("way", ["topics", "workers", "cluster", "independent"])
def test_shards_over_a_broker_store_what_one_process_stores(
    system: System, broker: KafkaClient, servers: str, tmp_path: Path, tables: Database, way: str
) -> None:
    """The raw topic of one partition is extended. Each shard's frames, and its trades, have a
    partition of their own.
    """
    names = {shard: f"binance-{shard}of2-0" for shard in range(2)}
    log, tally = record(tmp_path / "m.tsv", market_frames(400, names)), Counters()
    known = INSTRUMENTS, INSTRUMENTS.exchanges, tables, tally
    run_main(ohlcv.build(builder.build_components(FrameLogSource([log], tally), *known)))
    expected = sorted(tables.query(EVERYTHING).rows())
    raw = RAW.format("binance")
    broker.create([Topic(raw, 1, RAW_RETENTION_MS)])
    system.settings |= {"CANDLEWAX_SHARDS": "binance=2", "CANDLEWAX_EXCHANGES": "binance"}
    ingest = system.start("ingest", CANDLEWAX_FEED=str(log))
    assert ingest.wait() == 0, ingest.said()
    running = start_flows(system, way)

    def is_stored() -> bool:
        for process in running:
            assert process.ended() is None, process.said()
        return sorted(system.tables.query(EVERYTHING).rows()) == expected

    reading.until(is_stored, seconds=60, pause=0.3)
    # Processes of a cluster end together.
    for process in running:
        process.tell(signal.SIGTERM)
    for process in running:
        assert process.wait() == 0, process.said()
    assert sorted(system.tables.query(EVERYTHING).rows()) == expected
    verified = candlewax(tmp_path, "verify", **system.settings)
    assert verified.returncode == 0, verified.stdout
    _check_partitions(servers, raw, way)
    if way == "topics":
        more = {"CANDLEWAX_SHARDS": "binance=4", "CANDLEWAX_EXCHANGES": "binance/0"}
        other = system.start("ohlcv", name="ohlcv-4", **more)
        assert other.wait() != 0
        assert "CANDLEWAX_SHARDS: got 4 for binance, takes 2" in other.said()


def _check_partitions(servers: str, raw: str, way: str) -> None:
    frames = reading.read_all(servers, raw)
    assert {message.partition() for message in frames} == {0, 1}
    for message in frames:
        assert message.key() == f"binance-{message.partition()}of2-0".encode()
    if way == "topics":
        places = {
            (message.partition(), *_shard_of(message.value() or b""))
            for message in reading.read_all(servers, NORMALIZED)
        }
        first = topics.normalized_partition("binance", len(reading.ends(servers, NORMALIZED)))
        assert places == {(first, 0, 2), (first + 1, 1, 2)}


def _shard_of(trade: bytes) -> tuple[int, int]:
    """Return the shard of a trade, and the number of shards that its message names."""
    fields = json.loads(trade)
    return crc32(fields["symbol"].encode()) % 2, fields["shards"]
