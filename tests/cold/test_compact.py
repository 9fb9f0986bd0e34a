"""Compaction: fewer files with the same rows, and nothing committed that was not checked."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from pyiceberg.manifest import DataFile

from candlewax.cold import parquet_files
from candlewax.cold.layers import DAY, LAYERS
from candlewax.cold.maintenance import compact as compaction
from candlewax.cold.maintenance.compact import Merge, compact, divide, find_merges
from candlewax.cold.maintenance.merged_rows import read_in_order
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import RELEASED, VERIFIED
from candlewax.cold.units import Measure
from candlewax.cold.warehouse import ConflictError
from tests.support import cold_tables
from tests.support.cold_tables import FIRST_HOUR, files, hour, offload, scan

SILVER = LAYERS["silver.trades"]
END = FIRST_HOUR.replace(hour=0) + DAY
"""End of the day of all trades."""

LATER = END + timedelta(days=2)


def merges(tier: ColdTier, layer: str = "silver.trades") -> list[Merge]:
    return find_merges(tier, LAYERS[layer], LATER)


def contents(tier: ColdTier, layer: str) -> dict[Any, Measure]:
    """The measure of each unit, as ClickHouse reads the archive."""
    table = tier.warehouse.load(LAYERS[layer])
    units = tier.unit_table.states(LAYERS[layer])
    return dict(tier.archive.measure(table, units))


def live_files(tier: ColdTier, exchange: str) -> tuple[DataFile, ...]:
    table = tier.warehouse.load(SILVER)
    units = [unit for unit in tier.unit_table.states(SILVER) if unit.exchange == exchange]
    return tuple(tier.warehouse.data_files(table, units))


def in_order(trades: pl.DataFrame) -> pl.DataFrame:
    return trades.sort("exchange", "symbol", "timestamp", "trade_id")


@pytest.mark.parametrize(
    "layer", ["raw.frames", "raw.dead_letters", "bronze.trades_kraken", "silver.trades"]
)
def test_compacted_day_has_a_file_for_each_exchange_and_the_same_content(
    filled_tier: ColdTier, layer: str
) -> None:
    offload(filled_tier, layer)
    before = contents(filled_tier, layer)
    exchanges = {unit.exchange for unit in before}
    outcome = compact(filled_tier, merges(filled_tier, layer))
    assert outcome.errors == []
    assert len(files(filled_tier, layer)) == len(exchanges)
    assert contents(filled_tier, layer) == before
    assert merges(filled_tier, layer) == []


def test_trades_of_a_compacted_day_are_the_same_to_polars(traded: ColdTier) -> None:
    before = scan(traded, "silver.trades")
    compact(traded, merges(traded))
    after = scan(traded, "silver.trades")
    assert len(after) == 82
    assert in_order(after).equals(in_order(before))
    assert after["price"].sum() == before["price"].sum()


def test_compacted_file_names_its_units_and_is_sorted(traded: ColdTier) -> None:
    before = {unit: one.measure for unit, one in traded.unit_table.states(SILVER).items()}
    compact(traded, merges(traded))
    table = traded.warehouse.load(SILVER)
    named: dict[Any, Measure] = {}
    for path in files(traded, "silver.trades"):
        named |= parquet_files.read_units(table.io, f"{table.location()}/{path}")
        rows = pl.read_parquet(f"{table.location()}/{path}".removeprefix("file://"))
        keys = rows.select("symbol", "timestamp", "trade_id").rows()
        assert keys == sorted(keys)
    assert named == before


def test_compaction_is_one_snapshot_that_says_so(traded: ColdTier) -> None:
    before = len(traded.warehouse.load(SILVER).metadata.snapshots)
    compact(traded, merges(traded))
    table = traded.warehouse.load(SILVER)
    assert len(table.metadata.snapshots) == before + 1
    snapshot = table.current_snapshot()
    assert snapshot
    assert snapshot.summary
    assert compaction.PROPERTY in snapshot.summary.additional_properties


def test_units_of_a_compacted_day_are_verified_in_their_new_file(traded: ColdTier) -> None:
    compact(traded, merges(traded))
    states = traded.unit_table.states(SILVER)
    assert {one.state for one in states.values()} == {VERIFIED}
    assert sorted({path for one in states.values() for path in one.files}) == files(
        traded, "silver.trades"
    )


def test_released_unit_stays_released(traded: ColdTier) -> None:
    unit = hour("silver.trades", "binance")
    state = traded.unit_table.states(SILVER)[unit]
    traded.unit_table.store([state.advance(RELEASED)])
    traded.unit_table.store_released([unit], released=True)
    compact(traded, merges(traded))
    after = traded.unit_table.states(SILVER)[unit]
    assert (after.state, after.released) == (RELEASED, True)
    assert after.files != state.files


@pytest.mark.parametrize(
    ("after_end", "is_open", "is_due"),
    [
        (timedelta(hours=23), False, False),
        (timedelta(hours=24), False, True),
        (timedelta(hours=71), True, False),
        (timedelta(hours=72), True, True),
    ],
)
def test_day_is_compacted_a_day_after_its_end_or_three_with_an_open_gap(
    traded: ColdTier, after_end: timedelta, is_open: bool, is_due: bool
) -> None:
    if is_open:
        traded.database.command(
            "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, "
            f"after) SELECT exchange, 'A/B', 1, 2, 2, '{FIRST_HOUR:%F %T}', '{FIRST_HOUR:%F %T}' "
            "FROM (SELECT DISTINCT exchange FROM silver_trades)"
        )
    found = find_merges(traded, SILVER, END + after_end)
    traded.database.command("TRUNCATE TABLE gaps SYNC")
    assert bool(found) == is_due


def test_day_with_a_unit_that_is_not_verified_is_left(traded: ColdTier) -> None:
    state = traded.unit_table.states(SILVER)[hour("silver.trades", "binance")]
    traded.unit_table.store([state.advance("written")])
    assert {merge.exchange for merge in merges(traded)} == {"kraken"}


def test_units_are_divided_by_size_in_order_of_time() -> None:
    a, b, c, d = (hour("silver.trades", "binance", n) for n in range(4))
    assert divide({b: 40, a: 50, c: 30, d: 500}, 100) == ((a, b), (c,), (d,))


def test_day_too_large_for_a_file_becomes_several_of_whole_units(traded: ColdTier) -> None:
    before = contents(traded, "silver.trades")
    sizes = [file for merge in merges(traded) for file in merge.old]
    limit = 2 * max(file.file_size_in_bytes for file in sizes)
    compact(traded, find_merges(traded, SILVER, LATER, limit))
    assert len(files(traded, "silver.trades")) == 4
    assert contents(traded, "silver.trades") == before
    assert find_merges(traded, SILVER, LATER, 1) == []


def test_file_of_several_hours_is_divided_between_new_files(traded: ColdTier) -> None:
    """As when an hour was added to a compacted day, and the day became too large for a file."""
    before = contents(traded, "silver.trades")
    (binance, _) = merges(traded)
    first, second, third = binance.units
    joined = replace(binance, parts=((first, second), (third,)))
    (done,) = compaction.commit(traded, [compaction.write(traded, joined)])
    assert done.merge.exchange == "binance"
    old = live_files(traded, "binance")
    divided = replace(joined, old=old, parts=((first,), (second, third)))
    compaction.commit(traded, [compaction.write(traded, divided)])
    named = [
        set(parquet_files.read_units(traded.warehouse.load(SILVER).io, file.file_path))
        for file in live_files(traded, "binance")
    ]
    assert sorted(map(len, named)) == [1, 2]
    assert {first} in named
    assert contents(traded, "silver.trades") == before


def test_late_trade_divides_a_compacted_day_and_the_next_compaction_joins_it(
    tier: ColdTier,
) -> None:
    frames = cold_tables.two_hours()
    late = next(frame for frame in frames if frame.exchange == "binance" and frame.seq == 5)
    cold_tables.play(tier.database, [frame for frame in frames if frame is not late])
    offload(tier, "silver.trades")
    compact(tier, merges(tier))
    cold_tables.play(tier.database, [late])
    offload(tier, "silver.trades")
    assert len(scan(tier, "silver.trades")) == 82
    assert [merge.exchange for merge in merges(tier)] == ["binance"]
    compact(tier, merges(tier))
    assert len(files(tier, "silver.trades")) == 2
    assert len(scan(tier, "silver.trades")) == 82


def test_merge_whose_files_were_replaced_meanwhile_is_left(traded: ColdTier) -> None:
    written = [compaction.write(traded, merge) for merge in merges(traded)]
    # Another process compacts the same day first.
    compact(traded, merges(traded)[:1])
    done = compaction.commit(traded, written)
    assert [one.merge.exchange for one in done] == ["kraken"]
    assert len(files(traded, "silver.trades")) == 2
    assert len(scan(traded, "silver.trades")) == 82


def test_commit_to_other_files_of_the_table_does_not_disturb_a_merge(
    traded: ColdTier,
) -> None:
    binance, kraken = (compaction.write(traded, merge) for merge in merges(traded))
    assert len(compaction.commit(traded, [kraken])) == 1
    assert len(compaction.commit(traded, [binance])) == 1
    assert len(scan(traded, "silver.trades")) == 82


def test_commit_of_unknown_outcome_that_took_place_counts(
    traded: ColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    swap = traded.warehouse.swap

    def swap_unheard(*arguments: Any) -> None:
        swap(*arguments)
        raise ConflictError("the connection broke")

    monkeypatch.setattr(type(traded.warehouse), "swap", staticmethod(swap_unheard))
    outcome = compact(traded, merges(traded))
    assert (len(outcome.done), outcome.left, outcome.errors) == (2, 0, [])
    assert len(scan(traded, "silver.trades")) == 82


def test_row_lost_in_writing_is_found_before_the_commit(
    traded: ColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = traded.warehouse.load(SILVER).metadata_location
    monkeypatch.setattr(
        compaction,
        "read_in_order",
        lambda *names: (batch.slice(1) for batch in read_in_order(*names)),
    )
    outcome = compact(traded, merges(traded))
    assert len(outcome.errors) == 2
    assert "not as the files before it" in outcome.errors[0]
    assert traded.warehouse.load(SILVER).metadata_location == before


def test_corrupted_page_stops_the_compaction_of_its_day_only(traded: ColdTier) -> None:
    state = traded.unit_table.states(SILVER)[hour("silver.trades", "binance")]
    location = traded.warehouse.load(SILVER).location().removeprefix("file://")
    path = Path(location) / state.files[0]
    chunk = pq.read_metadata(path).row_group(0).column(0)
    content = bytearray(path.read_bytes())
    content[chunk.file_offset + chunk.total_compressed_size - 2] ^= 0xFF
    path.write_bytes(content)
    outcome = compact(traded, merges(traded))
    assert [one.merge.exchange for one in outcome.done] == ["kraken"]
    assert len(outcome.errors) == 1
    assert "silver.trades binance" in outcome.errors[0]
