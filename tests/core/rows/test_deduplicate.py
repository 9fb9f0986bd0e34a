"""New trades told one by one: the same as by columns, and the same memory after them."""

from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.gap_tracker import GapTracker
from candlewax.core.gaps.market_outages import REFUSED, MarketOutages, SubscriptionEvent
from candlewax.core.gaps.outages import ConnectionEvent, OutageTracker
from candlewax.core.rows.deduplicate import mark_new, pass_new
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Frame, Trade
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import TRADES, WEBSOCKET
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.exchanges.protocol.dialect import BUY

SECOND = 1_000_000

NUMBERS = st.one_of(
    st.integers(1, 12),
    st.sampled_from([19, 20, 21, 40, 41, 999, 1000, 1001, 1002, 5000, 5001, 2**63, 2**64 - 1]),
)
"""Among them such as lie just as far below another that numbers begin anew, and one less."""

KEYS = st.tuples(
    st.sampled_from(["A/B", "C/D"]),
    st.just(0) | NUMBERS | NUMBERS,
    st.sampled_from("ab"),
    st.integers(0, 5) | st.integers(0, 100),
    st.integers(0, 1),
)
BATCHES = st.lists(st.lists(KEYS, max_size=8), max_size=5)


def trade(symbol: str, sequence: int, trade_id: str, second: int, numbering: int) -> Trade:
    """A trade of which only these fields matter."""
    return Trade(
        0, symbol, "", "", "", trade_id, sequence, second * SECOND, BUY, 1, 1, 1, None, 0, "", 0, 0,
        0, WEBSOCKET, numbering, {},
    )  # fmt: skip


def columns(trades: list[Trade]) -> pl.DataFrame:
    """The same trades as columns."""
    names = ("symbol", "sequence", "trade_id", "timestamp", "numbering")
    rows = [tuple(getattr(each, name) for name in names) for each in trades]
    schema = {name: pl.Int64 if name == "timestamp" else TRADES[name] for name in names}
    return pl.DataFrame(rows, schema, orient="row").with_columns(
        pl.col("timestamp").cast(TRADES["timestamp"])
    )


@given(BATCHES, st.booleans())
def test_rows_and_columns_let_the_same_trades_through(
    batches: list[list[tuple[str, int, str, int, int]]], has_numbering: bool
) -> None:
    """Batch after batch the same trades are new, of the same numbering; the same is known."""
    by_columns, by_rows = Deduplicator(), Deduplicator()
    for batch in batches:
        trades = [trade(*key) for key in batch]
        expected = by_columns.mark_new(columns(trades), has_numbering=has_numbering)
        found = mark_new(by_rows, trades, has_numbering=has_numbering)
        assert found.is_new == expected.is_new.to_list()
        numbering = expected.numbering
        assert found.numbering == (
            numbering.to_list()
            if numbering is not None
            else [each.numbering for each in trades]
            if has_numbering
            else [0] * len(trades)
        )
        assert sorted(found.openings) == sorted(expected.openings)
        assert by_rows.ranges_by_series == by_columns.ranges_by_series
        assert by_rows.numberings == by_columns.numberings
        changes, row_changes = by_columns.take_changes(), by_rows.take_changes()
        assert changes.keys() == row_changes.keys()
        for name, change in changes.items():
            assert (row_changes[name].removed, row_changes[name].added) == (
                change.removed,
                change.added,
            )
            # One by one a symbol may have begun earlier several times.
            assert row_changes[name].begin_times >= change.begin_times


RECEIVED_US = 9 * SECOND


def passed(deduplicator: Deduplicator, *keys: tuple[str, int, str, int, int], **more: Any) -> Any:
    """What becomes of a batch of one frame; and which trades are remembered."""
    trades = [trade(*key) for key in keys]
    frame = Frame(RECEIVED_US * 1000, "c0", 0, "", "c0", 0, 0)
    remembered: list[Trade] = []
    finder: Any = SimpleNamespace(remember=remembered.extend)
    result = pass_new(deduplicator, finder, DecodedRows("x", [frame], trades=trades, **more))
    assert remembered == (trades if isinstance(result, RowBatch) else [])
    return result


def test_batch_of_new_trades_passes_as_rows() -> None:
    """As long as each follows on what is known; another one goes on as columns, marked."""
    seen = Deduplicator()
    passed(seen, ("A/B", 7, "a", 0, 0))
    seen.take_changes()
    assert isinstance(passed(seen, ("A/B", 8, "b", 1, 0), ("A/B", 9, "c", 2, 0)), RowBatch)
    for number, is_new in ((9, False), (11, True)):
        found = passed(seen, ("A/B", number, "d", 3, 0))
        assert isinstance(found, Admission)
        assert found.is_new.to_list() == [is_new]


@pytest.mark.parametrize(
    "seen",
    [
        Deduplicator(connections=OutageTracker(pending=[(1, 5)])),
        Deduplicator(connections=OutageTracker(down_since_us=5)),
        Deduplicator(gaps=GapTracker(symbols_ahead={"A/B"})),
        Deduplicator(market_outages=MarketOutages(unproven={"A/B": [(1, 5)]})),
    ],
    ids=["an outage is over", "an outage goes on", "a gap ahead", "a market outage is over"],
)
def test_batch_whose_trades_tell_more_goes_on_as_columns(seen: Deduplicator) -> None:
    """Nothing of it is remembered yet."""
    before = seen.copy()
    assert passed(seen, ("A/B", 7, "a", 0, 0)) is None
    assert seen.ranges_by_series == before.ranges_by_series
    assert seen.connections == before.connections


@pytest.mark.parametrize(
    "told",
    [
        {"events": [ConnectionEvent(0, connected=True, process="p")]},
        {"subscriptions": [SubscriptionEvent(0, REFUSED, ("A/B",))]},
    ],
    ids=["of a connection", "of a market"],
)
def test_batch_with_an_event_goes_on_as_columns(told: dict[str, Any]) -> None:
    """Whatever its trades are."""
    assert passed(Deduplicator(), ("A/B", 7, "a", 0, 0), **told) is None
