"""Each trade is stored once, or counted as duplicate or contradiction; no candle that lacks a trade
is complete: random streams through the whole pipeline.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
from bytewax.recovery import init_db_dir
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.verification.verify import check_totals, verify
from tests.dataflows.test_numberings import empty, fill, frames
from tests.support.examples import examples
from tests.support.oracle import LENGTHS, Fill
from tests.support.playing import play, received

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=5)

OLD = [fill(5_000 + n, 30 * n) for n in range(20)]
NEW = [fill(1 + n, 700 + 30 * n) for n in range(25)]
TRUE = [(0, trade) for trade in OLD] + [(1, trade) for trade in NEW]
"""What happened at the exchange: its numbers began anew in between."""

Delivery = tuple[int, Fill]
"""A trade as it came, and the numbering that it is of."""


@st.composite
def deliveries(draw: st.DrawFn) -> list[Delivery]:
    """A stream of trades: some are missing, late, repeated, or have other content; some of the old
    numbering may arrive after the new one, as by a backfill.
    """
    arrivals: list[tuple[int, Delivery]] = []
    last = len(TRUE) * draw(st.booleans())
    for n, (numbering, trade) in enumerate(TRUE):
        place = n + last * (numbering == 0)
        fate = draw(st.sampled_from(["once"] * 5 + ["never", "late", "again", "other"]))
        late = place + draw(st.integers(1, len(TRUE)))
        if fate != "never":
            arrivals.append((late if fate == "late" else place, (numbering, trade)))
        if fate == "again":
            arrivals.append((late, (numbering, trade)))
        if fate == "other":
            change = draw(st.sampled_from(["price", "quantity", "bought", "time"]))
            arrivals.append(
                (draw(st.sampled_from([place, late])), (numbering, altered(trade, change)))
            )
    return [delivery for _, delivery in sorted(arrivals, key=lambda item: item[0])]


def altered(trade: Fill, change: str) -> Fill:
    if change == "bought":
        return replace(trade, bought=not trade.bought)
    if change == "time":
        return replace(trade, time=trade.time - 20_000_000)
    return replace(trade, **{change: getattr(trade, change) + 1})


@dataclass(frozen=True)
class Expected:
    """The expected stored trades, and the numbers of duplicates and contradictions."""

    stored: dict[tuple[int, int], Fill]
    repeats: int
    contradictions: int


def judge(arrivals: Sequence[Delivery]) -> Expected:
    """Apply the rule: the first trade of a number is stored, later ones equal or contradict it."""
    stored: dict[tuple[int, int], Fill] = {}
    equal: Counter[bool] = Counter()
    for numbering, trade in arrivals:
        key = numbering, trade.sequence
        if key in stored:
            equal[stored[key] == trade] += 1
        else:
            stored[key] = trade
    return Expected(stored, equal[True], equal[False])


@given(deliveries(), st.lists(st.integers(1, 45), min_size=1, max_size=3), st.booleans())
@examples(3)
def test_each_trade_is_stored_once_or_counted_as_duplicate_or_contradiction(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    arrivals: list[Delivery],
    cuts: list[int],
    remembers: bool,
) -> None:
    """For any batches, each read by a process with a snapshot or from the tables."""
    empty(tables)
    store = tmp_path_factory.mktemp("recovery") if remembers else None
    if store:
        init_db_dir(store, 1)
    batches = received(frames([trade for _, trade in arrivals]), cuts)
    for end in range(1, len(batches) + 1):
        play(batches[:end] if remembers else batches[end - 1 : end], tables, store)
    expected = judge(arrivals)
    rows = tables.query(
        "SELECT sequence, toUnixTimestamp64Micro(timestamp), price FROM silver_trades FINAL"
    )
    assert sorted(rows.rows()) == sorted(
        (t.sequence, t.time, t.price) for t in expected.stored.values()
    )
    counts_sql = "SELECT sum(duplicates), sum(trades) - sum(duplicates) FROM bronze_frames FINAL"
    assert tables.query(counts_sql).row(0) == (expected.repeats, len(expected.stored))
    letters = "SELECT count() FROM dead_letters FINAL WHERE reason = 'contradicting_trade'"
    assert tables.query(letters).item() == expected.contradictions
    missing = tables.query("SELECT sum(missing) FROM gaps FINAL").item()
    assert missing == len(between(set(expected.stored)))
    for start, length in complete(tables):
        inside = range(start, start + length)
        true = {key for key, trade in by_number(TRUE).items() if trade.time // 1_000_000 in inside}
        assert true <= expected.stored.keys()
    assert check_totals(tables.client) == []
    check = verify(tables.client)
    assert check.equal, check


def by_number(arrivals: Sequence[Delivery]) -> dict[tuple[int, int], Fill]:
    """Return the trades by numbering and number."""
    return {(numbering, trade.sequence): trade for numbering, trade in arrivals}


def between(received_: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return the missing trades between received ones of their numbering."""
    return {
        (numbering, trade.sequence)
        for numbering, trade in TRUE
        if (numbering, trade.sequence) not in received_
        and any(n == numbering and number < trade.sequence for n, number in received_)
        and any(n == numbering and number > trade.sequence for n, number in received_)
    }


def complete(tables: Database) -> list[tuple[int, int]]:
    """Return the start and the length, in seconds, of each complete candle."""
    rows = tables.query(
        "SELECT toUnixTimestamp(window_start), toString(timeframe) FROM ohlcv FINAL "
        "WHERE status = 'complete'"
    ).rows()
    return [(start, LENGTHS[timeframe]) for start, timeframe in rows]
