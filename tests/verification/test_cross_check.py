"""CrossCheck: runs over a database that changes."""

from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from candlewax.verification.cross_check import (
    LONG_LOOKBACK_S,
    LONG_RUN_EVERY,
    LOOKBACK_S,
    CrossCheck,
)
from candlewax.verification.cross_check_metrics import CrossCheckMetrics, Mismatch, Window
from tests.support import oracle
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.stored import FIELDS
from tests.support.verified_tables import store_candles, store_trades, store_watermark

DAY_S = DAY // 1_000_000
SECOND = 1_000_000
Candles = dict[oracle.Window, dict[str, Any]]


def fill(number: int, second: float, price: str = "1.5", conditions: tuple[str, ...] = ()) -> Fill:
    """A trade this many seconds after midnight."""
    at = DAY + int(second * SECOND)
    bought, quantity = number % 2 == 0, Decimal("0.1") * number
    return Fill("x", "A/B", str(number), number, at, bought, Decimal(price), quantity, conditions)


# Two trades of the day before, then some of each minute up to a quarter past midnight.
FILLS = [
    fill(1, -3_700, "1.1"), fill(2, -30, "1.2"),
    *(fill(n, (n - 3) * 20 + 0.5, f"1.{n}") for n in range(3, 48)),
    fill(99, 100, "9", ("ADL",)),
]  # fmt: skip
MARK = DAY + 900 * SECOND
LAST_MINUTE = Window("x", 1, "A/B", DAY_S + 840)


def store(client: Client, fills: list[Fill], mark: int) -> Candles:
    """Store trades and their candles."""
    candles = oracle.candles(fills, {"x": mark})
    store_trades(client, fills)
    store_watermark(client, mark)
    store_candles(client, candles)
    return candles


def spoil(client: Client, window: Window, candles: Candles, field: str = "close") -> None:
    """Replace a candle by a wrong one."""
    name = next(n for n, i in zip(oracle.LENGTHS, range(1, 7), strict=True) if i == window.number)
    key = (name, window.exchange, window.symbol, window.start)
    wrong = candles[key][field] + (Decimal("1e-12") if field == "close" else 1)
    client.command(
        f"ALTER TABLE ohlcv DELETE WHERE timeframe = '{name}' AND exchange = '{window.exchange}' "
        f"AND window_start = toDateTime({window.start}, 'UTC') SETTINGS mutations_sync = 1"
    )
    store_candles(client, {key: {**candles[key], field: wrong}})


def mend(client: Client, candles: Candles) -> None:
    """Replace all candles by these."""
    client.command("TRUNCATE TABLE ohlcv")
    store_candles(client, candles)


def count_closed(candles: Candles, begin_s: int, mark_s: int) -> int:
    """Count the windows that ended in a span."""
    ends = [start + oracle.LENGTHS[name] for name, _, _, start in candles]
    return sum(begin_s < end <= mark_s for end in ends)


def test_cross_check_accepts_right_candles(database: Client) -> None:
    """It compares all candles closed within its lookback, of each timeframe."""
    candles = store(database, FILLS, MARK)
    metrics = CrossCheckMetrics()
    check = CrossCheck(database, metrics)
    check.run_once()
    check.run_once()
    mark_s = MARK // SECOND
    first = count_closed(candles, mark_s - LONG_LOOKBACK_S, mark_s)
    again = count_closed(candles, mark_s - LOOKBACK_S, mark_s)
    assert {name for name, *_ in candles} == set(oracle.LENGTHS)
    assert (metrics.candles, metrics.wrong, metrics.mismatches) == (first + again, {}, {})
    assert metrics.last_run_at > 0


def test_cross_check_skips_exchanges_of_other_processes(database: Client) -> None:
    """Each process that writes candles checks its own exchanges."""
    candles = store(database, FILLS, MARK)
    spoil(database, LAST_MINUTE, candles)
    for exchanges, wrong in ((["y"], False), (["y", "x"], True), ([], False)):
        metrics = CrossCheckMetrics()
        check = CrossCheck(database, metrics, exchanges)
        check.run_once()
        check.run_once()
        assert (LAST_MINUTE in metrics.wrong) == wrong
        assert (metrics.candles > 0) == wrong
        assert [row[0] for row in metrics.rows()] == (["x"] if wrong else [])


def test_cross_check_finds_a_wrong_candle(database: Client) -> None:
    """In its second run, once; the mismatch ends when the candle is corrected."""
    candles = store(database, FILLS, MARK)
    for number, start in {1: DAY_S + 840, 2: DAY_S + 600, 3: DAY_S, 6: DAY_S - 86_400}.items():
        window = Window("x", number, "A/B", start)
        spoil(database, window, candles)
        metrics = CrossCheckMetrics()
        check = CrossCheck(database, metrics)
        check.run_once()
        assert (metrics.wrong, metrics.mismatches) == ({}, {})
        for _ in range(2):
            check.run_once()
            # Longer candles are compared with their minutes: a wrong minute makes them wrong too.
            assert metrics.wrong[window] == Mismatch("mismatch", ("close",))
            assert metrics.mismatches == {("x", "mismatch"): len(metrics.wrong)}
        mend(database, candles)
        check.run_once()
        assert metrics.wrong == {}
        assert sum(metrics.mismatches.values()) > 0


def test_cross_check_compares_each_field_of_a_minute(database: Client) -> None:
    """By the smallest possible difference, with the name of the field."""
    candles = store(database, FILLS, MARK)
    key = ("1m", "x", "A/B", LAST_MINUTE.start)
    for field in FIELDS:
        value = candles[key][field]
        small = Decimal("1e-18") if field.startswith(("quote", "buy_quote")) else Decimal("1e-12")
        more = small if isinstance(value, Decimal) else 1
        wrong = (not value) if field == "closed" else value + more
        mend(database, {**candles, key: {**candles[key], field: wrong}})
        metrics = CrossCheckMetrics()
        check = CrossCheck(database, metrics)
        check.run_once()
        check.run_once()
        assert metrics.wrong[LAST_MINUTE] == Mismatch("mismatch", (field,))


def test_cross_check_finds_missing_and_extra_candles(database: Client) -> None:
    """Each with its kind of mismatch."""
    candles = store(database, FILLS, MARK)
    key = ("1m", "x", "A/B", LAST_MINUTE.start)
    others = {name: candle for name, candle in candles.items() if name != key}
    mend(database, {**others, ("1m", "x", "Z/B", LAST_MINUTE.start): candles[key]})
    metrics = CrossCheckMetrics()
    check = CrossCheck(database, metrics)
    check.run_once()
    check.run_once()
    assert metrics.wrong[LAST_MINUTE] == Mismatch("missing_in_gold")
    assert metrics.wrong[LAST_MINUTE._replace(symbol="Z/B")] == Mismatch("missing_in_check")


def test_difference_between_two_inserts_is_no_mismatch(database: Client) -> None:
    """A late trade is stored shortly before its candle."""
    candles = store(database, FILLS, MARK)
    late = fill(100, 850, "1.7")
    store_trades(database, [late])
    metrics = CrossCheckMetrics()
    check = CrossCheck(database, metrics)
    check.run_once()
    candles = oracle.candles([*FILLS, late], {"x": MARK})
    mend(database, candles)
    check.run_once()
    assert (metrics.wrong, metrics.mismatches) == ({}, {})


def test_mismatch_is_remembered_after_its_window(database: Client) -> None:
    """Beyond the lookback of the runs, until it is corrected."""
    candles = store(database, FILLS, MARK)
    spoil(database, LAST_MINUTE, candles)
    metrics = CrossCheckMetrics()
    check = CrossCheck(database, metrics)
    check.run_once()
    check.run_once()
    store_watermark(database, MARK + 7_200 * SECOND)
    check.run_once()
    assert LAST_MINUTE in metrics.wrong
    mend(database, oracle.candles(FILLS, {"x": MARK + 7_200 * SECOND}))
    check.run_once()
    assert metrics.wrong == {}


def test_long_run_covers_all_candles_that_can_still_change(database: Client) -> None:
    """It finds a wrong revision of a candle that closed a quarter of an hour ago."""
    candles = store(database, FILLS, MARK)
    metrics = CrossCheckMetrics()
    check = CrossCheck(database, metrics)
    check.run_once()
    spoil(database, Window("x", 1, "A/B", DAY_S + 60), candles)
    for _ in range(LONG_RUN_EVERY - 1):
        check.run_once()
    assert metrics.wrong == {}
    check.run_once()
    check.run_once()
    assert Window("x", 1, "A/B", DAY_S + 60) in metrics.wrong


def test_cross_check_skips_forming_candles(database: Client) -> None:
    """They need not equal their trades yet."""
    candles = store(database, FILLS, MARK - 30 * SECOND)
    assert not candles["1m", "x", "A/B", LAST_MINUTE.start]["closed"]
    store_trades(database, [fill(100, 850, "1.7")])
    metrics = CrossCheckMetrics()
    check = CrossCheck(database, metrics)
    check.run_once()
    check.run_once()
    assert metrics.wrong == {}


def test_cross_check_of_an_empty_database_finds_nothing(database: Client) -> None:
    metrics = CrossCheckMetrics()
    CrossCheck(database, metrics).run_once()
    assert (metrics.candles, metrics.wrong, metrics.gaps) == (0, {}, [])


def test_gaps_are_counted_by_state(database: Client) -> None:
    """Closed ones for a day, open ones without a limit."""
    now, before = "now64(6)", "now64(6) - INTERVAL 3 DAY"
    rows: list[tuple[Any, ...]] = [
        ("1, 4, 4", "open", now), ("1, 4, 1", "repairing", now), ("7, 7, 1", "open", now),
        ("9, 9, 1", "open", before), ("20, 29, 0", "repaired", now),
        ("30, 39, 0", "repaired", before), ("1, 4, 2", "open", now, 1),
        ("40, 40, 1", "unrepairable", now),
        ("50, 50, 1", "unrepairable", before),
    ]  # fmt: skip
    for numbers, state, updated, *numbering in rows:
        database.command(
            "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, state, "
            f"updated_at, numbering) SELECT 'x', 'A/B', {numbers}, '{state}', {updated}, "
            f"{numbering[0] if numbering else 0}"
        )
    metrics = CrossCheckMetrics()
    CrossCheck(database, metrics).run_once()
    assert sorted(metrics.gaps) == [
        ("x", "open", 3, 4),
        ("x", "repaired", 1, 0),
        ("x", "repairing", 1, 1),
        ("x", "unrepairable", 1, 1),
    ]
    samples = {
        (sample.name, sample.labels["state"]): sample.value
        for family in metrics.collect()
        for sample in family.samples
        if "state" in sample.labels
    }
    assert samples["candlewax_known_gaps", "open"] == 3
    assert samples["candlewax_known_missing_trades", "repairing"] == 1
