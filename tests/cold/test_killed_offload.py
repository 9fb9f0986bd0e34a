"""Offload cut off at each of its steps, and carried on by another process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold import parquet_files
from candlewax.cold.layers import LAYERS
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.cold.unit_table import VERIFIED
from candlewax.cold.warehouse import Warehouse
from tests.support import cold_tables, playing
from tests.support.cold_tables import hour
from tests.support.rebuilding import BEGIN, HOUR

SILVER = LAYERS["silver.trades"]
UNITS = [hour("silver.trades", "binance", 0), hour("silver.trades", "kraken", 1)]


class KilledError(BaseException):
    """End of a process."""


@contextmanager
def kill_at(step: int, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise KilledError before or after an effect on tables, files or catalog: the one `step`."""
    steps = count()

    def killing(effect: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **words: Any) -> Any:
            if next(steps) == step:
                raise KilledError
            result = effect(*arguments, **words)
            if next(steps) == step:
                raise KilledError
            return result

        return run

    with patch.context() as patched:
        patched.setattr(Database, "insert", killing(Database.insert))
        patched.setattr(parquet_files, "write_unit", killing(parquet_files.write_unit))
        patched.setattr(Warehouse, "swap", staticmethod(killing(Warehouse.swap)))
        yield


@pytest.mark.slow("an archive is filled for each step", seconds=10)
def test_offload_killed_at_any_step_is_completed_by_the_next(
    filled_tier: ColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row doubled, none missing, every unit verified."""
    begins = {"binance": BEGIN, "kraken": BEGIN + HOUR}
    of_hours = sorted(
        fill.trade_id
        for fill in playing.all_fills(cold_tables.two_hours())
        if 0 <= fill.time - begins[fill.exchange] < HOUR
    )
    for step in count():
        was_killed = True
        with kill_at(step, monkeypatch), suppress(KilledError):
            filled_tier.writer.offload(UNITS)
            was_killed = False
        again = open_tier(filled_tier.settings, filled_tier.database)
        again.writer.offload(UNITS)
        again.close()
        table = filled_tier.warehouse.load(SILVER)
        cold = pl.scan_iceberg(table, reader_override="native").collect()
        assert sorted(cold["trade_id"]) == of_hours
        states = filled_tier.unit_table.states(SILVER)
        assert {states[unit].state for unit in UNITS} == {VERIFIED}
        if not was_killed:
            break
        _forget(filled_tier)
    assert step > 10


def _forget(tier: ColdTier) -> None:
    """Empty the archive's table and the memory of it."""
    table = tier.warehouse.load(SILVER)
    tier.warehouse.swap(table, tier.warehouse.data_files(table), [], {})
    tier.database.command("TRUNCATE TABLE cold_units")
