"""Bars in the table: those of all stored trades, however these came and whoever was killed."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import count, pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.bar_table import BarTable
from candlewax.clickhouse.client import Database
from candlewax.core.bars.rules import BarRule, parse_rules
from tests.support import bar_oracle, oracle
from tests.support.candles import DAY
from tests.support.examples import examples
from tests.support.oracle import Fill
from tests.support.stored_trades import fill, store
from tests.support.verified_tables import moment

MINUTE = 60_000_000
DAY_US = bar_oracle.DAY_US

RULES = parse_rules(["tick 3", "volume 2.5", "dollar 40.000000000001"])

CONTENT = (
    "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "buy_volume",
    "buy_quote_volume", "first_sequence", "last_sequence", "repaired", "missing", "status",
    "closed",
)  # fmt: skip


def clear(tables: Database) -> None:
    for table in ("silver_trades", "ohlcv", "watermarks", "bars", "contradictions"):
        tables.client.command(f"TRUNCATE TABLE {table}")


def stored(tables: Database, rule: BarRule) -> dict[tuple[int, int], dict[str, Any]]:
    """The bars of a rule, by day and number."""
    rows = tables.query(
        "SELECT *, toInt64(toDate32(day)) AS d, toUnixTimestamp64Micro(open_time) AS opened, "
        "toUnixTimestamp64Micro(close_time) AS ended, toString(status) AS status FROM bars FINAL "
        "WHERE toString(kind) = {k:String} AND threshold = {t:Decimal(38, 12)}",
        {"k": rule.kind, "t": rule.threshold},
    )
    return {
        (row["d"], row["number"]): {
            **{name: row[name] for name in CONTENT},
            "open_time": row["opened"],
            "close_time": row["ended"],
        }
        for row in rows.iter_rows(named=True)
    }


def assert_right(tables: Database, fills: Sequence[Fill]) -> None:
    watermark = oracle.watermarks(fills)["x"]
    for rule in RULES:
        right = bar_oracle.bars(fills, rule.kind, rule.threshold, watermark)
        assert stored(tables, rule) == right, rule


def refresh(tables: Database) -> int:
    """Look at the market as a new process does, in small batches; return the rows stored."""
    return BarTable(tables, batch_rows=3).refresh("x", "A/B", RULES).rows


STEP = st.tuples(
    st.sampled_from([0, 1, MINUTE, 600 * MINUTE]),
    st.sampled_from([1, 1, 1, 1, 2]),
    st.integers(1, 3_000).map(lambda n: Decimal(n).scaleb(-2)),
    st.integers(1, 2 * 10**12).map(lambda n: Decimal(n).scaleb(-12)),
    st.sampled_from([(), (), (), (), ("ADL",)]),
)


def trades(first: int, steps: Sequence[Any]) -> list[Fill]:
    """Trades of a market that follow each other; without numbers if the first one has none."""
    time, number = DAY + 5 * MINUTE, first
    fills: list[Fill] = []
    for later, numbers, price, quantity, conditions in steps:
        time += later
        name = str(number or len(fills))
        fills.append(
            Fill("x", "A/B", name, number, time, later % 2 == 0, price, quantity, conditions,
                 offset=len(fills), asked_for=numbers == 2)
        )  # fmt: skip
        number += numbers if number else 0
    return fills


def test_own_last_trade_closes_bars_before_the_watermark_is_stored(tables: Database) -> None:
    """It is stored once a minute."""
    fills = [fill(number, number * MINUTE // 20) for number in range(1, 9)]
    store(tables, fills)
    tables.client.command("TRUNCATE TABLE watermarks")
    refresh(tables)
    assert_right(tables, fills)
    bars = stored(tables, BarRule("tick", Decimal(3)))
    assert [bar["closed"] for _, bar in sorted(bars.items())] == [True, True, False]


@examples(20)
@given(
    st.sampled_from([0, 1, 1, 7]),
    st.lists(STEP, min_size=1, max_size=40),
    st.lists(st.integers(0, 40), max_size=6),
    st.lists(st.sampled_from([0, 0, 0, 0, 3, 40]), min_size=40, max_size=40),
)
def test_bars_are_those_of_all_stored_trades_however_they_came(
    tables: Database, first: int, steps: list[Any], cuts: list[int], delays: list[int]
) -> None:
    """In parts, some trades late, with a new process after each part: late ones move later bars."""
    fills = [fill for fill in trades(first, steps) if fill.quantity * fill.price]
    if not any(not fill.conditions for fill in fills):
        return
    clear(tables)
    came = [fill for _, fill in sorted(zip(count(), fills), key=lambda x: x[0] + delays[x[0]])]
    bounds = sorted({0, *(cut % (len(came) + 1) for cut in cuts), len(came)})
    for begin, end in pairwise(bounds):
        store(tables, came[begin:end], came[:end])
        refresh(tables)
        assert_right(tables, came[:end])
    assert_right(tables, fills)
    assert refresh(tables) == 0


def test_late_trade_moves_the_bars_after_it_and_no_other(tables: Database) -> None:
    """Three trades a bar; the fourth one is late."""
    fills = [fill(number, number * MINUTE) for number in range(1, 13)]
    store(tables, [one for one in fills if one.sequence != 5])
    assert refresh(tables) > 0
    (rule,) = (one for one in RULES if one.kind == "tick")
    before = stored(tables, rule)
    day = DAY // DAY_US
    assert [before[day, number]["status"] for number in range(4)] == [
        "complete", "gaps", "gaps", "forming",
    ]  # fmt: skip
    store(tables, [one for one in fills if one.sequence == 5], fills)
    refresh(tables)
    after = stored(tables, rule)
    assert after[day, 0] == before[day, 0]
    assert [after[day, number]["last_sequence"] for number in range(4)] == [3, 6, 9, 12]
    assert [after[day, number]["status"] for number in range(4)] == [
        "complete", "complete", "complete", "forming",
    ]  # fmt: skip
    assert_right(tables, fills)


def test_day_is_proven_by_the_numbers_beside_it(tables: Database) -> None:
    """The last bar ends at midnight; it is partial until a later trade follows its last number."""
    first = [fill(number, number * MINUTE) for number in (1, 2)]
    other = replace(fill(1, DAY_US + 5 * MINUTE), symbol="C/D")
    store(tables, [*first, other])
    refresh(tables)
    (rule,) = (one for one in RULES if one.kind == "tick")
    day = DAY // DAY_US
    assert stored(tables, rule)[day, 0]["status"] == "partial"
    later = fill(3, DAY_US + 6 * MINUTE)
    store(tables, [later], [*first, other, later])
    refresh(tables)
    assert stored(tables, rule)[day, 0]["status"] == "complete"
    assert stored(tables, rule)[day + 1, 0]["status"] == "forming"


def change_candles(tables: Database) -> None:
    """Write the day candles again as their certificates change."""
    tables.client.command(
        "INSERT INTO ohlcv SELECT * REPLACE ('gaps' AS status) FROM ohlcv FINAL "
        "WHERE timeframe = '1d'"
    )


def test_contradiction_leaves_later_bars_unverified(tables: Database) -> None:
    """Also if it comes after these were made, and the fold would go on behind it."""
    fills = [fill(number, number * MINUTE) for number in range(1, 11)]
    store(tables, fills)
    refresh(tables)
    (rule,) = (one for one in RULES if one.kind == "tick")
    statuses = [one["status"] for one in stored(tables, rule).values()]
    assert statuses == ["complete", "complete", "complete", "forming"]
    tables.client.insert(
        "contradictions",
        [["x", "A/B", 4, moment(DAY + 4 * MINUTE)]],
        column_names=["exchange", "symbol", "sequence", "stored_timestamp"],
    )
    change_candles(tables)
    refresh(tables)
    statuses = [one["status"] for one in stored(tables, rule).values()]
    assert statuses == ["complete", "unverified", "unverified", "forming"]


def test_gap_at_the_end_of_a_bar_is_told_and_mended(tables: Database) -> None:
    """The trade that the bar ended with is followed by others than those that were missing."""
    fills = [fill(number, number * MINUTE) for number in range(1, 13)]
    for missing in ({7, 8}, {8}, set[int]()):
        came = [one for one in fills if one.sequence not in missing]
        store(tables, came)
        refresh(tables)
        assert_right(tables, came)


def test_market_without_candles_of_minutes_has_bars_all_the_same(tables: Database) -> None:
    """Retention may drop them; the day is then made as a whole."""
    fills = [fill(number, number * MINUTE) for number in range(1, 13)]
    for end in (8, 12):
        store(tables, fills[:end])
        tables.client.command(
            "ALTER TABLE ohlcv DELETE WHERE timeframe = '1m' SETTINGS mutations_sync = 1"
        )
        refresh(tables)
        assert_right(tables, fills[:end])


def drop_trades(tables: Database, numbers: Sequence[int]) -> None:
    tables.client.command(
        f"ALTER TABLE silver_trades DELETE WHERE sequence IN {tuple(numbers)} "
        "SETTINGS mutations_sync = 1"
    )


def test_fold_goes_on_from_a_stored_bar(tables: Database) -> None:
    """In a new process, though the trades before it are gone: they are not read again."""
    fills = [fill(number, number * MINUTE) for number in range(1, 13)]
    store(tables, fills[:8])
    refresh(tables)
    drop_trades(tables, [1, 2, 3])
    store(tables, fills[8:], fills)
    assert refresh(tables) > 0
    assert_right(tables, fills)


def test_bars_stay_when_trades_of_their_day_are_gone(tables: Database, caplog: Any) -> None:
    """Retention drops trades; the day candle says how many there were."""
    fills = [fill(number, number * MINUTE) for number in range(1, 8)]
    store(tables, fills)
    refresh(tables)
    before = [stored(tables, rule) for rule in RULES]
    drop_trades(tables, [1, 2, 7])
    change_candles(tables)
    assert refresh(tables) == 0
    assert [stored(tables, rule) for rule in RULES] == before
    assert "stay as they are: 6 of its 7 trades are stored" in caplog.text
