"""Every trade is stored once, or is an equal repeat, or is told as a contradiction; and no candle
that lacks one is called complete: random streams through the whole pipeline.
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
TRUE = [(0, one) for one in OLD] + [(1, one) for one in NEW]
"""What happened at the exchange: its numbers began anew in between."""

Delivery = tuple[int, Fill]
"""A trade as it came, and the numbering that it is of."""


@st.composite
def deliveries(draw: st.DrawFn) -> list[Delivery]:
    """What came of it: some trades never, some late, some again, some with other content; and at
    times those of before the new numbers last, as by a backfill.
    """
    came: list[tuple[int, Delivery]] = []
    last = len(TRUE) * draw(st.booleans())
    for n, (numbering, one) in enumerate(TRUE):
        place = n + last * (numbering == 0)
        fate = draw(st.sampled_from(["once"] * 5 + ["never", "late", "again", "other"]))
        late = place + draw(st.integers(1, len(TRUE)))
        if fate != "never":
            came.append((late if fate == "late" else place, (numbering, one)))
        if fate == "again":
            came.append((late, (numbering, one)))
        if fate == "other":
            change = draw(st.sampled_from(["price", "quantity", "bought", "time"]))
            came.append((draw(st.sampled_from([place, late])), (numbering, altered(one, change))))
    return [delivery for _, delivery in sorted(came, key=lambda item: item[0])]


def altered(one: Fill, change: str) -> Fill:
    if change == "bought":
        return replace(one, bought=not one.bought)
    if change == "time":
        return replace(one, time=one.time - 20_000_000)
    return replace(one, **{change: getattr(one, change) + 1})


@dataclass(frozen=True)
class Expected:
    """What is right: the trades stored, and how many came as repeats and as contradictions."""

    stored: dict[tuple[int, int], Fill]
    repeats: int
    contradictions: int


def judge(came: Sequence[Delivery]) -> Expected:
    """The rule: the first of a number stays; what comes under it is equal, or contradicts it."""
    stored: dict[tuple[int, int], Fill] = {}
    equal: Counter[bool] = Counter()
    for numbering, one in came:
        of = numbering, one.sequence
        if of in stored:
            equal[stored[of] == one] += 1
        else:
            stored[of] = one
    return Expected(stored, equal[True], equal[False])


@given(deliveries(), st.lists(st.integers(1, 45), min_size=1, max_size=3), st.booleans())
@examples(3)
def test_each_trade_is_stored_once_or_counted_as_duplicate_or_contradiction(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    came: list[Delivery],
    cuts: list[int],
    remembers: bool,
) -> None:
    """Whatever the batches, each by a process that remembers or that begins with the tables."""
    empty(tables)
    store = tmp_path_factory.mktemp("recovery") if remembers else None
    if store:
        init_db_dir(store, 1)
    batches = received(frames([one for _, one in came]), cuts)
    for end in range(1, len(batches) + 1):
        play(batches[:end] if remembers else batches[end - 1 : end], tables, store)
    expected = judge(came)
    rows = tables.query(
        "SELECT sequence, toUnixTimestamp64Micro(timestamp), price FROM silver_trades FINAL"
    )
    assert sorted(rows.rows()) == sorted(
        (t.sequence, t.time, t.price) for t in expected.stored.values()
    )
    told = "SELECT sum(duplicates), sum(trades) - sum(duplicates) FROM bronze_frames FINAL"
    assert tables.query(told).row(0) == (expected.repeats, len(expected.stored))
    letters = "SELECT count() FROM dead_letters FINAL WHERE reason = 'contradicting_trade'"
    assert tables.query(letters).item() == expected.contradictions
    missing = tables.query("SELECT sum(missing) FROM gaps FINAL").item()
    assert missing == len(between(set(expected.stored)))
    for start, length in complete(tables):
        inside = range(start, start + length)
        true = {of for of, one in named(TRUE).items() if one.time // 1_000_000 in inside}
        assert true <= expected.stored.keys()
    assert check_totals(tables.client) == []
    check = verify(tables.client)
    assert check.equal, check


def named(came: Sequence[Delivery]) -> dict[tuple[int, int], Fill]:
    """Trades by numbering and number."""
    return {(numbering, one.sequence): one for numbering, one in came}


def between(seen: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The trades that never came, but lower and higher numbers of their numbering."""
    return {
        (numbering, one.sequence)
        for numbering, one in TRUE
        if (numbering, one.sequence) not in seen
        and any(n == numbering and number < one.sequence for n, number in seen)
        and any(n == numbering and number > one.sequence for n, number in seen)
    }


def complete(tables: Database) -> list[tuple[int, int]]:
    """When candles begin that are called complete, and how long they are, in seconds."""
    rows = tables.query(
        "SELECT toUnixTimestamp(window_start), toString(timeframe) FROM ohlcv FINAL "
        "WHERE status = 'complete'"
    ).rows()
    return [(start, LENGTHS[timeframe]) for start, timeframe in rows]
