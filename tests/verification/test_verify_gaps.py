"""verify: the check of gaps against the numbers of stored trades."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from candlewax.verification.verify import report, verify
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.verified_tables import moment, store_trades

SECOND = 1_000_000


def fill(number: int, symbol: str = "A/B", **more: Any) -> Fill:
    plain = {
        "exchange": "x", "symbol": symbol, "trade_id": str(number), "sequence": number,
        "time": DAY + number * SECOND, "bought": True, "price": Decimal(1),
        "quantity": Decimal(1),
    }  # fmt: skip
    return Fill(**{**plain, **more})


def gap(first: int, last: int, missing: int | None = None, **more: Any) -> dict[str, Any]:
    """A row of gaps, correct in all fields that are not given."""
    return {
        "exchange": "x", "symbol": "A/B", "first_sequence": first, "last_sequence": last,
        "missing": last - first + 1 if missing is None else missing,
        "before": moment(DAY + (first - 1) * SECOND), "after": moment(DAY + (last + 1) * SECOND),
        "detected_at": moment(DAY), "state": "open", **more,
    }  # fmt: skip


def store_gaps(client: Client, *gaps: dict[str, Any]) -> None:
    for row in gaps:
        client.insert("gaps", [list(row.values())], column_names=list(row))


def problems(client: Client) -> list[tuple[Any, ...]]:
    """Return the problems that the check reports: range, kind, stored and computed values."""
    part = verify(client).parts["gaps"]
    assert part.mismatches == len(part.examples)
    return [
        (
            example["symbol"], example["first_sequence"], example["last_sequence"],
            example["problem"],
            {name: (v["stored"], v["check"]) for name, v in example["fields"].items()},
        )
        for example in part.examples
    ]  # fmt: skip


@pytest.fixture
def right(database: Client) -> Client:
    """Trades 1, 2, 5, 8, 9, 131 to 330 and 400, of another symbol 7 and 8, with their gaps.

    Number 5 filled a part of the gap 3 to 7, and the gap 150 to 160 is repaired.
    """
    numbers = [1, 2, 5, 8, 9, *range(131, 331), 400]
    store_trades(database, [fill(n) for n in numbers] + [fill(n, "C/D") for n in (7, 8)])
    store_gaps(
        database,
        gap(3, 7),
        gap(3, 7, 4),
        gap(10, 130),
        gap(331, 399),
        gap(331, 399, state="repairing", attempts=1),
        gap(331, 399, state="unrepairable", attempts=5, reason="too old"),
        gap(150, 160),
        gap(150, 160, 0, state="repaired"),
    )
    return database


def test_verify_accepts_right_gaps(right: Client) -> None:
    """Open, partly filled, given up and repaired."""
    assert problems(right) == []
    part = verify(right).parts["gaps"]
    assert part.checked == 4 + 4


DELETE = "DELETE FROM {} WHERE {}"


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (
            DELETE.format("silver_trades", "symbol = 'C/D' AND sequence = 7"),
            [],  # the first trade: no number shows that one came before
        ),
        (
            DELETE.format("silver_trades", "sequence = 140"),
            [("A/B", 140, 140, "no_gap", {"missing": ("0", "1")})],
        ),
        (
            # Beside a gap: the missing range is larger than the gap.
            DELETE.format("silver_trades", "sequence = 9"),
            [("A/B", 9, 130, "no_gap", {"missing": ("0", "1")})],
        ),
        (
            # Between two numbers that are still missing in a gap.
            DELETE.format("silver_trades", "sequence = 5"),
            [("A/B", 3, 7, "missing", {"missing": ("4", "5")})],
        ),
        (
            # A repaired trade is missing again.
            DELETE.format("silver_trades", "sequence IN (152, 153)"),
            [("A/B", 150, 160, "missing", {"missing": ("0", "2")})],
        ),
        (
            DELETE.format("gaps", "first_sequence = 3"),
            [
                ("A/B", 3, 4, "no_gap", {"missing": ("0", "2")}),
                ("A/B", 6, 7, "no_gap", {"missing": ("0", "2")}),
            ],
        ),
        (
            DELETE.format("gaps", "first_sequence = 331"),
            [("A/B", 331, 399, "no_gap", {"missing": ("0", "69")})],
        ),
    ],
)
def test_verify_finds_missing_rows_of_gaps(
    right: Client, change: str, reported: list[tuple[Any, ...]]
) -> None:
    """With no other problem."""
    right.command(change)
    assert problems(right) == reported


@pytest.mark.parametrize(
    ("row", "reported"),
    [
        (gap(10, 130, 120), [("A/B", 10, 130, "missing", {"missing": ("120", "121")})]),
        (
            gap(10, 130, before=moment(DAY)),
            [
                (
                    "A/B", 10, 130, "span",
                    {
                        "span": (
                            "2025-06-16 00:00:00.000000 … 2025-06-16 00:02:11.000000",
                            "2025-06-16 00:00:09.000000 … 2025-06-16 00:02:11.000000",
                        )
                    },
                )
            ],
        ),
        (
            gap(10, 130, state="repaired"),
            [("A/B", 10, 130, "state", {"state": ("repaired", "open")})],
        ),
        (
            gap(210, 214),
            [("A/B", 210, 214, "missing", {"missing": ("5", "0")})],
        ),
        (
            gap(500, 501, symbol="E/F"),
            [("E/F", 500, 501, "missing", {"missing": ("2", "0")})],
        ),
    ],
)  # fmt: skip
def test_verify_finds_wrong_rows_of_gaps(
    right: Client, row: dict[str, Any], reported: list[tuple[Any, ...]]
) -> None:
    """By its field. A gap without missing trades should have a count of 0."""
    store_gaps(right, row)
    assert problems(right) == reported
    assert reported[0][3] in report(verify(right))


def test_verify_skips_gaps_whose_trades_are_beyond_retention(right: Client) -> None:
    """Their trades are deleted, so the numbers prove nothing."""
    right.command("DELETE FROM silver_trades WHERE sequence = 140")
    assert len(problems(right)) == 1
    old = "now64(6) - INTERVAL 29 DAY"
    for table, column in (("silver_trades", "inserted_at"), ("gaps", "updated_at")):
        kept = right.query(f"SELECT * REPLACE ({old} AS {column}) FROM {table} FINAL")
        right.command(f"TRUNCATE TABLE {table}")
        right.insert(table, list(kept.result_rows), column_names=list(kept.column_names))
    assert problems(right) == []


def test_verify_follows_many_ranges_of_numbers(database: Client) -> None:
    """With numbers at the edges of 64-bit words, and across them."""
    missing = {63, 64, 127, 192, 256, 257, *range(300, 500)}
    store_trades(database, [fill(n) for n in range(1, 700) if n not in missing])
    ranges = [(63, 64), (127, 127), (192, 192), (256, 257), (300, 499)]
    expected = [
        ("A/B", low, high, "no_gap", {"missing": ("0", str(high - low + 1))})
        for low, high in ranges
    ]
    assert problems(database) == expected
    store_gaps(database, *(gap(low, high) for low, high in ranges))
    assert problems(database) == []


def test_span_of_a_gap_is_ordered_though_its_trades_are_not(database: Client) -> None:
    """It begins with the earlier of the two neighbouring trades."""
    late = fill(1, time=DAY + 90 * SECOND)
    store_trades(database, [late, fill(4)])
    store_gaps(database, gap(2, 3, before=moment(DAY + 4 * SECOND), after=moment(late.time)))
    assert problems(database) == []
    store_gaps(database, gap(2, 3, after=moment(late.time) + timedelta(microseconds=1)))
    assert [problem for *_, problem, _ in problems(database)] == ["span"]
