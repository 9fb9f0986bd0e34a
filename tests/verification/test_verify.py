"""verify: the comparison of candles with their trades."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given

from candlewax.verification.verify import VerifyError, check_totals, report, to_json, verify
from tests.support import oracle
from tests.support.candles import DAY, FILLS
from tests.support.examples import examples
from tests.support.oracle import Fill
from tests.support.stored import FIELDS
from tests.support.verified_tables import (
    TRADES,
    moment,
    store_candles,
    store_gaps,
    store_trades,
    store_watermark,
)

pytestmark = pytest.mark.slow("each example verifies a database", seconds=20)

NUMBERS = {name: number for number, name in enumerate(oracle.LENGTHS, 1)}


MARK = DAY + 69_000_000
WINDOW = ("1m", "x", "A/B", DAY // 1_000_000)


@pytest.fixture
def right(database: Client) -> dict[oracle.Window, dict[str, Any]]:
    """Trades and their correct candles, stored."""
    candles = oracle.candles(TRADES, {"x": MARK})
    store_trades(database, TRADES)
    store_watermark(database, MARK)
    store_candles(database, candles)
    return candles


def test_verify_accepts_right_candles(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """Of each timeframe, in the JSON and in the report."""
    result = verify(database)
    assert result.equal
    assert (result.candles, result.examples) == (len(right), [])
    assert json.loads(to_json(result)) == {
        "candles": len(right), "mismatches": 0, "missing_in_gold": 0, "missing_in_check": 0,
        "examples": [],
        "gaps": {"checked": 0, "mismatches": 0, "examples": []},
        "certificates": {"checked": len(right), "mismatches": 0, "examples": []},
        "timeframes": {"checked": len(right) - 3, "mismatches": 0, "examples": []},
            "frames": {"checked": 0, "mismatches": 0, "examples": []},
    }  # fmt: skip
    assert "equal" in report(result)


@pytest.mark.parametrize("field", FIELDS)
def test_verify_finds_each_corrupted_field(
    database: Client, right: dict[oracle.Window, dict[str, Any]], field: str
) -> None:
    """By the smallest possible difference; the report names the field."""
    value = right[WINDOW][field]
    small = Decimal("1e-18") if field.startswith(("quote", "buy_quote")) else Decimal("1e-12")
    wrong = (
        (not value) if field == "closed" else value + (small if isinstance(value, Decimal) else 1)
    )
    database.command("TRUNCATE TABLE ohlcv")
    store_candles(database, {**right, WINDOW: {**right[WINDOW], field: wrong}})
    result = verify(database)
    assert (result.mismatches, result.missing_in_gold, result.missing_in_check) == (1, 0, 0)
    (example,) = result.examples
    assert list(example["fields"]) == [field]
    assert (example["timeframe"], example["symbol"]) == ("1m", "A/B")
    assert field in report(result)


def test_verify_finds_a_missing_candle(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """Trades without their candle."""
    database.command("TRUNCATE TABLE ohlcv")
    store_candles(database, {w: c for w, c in right.items() if w != WINDOW})
    result = verify(database)
    assert (result.mismatches, result.missing_in_gold, result.missing_in_check) == (0, 1, 0)
    assert result.candles == len(right)


def test_verify_finds_a_candle_without_trades(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    store_candles(database, {("1m", "x", "C/D", WINDOW[3]): right[WINDOW]})
    result = verify(database)
    assert (result.mismatches, result.missing_in_gold, result.missing_in_check) == (0, 0, 1)
    assert result.candles == len(right) + 1


def test_verify_skips_candles_that_outlived_their_trades(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """Trades beyond their retention are deleted, so there is nothing to compare with."""
    database.command("TRUNCATE TABLE silver_trades")
    assert verify(database).missing_in_check == len(right)
    database.command(
        "ALTER TABLE ohlcv UPDATE updated_at = now64(6) - INTERVAL 31 DAY WHERE true "
        "SETTINGS mutations_sync = 1"
    )
    assert verify(database).equal


def test_verify_fails_without_tables(database: Client) -> None:
    """It does not report equality."""
    database.command("DROP VIEW ohlcv_check_mv SYNC")
    with pytest.raises(VerifyError, match="ohlcv_check_mv"):
        verify(database)


@given(FILLS)
@examples(6)
def test_verify_agrees_with_the_oracle(database: Client, fills: list[Fill]) -> None:
    """Including ties, conditions, midnight and unnumbered trades."""
    # Each trade has its own id and number.
    fills = list({(f.symbol, f.trade_id): f for f in fills}.values())
    fills = list({(f.symbol, f.sequence or f.trade_id): f for f in fills}.values())
    for name in ("silver_trades", "ohlcv", "watermarks", "gaps"):
        database.command(f"TRUNCATE TABLE {name}")
    watermark = oracle.watermarks(fills)["x"]
    store_trades(database, fills)
    store_watermark(database, watermark)
    certificates = oracle.certificates(fills)
    candles = oracle.candles(fills, {"x": watermark})
    store_candles(database, {w: {**candles[w], **certificates[w]} for w in candles})
    store_gaps(database, fills)
    result = verify(database)
    assert result.equal, report(result)


FRAME = {
    "exchange": "x", "connection": "c", "source": "c", "source_offset": 0,
    "received_at": moment(DAY), "frame": "f", "kind": "trade", "trades": 5, "duplicates": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "letters", "problems"),
    [
        (FRAME, 0, []),
        ({**FRAME, "duplicates": 1}, 0, ["x: frames hold 4 trades, silver_trades 5"]),
        ({**FRAME, "trades": 6}, 0, ["x: frames hold 6 trades, silver_trades 5"]),
        (FRAME, 1, ["x: 0 dead frames, dead_letters holds 1"]),
    ],
)
def test_check_totals_names_each_unequal_total(
    database: Client, frame: dict[str, Any], letters: int, problems: list[str]
) -> None:
    """Trades of frames against stored trades, and dead frames against dead letters."""
    store_trades(database, [replace(fill, conditions=()) for fill in TRADES])
    database.insert("bronze_frames", [list(frame.values())], column_names=list(frame))
    letter = {
        "exchange": "x", "source_offset": 0, "received_at": moment(DAY), "scope": "frame",
        "reason": "bad_json", "frame": "f",
    }  # fmt: skip
    for _ in range(letters):
        database.insert("dead_letters", [list(letter.values())], column_names=list(letter))
    assert check_totals(database) == problems
