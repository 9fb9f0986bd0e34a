"""Processor time of the cold tier: an hour of trades at a rate, offloaded and read back.

The rows are those of the bundled recording, moved into one hour and repeated up to the rate: texts,
amounts and markets are real. `python -m bench.cold --rates 55,5000`.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Final

from candlewax.clickhouse.client import Database, open_tables
from candlewax.cold.layers import LAYERS
from candlewax.cold.offload import EndOfLayer
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.runtime.cold_settings import ColdSettings

HOUR: Final = datetime(2026, 3, 1, 10, tzinfo=UTC)
SAMPLE_TRADES: Final = 104_720

_NUMBERED: Final = """
(
    SELECT *, row_number() OVER (ORDER BY {time}) - 1 AS place, count() OVER () AS total
    FROM sample.{table} FINAL
)
WHERE place < toUInt64(total * {{part:Float64}})
"""

_MOVED: Final = (
    "toDateTime64({hour:String}, 6, 'UTC') "
    "+ toIntervalMicrosecond(toUInt64(3600e6 * place / (total * {part:Float64})))"
)

_FRAMES: Final = f"""
INSERT INTO bronze_frames (exchange, connection, source, source_partition, source_offset,
    received_at, received_ns, frame, kind, trades, duplicates, inserted_at)
SELECT exchange, connection, source, source_partition, source_offset + {{copy:UInt64}} * 10000000,
    {_MOVED}, received_ns, frame, kind, trades, duplicates, now64(6) - 600
FROM {_NUMBERED.format(time="received_at", table="bronze_frames")}
"""

_TRADES: Final = f"""
INSERT INTO silver_trades (exchange, symbol, native_symbol, base, quote, trade_id, sequence,
    timestamp, side, price, quantity, quote_volume, conditions, received_at, source,
    source_partition, source_offset, source_index, via, numbering, vendor_data,
    inserted_at)
SELECT exchange, symbol, native_symbol, base, quote,
    if(sequence = 0, concat(trade_id, '#', toString({{copy:UInt64}})),
        toString(sequence + {{copy:UInt64}} * 1000000)),
    if(sequence = 0, 0, sequence + {{copy:UInt64}} * 1000000),
    {_MOVED} AS moved, side, price, quantity, quote_volume, conditions,
    moved + toIntervalMillisecond(40), source, source_partition,
    source_offset + {{copy:UInt64}} * 10000000, source_index, via, numbering, vendor_data,
    now64(6) - 600
FROM {_NUMBERED.format(time="timestamp", table="silver_trades")}
"""

_CANDLES: Final = """
INSERT INTO {table} SELECT * REPLACE (
    toDateTime('2026-03-01 00:00:00', 'UTC') + toUInt32(window_start) % 86400 AS window_start,
    now64(6) - 600 AS {clock})
FROM sample.{table} FINAL
"""


def main() -> None:
    """Measure each rate in an archive and a database of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="55", help="trades per second, comma-separated")
    parser.add_argument("--rate", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rate:
        measure(arguments.rate)
        return
    for rate in arguments.rates.split(","):
        command = [sys.executable, "-m", "bench.cold", "--rate", rate]
        subprocess.run(command, check=True)


def measure(rate: int) -> None:
    """Print processor seconds by layer, memory and sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environ = {**os.environ, "CANDLEWAX_CLICKHOUSE": str(folder / "db")}
        subprocess.run(
            [sys.executable, "-m", "bytewax.run", "dataflows.ohlcv"],
            check=True, stdout=subprocess.DEVNULL,
            env={**environ, "CANDLEWAX_DATABASE": "sample"},
        )  # fmt: skip
        with closing(open_tables(folder / "db", "market")) as database:
            fill(database, rate * 3600)
            os.chdir(folder)
            settings = ColdSettings(str(folder / "cold"), f"sqlite:///{folder}/catalog.db")
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            with closing(open_tier(settings, database)) as tier:
                report(tier, rate, before)


def fill(database: Database, trades: int) -> None:
    """Store an hour of frames, trades and candles."""
    copies = ceil(trades / SAMPLE_TRADES)
    part = trades / copies / SAMPLE_TRADES
    for copy in range(copies):
        found = {"copy": copy, "part": part, "hour": f"{HOUR:%Y-%m-%d %H:%M:%S}"}
        database.client.command(_FRAMES, parameters=found)
        database.client.command(_TRADES, parameters=found)
    for table, clock in (("ohlcv", "updated_at"), ("ohlcv_revisions", "known_at")):
        database.client.command(_CANDLES.format(table=table, clock=clock))
    for table in ("bronze_frames", "silver_trades"):
        database.client.command(f"OPTIMIZE TABLE {table} FINAL")


def report(tier: ColdTier, rate: int, memory_before: int) -> None:
    """Run one round and print what it cost."""
    begun = time.process_time()
    tier.offloader.prepare()
    print(f"{rate}/s: tables and indexes made in {time.process_time() - begun:.2f} s of processor")
    cost: dict[str, float] = defaultdict(float)
    rows: dict[str, int] = defaultdict(int)
    wall = time.monotonic()
    begun = at = time.process_time()
    for item in tier.offloader.items():
        written = tier.offloader.archive_item(tier.offloader.write_item(item))
        layer = item.layer.name if isinstance(item, EndOfLayer) else item[0].layer
        now = time.process_time()
        cost[layer] += now - at
        at = now
        rows[layer] += sum(measure.rows for measure in written.values())
    total = time.process_time() - begun
    memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_before) / 1024
    for layer, seconds in cost.items():
        files = tier.warehouse.data_files(tier.warehouse.load(LAYERS[layer]))
        size = sum(file.file_size_in_bytes for file in files)
        each = f"{size / rows[layer]:6.1f} bytes a row" if rows[layer] else ""
        print(f"  {layer:<24} {rows[layer]:>12,} rows {seconds:7.2f} s {len(files):4} files {each}")
    print(
        f"  {'together':<24} {sum(rows.values()):>12,} rows {total:7.2f} s of processor, "
        f"{time.monotonic() - wall:.1f} s, peak memory +{memory:,.0f} MB"
    )
    if errors := tier.offloader.take_errors():
        sys.exit("\n".join(errors))
    begun = time.process_time()
    tier.offloader.run_round()
    print(f"  a round with nothing due {time.process_time() - begun:31.2f} s of processor")


if __name__ == "__main__":
    main()
