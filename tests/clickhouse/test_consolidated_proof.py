"""Proofs of consolidated candles: numbers, or the equal candles of the exchanges."""

from dataclasses import replace

from candlewax.clickhouse.client import Database
from tests.support.consolidated_oracle import Comparisons
from tests.support.consolidated_tables import (
    MINUTE,
    NOON,
    SECOND,
    compare,
    fill,
    proofs,
    read,
    store,
)


def test_equal_candle_of_the_exchange_proves_a_part(tables: Database) -> None:
    """Where numbers prove nothing: if each minute of the window is equal, as it is now."""
    x = [fill("x", minute + 1, minute) for minute in range(16)]
    y = [replace(one, exchange="y", sequence=0) for one in x]
    every = dict(compare([*x, *y], ["equal"]))
    third, eighth = (
        ("y", "BTC/USD", (NOON + 3 * MINUTE) // SECOND),
        ("y", "BTC/USD", (NOON + 8 * MINUTE) // SECOND),
    )
    store(tables, [*x, *y], comparisons={**every, third: ("equal", 0), eighth: ("differs", 1)})
    minutes = read(tables)
    assert [row["trusted"] for row in minutes] == [number not in {3, 8, 15} for number in range(16)]
    assert {row["status"] for row in minutes[:15]} == {"complete", "unverified"}
    assert proofs(minutes[0]) == {"x": "numbers", "y": "exchange"}
    assert [proofs(row)["y"] for row in read(tables, "5m")] == ["none", "none", "exchange", "none"]
    # A minute of which nothing is known may have had a trade.
    del every["y", "BTC/USD", (NOON + 12 * MINUTE) // SECOND]
    store(tables, [*x, *y], comparisons=every)
    assert [row["trusted"] for row in read(tables, "5m")] == [True, True, False, False]


def test_minute_that_differs_takes_the_proof_of_numbers(tables: Database) -> None:
    """Also if the exchange has a candle of a minute that our numbers show to be empty."""
    x = [fill("x", minute + 1, minute) for minute in range(4)]
    y = [fill("y", 1, 0), fill("y", 2, 2), fill("y", 3, 3)]
    start = NOON // SECOND
    differing: Comparisons = {
        ("y", "BTC/USD", start): ("differs", 1),
        ("y", "BTC/USD", start + 60): ("differs", 0),
        # Compared before its trade had come.
        ("y", "BTC/USD", start + 120): ("differs", 0),
    }
    store(tables, [*x, *y], comparisons=differing)
    found = read(tables)
    assert [proofs(row)["y"] for row in found] == ["none", "none", "numbers", "none"]
    assert [row["status"] for row in found] == ["unverified", "unverified", "complete", "forming"]
