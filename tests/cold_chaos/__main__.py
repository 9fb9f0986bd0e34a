"""Two offloaders and maintenance are killed at random while rows come late and gaps are repaired.

`python -m tests.cold_chaos --place sqlite --kills 200 --seed 1`. Ends with 1 if a row is doubled or
missing, if a reader saw one twice, or if a file that nobody needs stays after the sweep.
"""

import argparse
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TypeVar

import polars as pl

from candlewax.clickhouse.client import Database, open_tables
from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.orphans import find_orphans, remove_files
from candlewax.cold.tier import ColdTier
from candlewax.runtime.cold_settings import ColdSettings, reach_archive
from candlewax.runtime.setting_parsers import Server
from tests.cold_chaos import worker
from tests.cold_chaos.worker import Target
from tests.support import playing
from tests.support.clickhouse_process import ROOT, Serving
from tests.support.cold.object_store import ObjectStoreServer
from tests.support.cold.places import (
    Place,
    make_postgres_place,
    make_rest_place,
    make_sqlite_place,
)
from tests.support.cold.postgres import PostgresServer
from tests.support.cold.rest_catalog import RestCatalogServer
from tests.support.oracle import Fill
from tests.support.playing import Frame, binance, kraken_v1
from tests.support.rebuilding import BEGIN, HOUR, SECOND, fill

StartableT = TypeVar("StartableT", PostgresServer, ObjectStoreServer, RestCatalogServer)

SILVER = LAYERS["silver.trades"]


def main() -> None:
    """Run one place and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--place", choices=("sqlite", "postgres", "rest"), default="sqlite")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = _make_place(arguments.place, folder, stack)
        settings = _settings(place)
        # The engine of the server reads local Iceberg tables only below its working directory.
        elsewhere = ["env", "-C", str(folder), f"PYTHONPATH={ROOT}"]
        reach_archive(settings)
        front = Serving(folder / "db", within=lambda command: [*elsewhere, *command])
        stack.callback(front.end)
        database = stack.enter_context(closing(open_tables(Server(front.dsn), "market")))
        target = Target(front.dsn, "market", settings)
        sys.exit(Chaos(target, database, folder, arguments.seed).run(arguments.kills))


class Chaos:
    """One run of it."""

    def __init__(self, target: Target, database: Database, folder: Path, seed: int) -> None:
        self._target = target
        self._database = database
        self._errors = folder / "errors"
        self._random = random.Random(seed)
        self._seen_twice: list[str] = []
        self._done = threading.Event()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.cold_chaos.worker"])

    def run(self, kills: int) -> int:
        """Return the exit status."""
        frames = _frames()
        held = [frame for frame in frames if self._random.random() < 0.3]
        first = [frame for frame in frames if frame not in held]
        with worker.open_target(self._target) as tier:
            playing.play(playing.received(first), self._database)
            tier.offloader.prepare()
            reader = threading.Thread(target=self._read, name="reader")
            reader.start()
            begun = time.monotonic()
            self._kill(kills, held)
            self._done.set()
            reader.join()
            print(f"{kills} kills in {time.monotonic() - begun:.0f} s; errors of the processes:")
            print(self._errors.read_text("utf-8") if self._errors.exists() else "none")
            return self._judge(tier, playing.all_fills(frames))

    def _kill(self, kills: int, held: list[Frame]) -> None:
        """Kill a process, again and again, and play what was held back in between."""
        roles = [worker.offload, worker.offload, worker.look_after]
        processes = [self._begin(role) for role in roles]
        shares = [held[n::8] for n in range(8)]
        for number in range(kills):
            if number % max(1, kills // 8) == 0 and shares:
                playing.play(playing.received(shares.pop()), self._database)
            time.sleep(self._random.uniform(0.05, 1.5))
            which = self._random.randrange(len(roles))
            processes[which].kill()
            processes[which].join()
            processes[which] = self._begin(roles[which])
        while shares:
            playing.play(playing.received(shares.pop()), self._database)
        for process in processes:
            process.kill()
            process.join()

    def _begin(self, role: Callable[[Target, Path], None]) -> ForkServerProcess:
        process = self._context.Process(target=role, args=(self._target, self._errors))
        process.start()
        return process

    def _read(self) -> None:
        """Count committed rows and their keys, as another program would."""
        with worker.open_target(self._target) as tier:
            while not self._done.wait(0.3):
                table = tier.warehouse.load(SILVER)
                if table.current_snapshot() is None:
                    continue
                rows = tier.archive.rows(SILVER, table)
                counts = tier.database.query(
                    f"SELECT count(), uniqExact({', '.join(SILVER.key)}) FROM ({rows})",
                    {
                        "exchanges": ["binance", "kraken"],
                        "begin": "1970-01-01 00:00:00",
                        "end": "2106-01-01 00:00:00",
                    },
                ).row(0)
                if counts[0] != counts[1]:
                    self._seen_twice.append(f"{counts} at {table.metadata_location}")

    def _judge(self, tier: ColdTier, fills: list[Fill]) -> int:
        """Complete the archive, and compare it with what was played."""
        while (done := tier.offloader.run_round(every_unit=True)).offloaded:
            pass
        problems = [*done.errors, *self._seen_twice]
        cold = _scan(tier)
        wanted = sorted((fill.exchange, fill.trade_id) for fill in fills)
        found = sorted(zip(cold["exchange"], cold["trade_id"], strict=True))
        if wanted != found:
            problems.append(f"{len(found)} trades, not {len(wanted)}")
        if sum(cold["quantity"].to_list(), Decimal()) != sum(one.quantity for one in fills):
            problems.append("other amounts")
        unproven = [str(s.unit) for s in tier.unit_table.states().values() if not s.is_verified]
        problems += [f"{name}: unproven" for name in unproven]
        later = tier.warm.now() + timedelta(hours=25)
        removed = 0
        for layer in LAYERS.values():
            orphans = find_orphans(tier, layer, later)
            removed += len(orphans)
            remove_files(tier, layer, orphans)
            problems += [f"{one.path} stays" for one in find_orphans(tier, layer, later)]
        if _scan(tier).height != len(cold):
            problems.append("the sweep took rows")
        print(f"{len(cold)} trades cold, {removed} orphans swept")
        print("\n".join(problems) or "as it must be")
        return 1 if problems else 0


def _scan(tier: ColdTier) -> pl.DataFrame:
    return pl.DataFrame(tier.warehouse.load(SILVER).scan().to_arrow())


def _frames() -> list[Frame]:
    """Six hours of two exchanges, and a day before that comes as a backfill would."""
    frames: list[Frame] = []
    for start, symbol in ((BEGIN, "BTC/USDT"), (BEGIN - 24 * HOUR, "ETH/USDT")):
        times = [start + n * 120 * SECOND for n in range(180)]
        frames += [
            binance(n, at + 50_000, fill(n, at, symbol=symbol), connection=symbol[0])
            for n, at in enumerate(times, 1)
        ]
    for n in range(90):
        at = BEGIN + n * 240 * SECOND
        trade = fill(500_000 + n, at + 7, exchange="kraken", sequence=0)
        frames.append(kraken_v1(n + 1, at + 70_000, [trade]))
    return frames


def _settings(place: Place) -> ColdSettings:
    settings = ColdSettings(place.warehouse, place.catalog, catalog_credential=place.credential)
    if place.store is None:
        return settings
    return replace(
        settings,
        s3_endpoint=place.store.endpoint,
        s3_region=place.store.region,
        s3_key=place.store.key,
        s3_secret=place.store.secret,
    )


@contextmanager
def _running(server: StartableT) -> Iterator[StartableT]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _make_place(name: str, folder: Path, stack: ExitStack) -> Place:
    if name == "sqlite":
        return make_sqlite_place(folder)
    if name == "postgres":
        return make_postgres_place(folder, stack.enter_context(_running(PostgresServer())))
    objects = stack.enter_context(_running(ObjectStoreServer(folder / "objects")))
    catalog = stack.enter_context(_running(RestCatalogServer(folder / "rest", objects.store)))
    return make_rest_place(catalog.address, objects.store)


if __name__ == "__main__":
    main()
