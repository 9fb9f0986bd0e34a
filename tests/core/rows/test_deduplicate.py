"""Deduplication trade by trade: equal to deduplication in columns, with equal state after it."""

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
"""Some are just far enough below another one to start a new numbering, others one short."""

KEYS = st.tuples(
    st.sampled_from(["A/B", "C/D"]),
    st.just(0) | NUMBERS | NUMBERS,
    st.sampled_from("ab"),
    st.integers(0, 5) | st.integers(0, 100),
    st.integers(0, 1),
)
BATCHES = st.lists(st.lists(KEYS, max_size=8), max_size=5)


def trade(symbol: str, sequence: int, trade_id: str, second: int, numbering: int) -> Trade:
    """A trade with only the fields that deduplication reads."""
    return Trade(
        0, symbol, "", "", "", trade_id, sequence, second * SECOND, BUY, 1, 1, 1, None, 0, "", 0, 0,
        0, WEBSOCKET, numbering, {},
    )  # fmt: skip


def columns(trades: list[Trade]) -> pl.DataFrame:
    """Trades as columns."""
    names = ("symbol", "sequence", "trade_id", "timestamp", "numbering")
    rows = [tuple(getattr(each, name) for name in names) for each in trades]
    schema = {name: pl.Int64 if name == "timestamp" else TRADES[name] for name in names}
    return pl.DataFrame(rows, schema, orient="row").with_columns(
        pl.col("timestamp").cast(TRADES["timestamp"])
    )


@given(BATCHES, st.booleans())
def test_rows_and_columns_mark_the_same_trades_as_new(
    batches: list[list[tuple[str, int, str, int, int]]], has_numbering: bool
) -> None:
    """The numberings and the state after every batch are equal as well."""
    by_columns, by_rows = Deduplicator(), Deduplicator()
    for batch in batches:
        trades = [trade(*key) for key in batch]
        expected = by_columns.mark_new(columns(trades), has_numbering=has_numbering)
        actual = mark_new(by_rows, trades, has_numbering=has_numbering)
        assert actual.is_new == expected.is_new.to_list()
        numbering = expected.numbering
        assert actual.numbering == (
            numbering.to_list()
            if numbering is not None
            else [each.numbering for each in trades]
            if has_numbering
            else [0] * len(trades)
        )
        assert sorted(actual.openings) == sorted(expected.openings)
        assert by_rows.ranges_by_series == by_columns.ranges_by_series
        assert by_rows.numberings == by_columns.numberings
        changes, row_changes = by_columns.take_changes(), by_rows.take_changes()
        assert changes.keys() == row_changes.keys()
        for name, change in changes.items():
            assert (row_changes[name].removed, row_changes[name].added) == (
                change.removed,
                change.added,
            )
            # Trade by trade, the first number of a symbol may move several times.
            assert row_changes[name].begin_times >= change.begin_times


RECEIVED_US = 9 * SECOND


def pass_batch(
    deduplicator: Deduplicator, *keys: tuple[str, int, str, int, int], **more: Any
) -> Any:
    """Pass a batch of one frame; check which trades the finder remembers."""
    trades = [trade(*key) for key in keys]
    frame = Frame(RECEIVED_US * 1000, "c0", 0, "", "c0", 0, 0)
    remembered: list[Trade] = []
    finder: Any = SimpleNamespace(remember=remembered.extend)
    result = pass_new(deduplicator, finder, DecodedRows("x", [frame], trades=trades, **more))
    assert remembered == (trades if isinstance(result, RowBatch) else [])
    return result


def test_batch_of_consecutive_new_trades_passes_as_rows() -> None:
    """Any other batch is marked and continues as columns."""
    deduplicator = Deduplicator()
    pass_batch(deduplicator, ("A/B", 7, "a", 0, 0))
    deduplicator.take_changes()
    assert isinstance(
        pass_batch(deduplicator, ("A/B", 8, "b", 1, 0), ("A/B", 9, "c", 2, 0)), RowBatch
    )
    for number, is_new in ((9, False), (11, True)):
        admission = pass_batch(deduplicator, ("A/B", number, "d", 3, 0))
        assert isinstance(admission, Admission)
        assert admission.is_new.to_list() == [is_new]


@pytest.mark.parametrize(
    "deduplicator",
    [
        Deduplicator(connections=OutageTracker(pending=[(1, 5)])),
        Deduplicator(connections=OutageTracker(down_since_us=5)),
        Deduplicator(gaps=GapTracker(symbols_ahead={"A/B"})),
        Deduplicator(market_outages=MarketOutages(unproven={"A/B": [(1, 5)]})),
    ],
    ids=["an outage is over", "an outage goes on", "a gap ahead", "a market outage is over"],
)
def test_batch_continues_as_columns_when_outages_or_gaps_are_pending(
    deduplicator: Deduplicator,
) -> None:
    """The state is unchanged by the attempt."""
    before = deduplicator.copy()
    assert pass_batch(deduplicator, ("A/B", 7, "a", 0, 0)) is None
    assert deduplicator.ranges_by_series == before.ranges_by_series
    assert deduplicator.connections == before.connections


@pytest.mark.parametrize(
    "events",
    [
        {"events": [ConnectionEvent(0, connected=True, process="p")]},
        {"subscriptions": [SubscriptionEvent(0, REFUSED, ("A/B",))]},
    ],
    ids=["of a connection", "of a market"],
)
def test_batch_with_an_event_continues_as_columns(events: dict[str, Any]) -> None:
    assert pass_batch(Deduplicator(), ("A/B", 7, "a", 0, 0), **events) is None
