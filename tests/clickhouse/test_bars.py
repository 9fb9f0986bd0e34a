"""Bars in the table: those of all stored trades, however these came and whoever was killed."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
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
    """Look at the market as a new process does; return how many rows are stored."""
    return BarTable(tables).refresh("x", "A/B", RULES).rows


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


@examples(12)
@given(
    st.sampled_from([0, 1, 1, 7]),
    st.lists(STEP, min_size=1, max_size=25),
    st.lists(st.integers(0, 25), max_size=4),
    st.randoms(use_true_random=False),
)
def test_bars_are_those_of_all_stored_trades_however_they_came(
    tables: Database, first: int, steps: list[Any], cuts: list[int], random: Any
) -> None:
    """In parts, in any order, with a new process after each part: late trades move later bars."""
    fills = [fill for fill in trades(first, steps) if fill.quantity * fill.price]
    if not any(not fill.conditions for fill in fills):
        return
    clear(tables)
    came = list(fills)
    random.shuffle(came)
    bounds = sorted({0, *(cut % (len(came) + 1) for cut in cuts), len(came)})
    for begin, end in pairwise(bounds):
        store(tables, came[begin:end], came[:end])
        refresh(tables)
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


def test_contradiction_leaves_later_bars_unverified(tables: Database) -> None:
    fills = [fill(number, number * MINUTE) for number in range(1, 8)]
    store(tables, fills)
    tables.client.insert(
        "contradictions",
        [["x", "A/B", 4, moment(DAY + 4 * MINUTE)]],
        column_names=["exchange", "symbol", "sequence", "stored_timestamp"],
    )
    refresh(tables)
    (rule,) = (one for one in RULES if one.kind == "tick")
    found = list(stored(tables, rule).values())
    assert [one["status"] for one in found] == ["complete", "unverified", "forming"]


def test_bars_stay_when_trades_of_their_day_are_gone(tables: Database, caplog: Any) -> None:
    """Retention drops trades; the day candle says how many there were."""
    fills = [fill(number, number * MINUTE) for number in range(1, 8)]
    store(tables, fills)
    refresh(tables)
    before = [stored(tables, rule) for rule in RULES]
    tables.client.command(
        "ALTER TABLE silver_trades DELETE WHERE sequence < 4 SETTINGS mutations_sync = 1"
    )
    tables.client.command(
        "INSERT INTO ohlcv SELECT * REPLACE ('gaps' AS status) FROM ohlcv FINAL "
        "WHERE timeframe = '1d'"
    )
    assert refresh(tables) == 0
    assert [stored(tables, rule) for rule in RULES] == before
    assert "stay as they are: 4 of its 7 trades are stored" in caplog.text
