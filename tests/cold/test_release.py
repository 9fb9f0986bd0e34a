"""Release: warm rows go once they are proven cold, whatever happens in between."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candlewax.cold.layers import LAYERS
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.release import Release, Releaser
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import RELEASED
from candlewax.runtime.settings import load
from tests.support import cold_release
from tests.support.cold_release import all_rows, past_keep, warm_count
from tests.support.cold_tables import hour

TRADES = LAYERS["silver.trades"]

Row = tuple[object, ...]

STEPS = ("marked", "hidden", "moved", "compared", "dropped", "shown")


class CrashError(Exception):
    """End of a process at a step."""


def release(tier: ColdTier, after_step: Callable[[str], object] = lambda _: None) -> Release:
    return Releaser(tier, after_step).run(past_keep())


def release_trades(tier: ColdTier, after_step: Callable[[str], object] = lambda _: None) -> Release:
    return Releaser(tier, after_step).run_layer(TRADES, past_keep())


def trades(tier: ColdTier) -> list[Row]:
    return cold_release.rows(tier.database, "trades").rows()


def test_released_rows_are_cold_only_and_all_shown(archived: ColdTier) -> None:
    before = all_rows(archived.database)
    done = release(archived)
    assert done.held == ()
    assert {layer for layer, _ in done.released} == {
        "raw.frames", "raw.dead_letters", "silver.trades",
    }  # fmt: skip
    for table in ("bronze_frames", "silver_trades", "dead_letters"):
        assert warm_count(archived.database, table) == 0
    assert all_rows(archived.database) == before
    states = archived.unit_table.states(TRADES).values()
    assert {state.state for state in states} == {RELEASED}
    assert release(archived) == Release((), ())


def test_young_rows_stay(archived: ColdTier) -> None:
    done = Releaser(archived).run(datetime.now(UTC) + timedelta(days=8))
    assert {layer for layer, _ in done.released} == {"raw.frames"}
    assert warm_count(archived.database, "silver_trades") == 82


def test_settings_say_how_long_rows_stay(archived: ColdTier) -> None:
    """Retention as of tables without an archive; forever is for ever."""
    texts = {"CANDLEWAX_COLD": "/archive", "CANDLEWAX_KEEP_TRADES": "5y"}
    texts |= {"CANDLEWAX_KEEP_FRAMES": "40d", "CANDLEWAX_KEEP_DEAD_LETTERS": "forever"}
    keep = load(texts, Path("no such file")).retention.keep
    tier = replace(archived, keep=keep)
    assert Releaser(tier).run(past_keep()) == Release((), ())
    done = Releaser(tier).run(datetime.now(UTC) + timedelta(days=41))
    assert {layer for layer, _ in done.released} == {"raw.frames"}
    assert warm_count(archived.database, "silver_trades") == 82
    assert warm_count(archived.database, "dead_letters") > 0


def test_unsealed_unit_holds_its_day(archived: ColdTier) -> None:
    unit = hour("silver.trades", "kraken", 1)
    state = archived.unit_table.states(TRADES)[unit]
    archived.unit_table.store([state.advance("verified")])
    done = release(archived)
    (held,) = done.held
    assert held.layer == "silver.trades"
    assert held.reason == f"{unit}: not sealed"
    assert done.held_bytes > 0
    assert warm_count(archived.database, "silver_trades") == 82


def test_row_that_is_not_cold_holds_its_day(archived: ColdTier) -> None:
    archived.database.command(
        "INSERT INTO silver_trades SELECT * REPLACE ('new' AS trade_id, "
        "now64(6) AS inserted_at) FROM silver_trades WHERE exchange = 'kraken' "
        "ORDER BY timestamp LIMIT 1"
    )
    before = all_rows(archived.database)
    (held,) = release(archived).held
    assert held.reason == "silver.trades kraken 2025-06-15 10:00: the archive holds other rows"
    assert warm_count(archived.database, "silver_trades") == 83
    assert all_rows(archived.database) == before
    cold_release.offload_and_seal(archived, TRADES.name)
    assert release(archived).held == ()
    assert all_rows(archived.database) == before


def test_release_cut_off_after_any_step_is_finished_by_the_next(archived: ColdTier) -> None:
    before = trades(archived)

    def crash_after(step: str) -> Callable[[str], object]:
        def after_step(done: str) -> None:
            assert trades(archived) == before
            if done == step:
                raise CrashError

        return after_step

    for step in STEPS[:-1]:
        with pytest.raises(CrashError):
            release_trades(archived, crash_after(step))
        assert trades(archived) == before
    assert release_trades(archived).held == ()
    assert trades(archived) == before
    assert warm_count(archived.database, "silver_trades") == 0


def store_late_at(tier: ColdTier, step: str, shown: list[list[Row]]) -> Callable[[str], object]:
    """Store a late trade after a step; keep what is shown after each."""

    def after_step(done: str) -> None:
        if done == step:
            cold_release.store_late_trade(tier.database, f"late-{step}")
        shown.append(trades(tier))

    return after_step


def test_trade_that_arrives_after_any_step_is_shown_and_kept(archived: ColdTier) -> None:
    """While a trade comes before the rows are dropped, they are moved back and held."""
    for number, step in enumerate(STEPS, 1):
        before = trades(archived)
        shown: list[list[Row]] = []
        held = release_trades(archived, store_late_at(archived, step, shown)).held
        assert [one.reason for one in held] == [
            "silver.trades binance 2025-06-15 10:00: the archive holds other rows"
        ] * (step in {"marked", "hidden"})
        after = trades(archived)
        assert len(after) == len(before) + 1
        assert [row for row in after if row in before] == before
        place = STEPS.index(step)
        assert shown == [before] * place + [after] * (len(shown) - place)
        cold_release.offload_and_seal(archived, TRADES.name)
        assert trades(archived) == after
        state = archived.unit_table.states(TRADES)[hour(TRADES.name, "binance")]
        assert state.measure.rows == 20 + number
    assert release_trades(archived).held == ()
    assert trades(archived) == after
    assert warm_count(archived.database, "silver_trades") == 0


def test_absent_archive_holds_everything(archived: ColdTier) -> None:
    before = cold_release.warm_count(archived.database, "silver_trades")
    Path("cold/warehouse").rename("away")
    begun = datetime.now(UTC)
    for days in (*range(9), 40):
        done = Releaser(archived).run(begun + timedelta(days=days))
        assert done.released == ()
        assert bool(done.held) == (days >= 7)
    assert {one.layer for one in done.held} == {"raw.frames", "raw.dead_letters", "silver.trades"}
    assert all("the archive cannot be read" in one.reason for one in done.held)
    assert done.held_bytes == cold_release.warm_bytes(archived.database)
    assert cold_release.warm_count(archived.database, "silver_trades") == before
    Path("away").rename("cold/warehouse")
    assert release(archived).held == ()


def test_unreadable_page_is_named_and_never_released(archived: ColdTier) -> None:
    before = trades(archived)
    cold_release.spoil(archived, hour(TRADES.name, "kraken", 1))
    (held,) = release_trades(archived).held
    assert held.reason.startswith("silver.trades: cannot be read back from the archive: ")
    assert "/exchange=kraken/20250615T11-" in held.reason
    assert trades(archived) == before


def test_surplus_in_the_archive_holds_its_day(archived: ColdTier) -> None:
    """A warm row that is lost is not in the archive only by release."""
    archived.database.command(
        "ALTER TABLE silver_trades DELETE WHERE trade_id = '110' SETTINGS mutations_sync = 2"
    )
    (held,) = release_trades(archived).held
    assert held.reason == "silver.trades binance 2025-06-15 10:00: the archive holds other rows"


def test_bronze_that_is_not_cold_holds_its_frames(archived: ColdTier) -> None:
    unit = hour("bronze.trades_kraken", "kraken")
    state = archived.unit_table.states(LAYERS[unit.layer])[unit]
    archived.unit_table.store([state.advance("committed")])
    (held,) = Releaser(archived).run_layer(LAYERS["raw.frames"], past_keep()).held
    assert held.reason == f"{unit}: not verified"


def test_late_frame_of_a_released_hour_keeps_the_bronze_trades_of_the_others(
    archived: ColdTier,
) -> None:
    release(archived)
    bronze = LAYERS["bronze.trades_binance"]
    before = archived.unit_table.states(bronze)[hour(bronze.name, "binance")].measure
    archived.database.command(
        "INSERT INTO bronze_frames SELECT * REPLACE (toUInt64(9999) AS source_offset, "
        "now64(6) AS inserted_at) FROM frames WHERE exchange = 'binance' AND kind = 'trade' "
        "ORDER BY received_at LIMIT 1"
    )
    cold_release.offload_and_seal(archived, "raw.frames", bronze.name)
    after = archived.unit_table.states(bronze)[hour(bronze.name, "binance")].measure
    assert (before.rows, after.rows) == (20, 21)
    assert release(archived).held == ()
    assert len(cold_release.rows(archived.database, "frames")) == 84


def test_unit_planned_before_its_release_is_planned_again(archived: ColdTier) -> None:
    """Else the rows of a plan could be read after they were dropped."""
    unit = hour(TRADES.name, "binance")
    cold_release.store_late_trade(archived.database, "late")
    staged = archived.writer.stage([unit])
    archived.unit_table.store_released(archived.unit_table.states(TRADES), released=True)
    archived.database.command("TRUNCATE TABLE silver_trades SYNC")
    archived.writer.complete(staged)
    state = archived.unit_table.states(TRADES)[unit]
    assert (state.measure.rows, state.state) == (20, "verified")


def test_rows_that_another_process_dropped_stay_released(archived: ColdTier) -> None:
    """Two processes release at once; one fails after the other has dropped the rows."""
    before = trades(archived)

    def drop_and_fail(step: str) -> None:
        if step == "moved":
            assert Releaser(archived).finish(TRADES) == []
            raise ArchiveError("away")

    (held,) = release_trades(archived, drop_and_fail).held
    assert held.reason == "away"
    assert warm_count(archived.database, "silver_trades") == 0
    assert trades(archived) == before
    cold_release.archive_late_trade(archived)
    assert len(trades(archived)) == len(before) + 1
