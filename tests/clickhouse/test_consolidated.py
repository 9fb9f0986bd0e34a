"""Consolidated candles, as SQL makes them of stored candles."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from tests.support.candles import DAY
from tests.support.consolidated_oracle import Market, consolidate
from tests.support.consolidated_tables import (
    MINUTE,
    NOON,
    SECOND,
    compare,
    fill,
    read,
    states,
    store,
)
from tests.support.examples import examples
from tests.support.oracle import Fill
from tests.support.verified_tables import moment

COMPARED = ("equal", "equal", "equal", "differs", "before", "no")
"""Results of comparisons; `before` is equal, but of a candle with one trade less."""

STEP = st.tuples(
    st.integers(1, 150 * SECOND),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(1, 50).map(lambda n: Decimal(n).scaleb(-1)),
    st.integers(1, 10**13).map(lambda n: Decimal(n).scaleb(-12)),
)
"""Time and numbers between two trades, price and quantity of the later one."""

MARKETS = [("x", "BTC/USD"), ("y", "BTC/USD"), ("y", "BTC/USDC"), ("z", "BTC/USD:USD")]


def trades(market: Market, first: int, steps: Sequence[Any]) -> list[Fill]:
    """Trades of a market that follow each other."""
    fills, time, number = [], NOON, first
    for later, numbers, price, quantity in steps:
        time, number = time + later, number + numbers if number else 0
        name = f"{number or time}"
        bought = later % 2 == 0
        fills.append(Fill(*market, name, number, time, bought, price, quantity))
    return fills


@examples(12)
@given(
    st.tuples(*(st.lists(STEP, max_size=8) for _ in MARKETS)),
    st.tuples(*(st.sampled_from([0, 1, 7]) for _ in MARKETS)),
    st.lists(st.sampled_from(MARKETS), unique=True),
    st.sampled_from(["1m", "5m"]),
    st.sampled_from([["USD"], ["USDC"], ["USD", "USDC"]]),
    st.lists(st.sampled_from(COMPARED), min_size=1, max_size=9),
)
def test_candles_are_those_that_the_trades_of_all_markets_make(
    tables: Database,
    steps: tuple[list[Any], ...],
    firsts: tuple[int, ...],
    subscribed: list[Market],
    timeframe: str,
    quotes: list[str],
    compared: list[str],
) -> None:
    """Exactly, with the state and the proof of each part; of trades that nobody numbers as well."""
    each = zip(MARKETS, firsts, steps, strict=True)
    fills = [one for market, first, own in each for one in trades(market, first, own)]
    comparisons = compare(fills, compared)
    store(tables, fills, subscribed, comparisons)
    for kind in ("spot", "perpetual"):
        end = ":USD" if kind == "perpetual" else ""
        symbols = [f"BTC/{quote}{end}" for quote in quotes if not end or quote == "USD"]
        expected = consolidate(fills, timeframe, symbols, subscribed, comparisons)
        assert read(tables, timeframe, kind, quotes) == expected


def test_part_without_candle_is_trusted_only_with_proof(tables: Database) -> None:
    """Numbers that follow each other prove that there was no trade; nothing else does."""
    x = [fill("x", minute + 1, minute) for minute in range(8)]
    y = [fill("y", 1, 0), fill("y", 2, 2), fill("y", 4, 4), fill("y", 5, 5), fill("y", 6, 6)]
    store(tables, [*x, *y])
    assert [found["y"] for found in list(states(tables).values())[:7]] == [
        "complete", "empty", "gaps", "absent", "gaps", "complete", "forming",
    ]  # fmt: skip
    assert [row["trusted"] for row in read(tables)] == [
        True, True, False, False, False, True, False, False,
    ]  # fmt: skip


def test_subscribed_market_without_candle_is_absent(tables: Database) -> None:
    """After its last candle, and if it never had one; otherwise it takes no part."""
    x = [fill("x", minute + 1, minute) for minute in range(5)]
    y = [fill("y", 1, 0), fill("y", 2, 1), fill("y", 3, 2)]
    store(tables, [*x, *y])
    assert states(tables)[723] == {"x": "complete"}
    store(tables, [*x, *y], [("y", "BTC/USD"), ("w", "BTC/USD"), ("v", "BTC/USDT")])
    found = states(tables)
    assert found[720] == {"w": "absent", "x": "complete", "y": "complete"}
    assert found[723] == {"w": "absent", "x": "complete", "y": "absent"}
    rows = [["w", "BTC/USD", moment(NOON + 90 * SECOND), False]]
    names = ["exchange", "symbol", "at", "subscribed"]
    tables.client.insert("subscriptions", rows, column_names=names)
    assert [("w" in found) for found in states(tables).values()] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_market_takes_part_between_candles_that_are_at_most_a_day_apart(tables: Database) -> None:
    """Day candles may be sixty days apart."""
    day = 86_400 * SECOND
    later = [fill("y", 2, 24 * 60), fill("z", 2, 24 * 60 + 1)]
    x = [fill("x", 1 + minute, minute) for minute in range(4)]
    store(tables, [*x, fill("y", 1, 0), fill("z", 1, 0), *later])
    assert states(tables)[721] == {"x": "complete", "y": "empty"}
    far: dict[str, Any] = {"begin": DAY, "end": DAY + 100 * day}
    days = [fill("x", number, number * 24 * 60) for number in (0, 1, 2, 61)]
    store(tables, [*days, fill("y", 1, 0), fill("y", 2, 60 * 24 * 60),
                   fill("z", 1, 0), fill("z", 2, 61 * 24 * 60)])  # fmt: skip
    assert [part["exchange"] for part in read(tables, "1d", **far)[1]["parts"]] == ["x", "y"]


def test_span_of_the_query_changes_no_candle(tables: Database) -> None:
    """Candles outside the span may prove a window in it empty."""
    fills = [fill("x", minute + 1, minute) for minute in range(9)]
    fills += [fill("y", 1, 0), fill("y", 2, 8)]
    store(tables, fills)
    whole = read(tables)
    for first in range(9):
        part = read(tables, begin=NOON + first * MINUTE, end=NOON + (first + 2) * MINUTE)
        assert part == whole[first : first + 2]


def test_spot_derivatives_and_contracts_are_never_mixed(tables: Database) -> None:
    """Nor are inverse contracts, futures that expire, and quote assets that nobody asked for."""
    symbols = ["BTC/USD", "BTC/USDT", "BTC/USD:USD", "BTC/USD:BTC", "BTC/USD:USD-261225", "ETH/USD"]
    exchanges = ("x", "okx")
    store(tables, [fill(one, 1, 0, symbol) for one in exchanges for symbol in symbols])

    def chosen(kind: str, *quotes: str) -> set[Market]:
        rows = read(tables, kind=kind, quotes=quotes)
        return {(part["exchange"], part["symbol"]) for row in rows for part in row["parts"]}

    assert chosen("spot", "USD") == {("x", "BTC/USD"), ("okx", "BTC/USD")}
    assert chosen("spot", "USD", "USDT") == {
        (one, f"BTC/{quote}") for one in exchanges for quote in ("USD", "USDT")
    }
    # OKX counts contracts of perpetuals.
    assert chosen("perpetual", "USD") == {("x", "BTC/USD:USD")}
    assert chosen("future", "USD") == set()
    store(tables, [fill("x", 1, 0, "BTC/USD:USD")], [("okx", "BTC/USD:USD")])
    assert chosen("perpetual", "USD") == {("x", "BTC/USD:USD")}


def test_exchanges_that_count_contracts_are_excluded(tables: Database) -> None:
    rows = tables.query("SELECT exchange, kind FROM consolidated_excluded").rows()
    declared = {(one.id, kind) for one in EXCHANGES.values() for kind in one.contract_kinds}
    assert {row for row in rows if row[0] in EXCHANGES} == declared


def test_unknown_timeframe_is_an_error(tables: Database) -> None:
    with pytest.raises(Exception, match="2m"):
        read(tables, "2m")


def test_query_of_an_hour_reads_the_days_beside_it_only(tables: Database) -> None:
    """At most a quarter of the granules of four months."""
    tables.client.command(
        "INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, volume, version) "
        f"SELECT '1m', 'x', 'BTC/USD', {DAY // SECOND} + number * 60, 1, 5 FROM numbers(180000)"
    )
    plan = tables.query(
        "EXPLAIN indexes = 1 SELECT * FROM consolidated(timeframe = '1m', base = 'BTC', "
        "quotes = ['USD'], kind = 'spot', begin = {b:DateTime('UTC')}, end = {e:DateTime('UTC')})",
        {"b": moment(NOON + 60 * 86_400 * SECOND), "e": moment(NOON + 60 * 86_460 * SECOND)},
    ).to_series()
    granules = [
        line.split(": ")[1].split("/") for line in plan if "Granules: " in line and "/" in line
    ]
    read, total = int(granules[-1][0]), max(int(parts[1]) for parts in granules)
    assert 0 < read <= total // 4
