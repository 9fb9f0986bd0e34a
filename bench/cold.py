"""Processor time of the cold tier: hours of trades at a rate, offloaded and read back in one round.

The rows are those of the bundled recording, moved into each hour and repeated up to the rate:
texts, amounts and markets are real. `python -m bench.cold --rates 55,5000`, or a backlog:
`python -m bench.cold --rates 55 --hours 48`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path
from typing import Final

from candlewax.clickhouse.client import Database, open_tables
from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.offload import EndOfLayer
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.runtime.cold_settings import ColdSettings

FIRST_HOUR: Final = datetime(2026, 3, 1, tzinfo=UTC)
SAMPLE_TRADES: Final = 104_720
EXCHANGES: Final = ("binance", "coinbase", "kraken")

_NUMBERED: Final = """
(
    SELECT *, row_number() OVER (ORDER BY {time}) - 1 AS place, count() OVER () AS total
    FROM sample.{table} FINAL
    WHERE exchange IN {{exchanges:Array(String)}}
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
    toDateTime({{day:String}}, 'UTC') + toUInt32(window_start) % 86400 AS window_start,
    now64(6) - 600 AS {clock})
FROM sample.{table} FINAL
"""


def main() -> None:
    """Measure each rate in an archive and a database of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="55", help="trades per second, comma-separated")
    parser.add_argument("--hours", type=int, default=1, help="hours that wait to be offloaded")
    parser.add_argument("--rate", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rate:
        measure(arguments.rate, arguments.hours)
        return
    for rate in arguments.rates.split(","):
        hours = str(arguments.hours)
        command = [sys.executable, "-m", "bench.cold", "--rate", rate, "--hours", hours]
        subprocess.run(command, check=True)


def measure(rate: int, hours: int) -> None:
    """Print processor seconds by layer, memory and sizes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        replay_sample(folder / "db")
        with closing(open_tables(folder / "db", "market")) as database:
            for hour in range(hours):
                begin = FIRST_HOUR + timedelta(hours=hour)
                fill(database, begin, rate * 3600)
                if begin.hour == 0:
                    fill_candles(database, begin)
            merge_parts(database)
            os.chdir(folder)
            settings = ColdSettings(str(folder / "cold"), f"sqlite:///{folder}/catalog.db")
            with closing(open_tier(settings, database)) as tier:
                report_offload(tier, f"{hours} h at {rate}/s")
                report_maintenance(tier, FIRST_HOUR + timedelta(hours=hours) + timedelta(days=3))


def replay_sample(directory: Path) -> None:
    """Store the bundled recording in the database `sample` of a directory."""
    settings = {"CANDLEWAX_CLICKHOUSE": str(directory), "CANDLEWAX_DATABASE": "sample"}
    subprocess.run(
        [sys.executable, "-m", "bytewax.run", "dataflows.ohlcv"],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, **settings},
    )


def fill(
    database: Database, hour: datetime, trades: int, exchanges: Sequence[str] = EXCHANGES
) -> None:
    """Store an hour of frames and trades of some of the exchanges.

    `trades` is the number of all exchanges.
    """
    copies = ceil(trades / SAMPLE_TRADES)
    part = trades / copies / SAMPLE_TRADES
    for copy in range(copies):
        found = {
            "copy": copy,
            "part": part,
            "hour": f"{hour:%Y-%m-%d %H:%M:%S}",
            "exchanges": list(exchanges),
        }
        database.client.command(_FRAMES, parameters=found)
        database.client.command(_TRADES, parameters=found)


def fill_candles(database: Database, day: datetime) -> None:
    """Store the candles of a day."""
    for table, clock in (("ohlcv", "updated_at"), ("ohlcv_revisions", "known_at")):
        statement = _CANDLES.format(table=table, clock=clock)
        database.client.command(statement, parameters={"day": f"{day:%Y-%m-%d %H:%M:%S}"})


def merge_parts(database: Database) -> None:
    """Merge the parts of tables, as a database has done of hours that are long past."""
    for table in ("bronze_frames", "silver_trades"):
        database.client.command(f"OPTIMIZE TABLE {table} FINAL")


def report_offload(tier: ColdTier, name: str) -> None:
    """Run one round and print what it cost."""
    memory_before = start_of_peak()
    begun = time.process_time()
    tier.offloader.prepare()
    print(f"{name}: tables and indexes made in {time.process_time() - begun:.2f} s of processor")
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
    memory = peak_memory() - memory_before
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


def report_maintenance(tier: ColdTier, now: datetime) -> None:
    """Run the maintenance that is due at a time and print what it cost."""
    memory_before = start_of_peak()
    begun = time.process_time()
    done = maintain(tier, now)
    print(
        f"  maintenance: {time.process_time() - begun:.1f} s of processor, peak memory "
        f"+{peak_memory() - memory_before:,.0f} MB: {done.text('were')}"
    )
    if done.errors:
        sys.exit("\n".join(done.errors))


def start_of_peak() -> int:
    """Forget the process's peak memory and return what it holds now, in MB."""
    Path("/proc/self/clear_refs").write_text("5", "ascii")
    return peak_memory()


def peak_memory() -> int:
    """Return the largest resident memory since `start_of_peak`, in MB."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
