"""Verification of the archive: every row that differs is named, with its fields."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from candlewax.cold.layers import LAYERS
from candlewax.cold.release import Releaser
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import COMMITTED, VERIFIED
from candlewax.cold.verify import verify
from tests.support import cold_release
from tests.support.cold_tables import hour

SILVER = LAYERS["silver.trades"]


def by_trade(rows: tuple[Mapping[str, Any], ...]) -> dict[str, tuple[str, Mapping[str, Any]]]:
    return {row["key"]["trade_id"]: (row["problem"], row["fields"]) for row in rows}


def test_archive_that_equals_the_tables_is_the_same(archived: ColdTier) -> None:
    for deep in (False, True):
        found = verify(archived, deep=deep)
        assert found.is_same
        assert found.rows == ()
        counts = {one.layer: one for one in found.layers}
        assert (counts["silver.trades"].compared, counts["silver.trades"].rows) == (6, 82)
        assert sum(one.pending + one.differing for one in found.layers) == 0
        assert json.loads(json.dumps(found.as_dict()))["is_same"] is True


def test_missing_surplus_and_changed_trades_are_named(archived: ColdTier) -> None:
    """They were stored before the offload, so no later one would repair it."""
    cold_release.move_offload(archived, timedelta(hours=1))
    insert = "INSERT INTO silver_trades SELECT * REPLACE"
    for change in ("'new' AS trade_id", "toDecimal128(7, 12) AS price"):
        archived.database.command(
            f"{insert} ({change}) FROM silver_trades AS t "
            "WHERE t.exchange = 'binance' AND t.trade_id = '101'"
        )
    archived.database.command(
        "ALTER TABLE silver_trades DELETE WHERE trade_id = '125' SETTINGS mutations_sync = 2"
    )
    for deep in (False, True):
        found = verify(archived, deep=deep, layers=[SILVER])
        assert found.differing == (
            str(hour("silver.trades", "binance")), str(hour("silver.trades", "binance", 1)),
        )  # fmt: skip
        assert by_trade(found.rows) == {
            "new": ("missing", {}),
            "101": ("differs", {"price": {"warm": "7", "cold": "60101"}}),
            "125": ("surplus", {}),
        }


def test_late_trade_is_pending_until_the_next_round(archived: ColdTier) -> None:
    cold_release.store_late_trade(archived.database, "late")
    found = verify(archived)
    assert found.is_same
    assert {one.layer: one.pending for one in found.layers if one.pending} == {"silver.trades": 1}


def test_deep_verification_names_an_unreadable_file(archived: ColdTier) -> None:
    cold_release.spoil(archived, hour("silver.trades", "kraken"))
    assert verify(archived, layers=[SILVER]).is_same
    found = verify(archived, deep=True, layers=[SILVER])
    assert not found.is_same
    (error,) = found.unreadable
    assert "/exchange=kraken/20250615T10-" in error


def test_unit_that_cannot_be_read_back_is_written_again(archived: ColdTier) -> None:
    """Once a deep verification has found it; an offload alone takes the footer for the truth."""
    unit = hour("silver.trades", "kraken")
    states = archived.unit_table.states
    cold_release.spoil(archived, unit)
    assert archived.offloader.run_round(every_unit=True, layers=[SILVER]).offloaded == 0
    assert verify(archived, deep=True, layers=[SILVER]).unreadable
    assert {one.unit for one in states().values() if one.state == COMMITTED} == {unit}
    done = archived.offloader.run_round(every_unit=True, layers=[SILVER])
    assert (done.offloaded, done.errors) == (1, ())
    assert states()[unit].state == VERIFIED
    assert verify(archived, deep=True, layers=[SILVER]).is_same


def test_released_unit_that_cannot_be_read_back_is_named_each_time(archived: ColdTier) -> None:
    """Nothing warm could replace it, so it stays as it is."""
    Releaser(archived).run_layer(SILVER, cold_release.past_keep())
    unit = hour(SILVER.name, "kraken")
    path = cold_release.spoil(archived, unit)
    content = path.read_bytes()
    archived.database.command(
        "INSERT INTO silver_trades SELECT * REPLACE ('kraken' AS exchange, 'late' AS trade_id, "
        "now64(6) AS inserted_at) FROM trades AS t "
        "WHERE t.exchange = 'binance' AND t.trade_id = '101'"
    )
    for _ in range(2):
        (error,) = archived.offloader.run_round(every_unit=True, layers=[SILVER]).errors
        assert path.name in error
        assert verify(archived, deep=True, layers=[SILVER]).unreadable
    assert path.read_bytes() == content
    assert archived.unit_table.states(SILVER)[unit].released


def test_released_unit_that_the_archive_lost_is_named(archived: ColdTier) -> None:
    """Its rows are nowhere; a late trade must not pass for all of it."""
    Releaser(archived).run_layer(SILVER, cold_release.past_keep())
    unit = hour(SILVER.name, "binance")
    table = archived.warehouse.load(SILVER)
    (path,) = archived.unit_table.states(SILVER)[unit].files
    lost = [one for one in archived.warehouse.data_files(table) if one.file_path.endswith(path)]
    archived.warehouse.swap(table, lost, [], {})
    for deep in (False, True):
        assert verify(archived, deep=deep, layers=[SILVER]).differing == (str(unit),)
    archived.database.command(
        "INSERT INTO silver_trades SELECT * REPLACE (t.timestamp - 3600 AS timestamp, "
        "'late' AS trade_id, now64(6) AS inserted_at) FROM trades AS t "
        "WHERE exchange = 'binance' AND t.trade_id = '125'"
    )
    assert archived.offloader.run_round(layers=[SILVER]).errors == (
        f"{unit}: released, and not in the archive any more",
    )
    assert verify(archived, layers=[SILVER]).differing == (str(unit),)
