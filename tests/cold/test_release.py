"""Release: warm rows go once they are proven cold, whatever happens in between."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candlewax.cold.layers import LAYERS
from candlewax.cold.release import Release, Releaser
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import RELEASED
from tests.support import cold_release, cold_tables
from tests.support.cold_release import all_rows, past_keep, warm_count
from tests.support.cold_tables import hour

STEPS = ("marked", "hidden", "moved", "compared", "dropped", "shown")


class CrashError(Exception):
    """End of a process at a step."""


def release(tier: ColdTier, after_step: Callable[[str], object] = lambda _: None) -> Release:
    return Releaser(tier, after_step).run(past_keep())


def release_trades(tier: ColdTier, after_step: Callable[[str], object] = lambda _: None) -> Release:
    return Releaser(tier, after_step).run_layer(LAYERS["silver.trades"], past_keep())


def trades(tier: ColdTier) -> list[tuple[object, ...]]:
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
    states = archived.unit_table.states(LAYERS["silver.trades"]).values()
    assert {state.state for state in states} == {RELEASED}
    assert release(archived) == Release((), ())


def test_young_rows_stay(archived: ColdTier) -> None:
    done = Releaser(archived).run(datetime.now(UTC) + timedelta(days=8))
    assert {layer for layer, _ in done.released} == {"raw.frames"}
    assert warm_count(archived.database, "silver_trades") == 82


def test_unsealed_unit_holds_its_day(archived: ColdTier) -> None:
    unit = hour("silver.trades", "kraken", 1)
    state = archived.unit_table.states(LAYERS["silver.trades"])[unit]
    archived.unit_table.store([state.advance("verified")])
    done = release(archived)
    (held,) = done.held
    assert held.layer == "silver.trades"
    assert held.reason == f"{unit}: not sealed"
    assert done.held_bytes > 0
    assert warm_count(archived.database, "silver_trades") == 82


def test_row_that_is_not_cold_holds_its_day(archived: ColdTier) -> None:
    archived.database.command(
        "INSERT INTO silver_trades SELECT * REPLACE ('new' AS trade_id) FROM silver_trades "
        "WHERE exchange = 'kraken' ORDER BY timestamp LIMIT 1"
    )
    before = all_rows(archived.database)
    (held,) = release(archived).held
    assert held.reason == "silver.trades kraken 2025-06-15 10:00: the archive holds other rows"
    assert warm_count(archived.database, "silver_trades") == 83
    assert all_rows(archived.database) == before
    cold_release.offload_and_seal(archived)
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


@pytest.mark.parametrize("step", STEPS)
def test_trade_that_arrives_after_a_step_is_shown_and_kept(archived: ColdTier, step: str) -> None:
    before = trades(archived)
    shown = []

    def store_late(done: str) -> None:
        if done == step:
            cold_release.store_late_trade(archived.database)
        shown.append(trades(archived))

    release_trades(archived, store_late)
    after = trades(archived)
    assert len(after) == len(before) + 1
    assert all(one in (before, after) for one in shown)
    assert len(shown[-1]) == len(after)
    assert [row for row in after if row in before] == before
    cold_release.offload_and_seal(archived)
    assert trades(archived) == after
    assert release_trades(archived).held == ()
    assert trades(archived) == after
    assert warm_count(archived.database, "silver_trades") == 0
    state = archived.unit_table.states(LAYERS["silver.trades"])[hour("silver.trades", "binance")]
    assert state.measure.rows == 21
