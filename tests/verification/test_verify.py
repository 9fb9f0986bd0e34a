"""The cross-check finds what is wrong, and only that."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given

from candlewax.verification.verify import VerifyError, check_totals, report, to_json, verify
from tests.support import evidence, oracle
from tests.support.candles import DAY, FILLS
from tests.support.examples import examples
from tests.support.oracle import Fill
from tests.support.stored import FIELDS

pytestmark = pytest.mark.slow("each example verifies a database", seconds=20)

NUMBERS = {name: number for number, name in enumerate(oracle.LENGTHS, 1)}


def moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def store_trades(client: Client, fills: Sequence[Fill]) -> None:
    """Rows of silver, written without the pipeline."""
    names = (
        "exchange", "symbol", "trade_id", "sequence", "timestamp", "side", "price", "quantity",
        "quote_volume", "conditions", "source_offset", "source_index", "received_at", "via",
    )  # fmt: skip
    rows = [
        [
            f.exchange, f.symbol, f.trade_id, f.sequence, moment(f.time),
            "BUY" if f.bought else "SELL", f.price, f.quantity, f.price * f.quantity,
            list(f.conditions), f.offset, f.index, moment(f.time),
            "rest" if f.asked_for else "websocket",
        ]
        for f in fills
    ]  # fmt: skip
    client.insert("silver_trades", rows, column_names=names)


CERTIFICATE = ("missing", "status", "feed_down_ms", "repaired")


def store_candles(client: Client, candles: dict[oracle.Window, dict[str, Any]]) -> None:
    """Rows of gold, written without the pipeline; without a certificate they claim to be
    complete.
    """
    rows = []
    for (timeframe, exchange, symbol, start), candle in candles.items():
        status = "complete" if candle["closed"] else "forming"
        full = {"missing": 0, "status": status, "feed_down_ms": 0, "repaired": 0, **candle}
        times = {name: moment(full[name]) for name in ("open_time", "close_time")}
        values = {**full, **times}
        row = (values[name] for name in (*FIELDS, *CERTIFICATE))
        rows.append([timeframe, exchange, symbol, moment(start * 1_000_000), *row])
    if rows:
        names = ("timeframe", "exchange", "symbol", "window_start", *FIELDS, *CERTIFICATE)
        client.insert("ohlcv", rows, column_names=names)


def store_watermark(client: Client, watermark: int) -> None:
    client.insert("watermarks", [["x", moment(watermark)]], column_names=["exchange", "watermark"])


TRADES = [
    Fill("x", "A/B", "1", 1, DAY - 30_000_000, True, Decimal("1.5"), Decimal(2)),
    Fill("x", "A/B", "2", 2, DAY + 10_000_000, False, Decimal("1.7"), Decimal(3)),
    Fill("x", "A/B", "3", 3, DAY + 10_000_000, True, Decimal("1.6"), Decimal("0.000000000001")),
    Fill("x", "A/B", "4", 4, DAY + 70_000_000, True, Decimal("1.4"), Decimal(1)),
    Fill("x", "A/B", "5", 5, DAY + 70_000_001, True, Decimal(9), Decimal(1), ("ADL",)),
]
MARK = DAY + 69_000_000
WINDOW = ("1m", "x", "A/B", DAY // 1_000_000)


@pytest.fixture
def right(database: Client) -> dict[oracle.Window, dict[str, Any]]:
    """Trades and the candles they make, stored."""
    candles = oracle.candles(TRADES, {"x": MARK})
    store_trades(database, TRADES)
    store_watermark(database, MARK)
    store_candles(database, candles)
    return candles


def test_verify_accepts_right_candles(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """Every candle of every timeframe, and the report says so."""
    found = verify(database)
    assert found.equal
    assert (found.candles, found.examples) == (len(right), [])
    assert json.loads(to_json(found)) == {
        "candles": len(right), "mismatches": 0, "missing_in_gold": 0, "missing_in_check": 0,
        "examples": [],
        "gaps": {"checked": 0, "mismatches": 0, "examples": []},
        "certificates": {"checked": len(right), "mismatches": 0, "examples": []},
        "timeframes": {"checked": len(right) - 3, "mismatches": 0, "examples": []},
            "frames": {"checked": 0, "mismatches": 0, "examples": []},
    }  # fmt: skip
    assert "equal" in report(found)


@pytest.mark.parametrize("field", FIELDS)
def test_verify_finds_each_corrupted_field(
    database: Client, right: dict[oracle.Window, dict[str, Any]], field: str
) -> None:
    """By the smallest difference there is, and it is named."""
    value = right[WINDOW][field]
    small = Decimal("1e-18") if field.startswith(("quote", "buy_quote")) else Decimal("1e-12")
    wrong = (
        (not value) if field == "closed" else value + (small if isinstance(value, Decimal) else 1)
    )
    database.command("TRUNCATE TABLE ohlcv")
    store_candles(database, {**right, WINDOW: {**right[WINDOW], field: wrong}})
    found = verify(database)
    assert (found.mismatches, found.missing_in_gold, found.missing_in_check) == (1, 0, 0)
    (example,) = found.examples
    assert list(example["fields"]) == [field]
    assert (example["timeframe"], example["symbol"]) == ("1m", "A/B")
    assert field in report(found)


def test_verify_finds_a_missing_candle(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """Trades without their candle."""
    database.command("TRUNCATE TABLE ohlcv")
    store_candles(database, {w: c for w, c in right.items() if w != WINDOW})
    found = verify(database)
    assert (found.mismatches, found.missing_in_gold, found.missing_in_check) == (0, 1, 0)
    assert found.candles == len(right)


def test_verify_finds_a_candle_without_trades(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """A price that nobody paid."""
    store_candles(database, {("1m", "x", "C/D", WINDOW[3]): right[WINDOW]})
    found = verify(database)
    assert (found.mismatches, found.missing_in_gold, found.missing_in_check) == (0, 0, 1)
    assert found.candles == len(right) + 1


def test_verify_skips_candles_that_outlived_their_trades(
    database: Client, right: dict[oracle.Window, dict[str, Any]]
) -> None:
    """Once they are beyond their retention there is nothing to compare it with."""
    database.command("TRUNCATE TABLE silver_trades")
    assert verify(database).missing_in_check == len(right)
    database.command(
        "ALTER TABLE ohlcv UPDATE updated_at = now64(6) - INTERVAL 31 DAY WHERE true "
        "SETTINGS mutations_sync = 1"
    )
    assert verify(database).equal


def test_verify_fails_without_tables(database: Client) -> None:
    """It is told, not taken for equal."""
    database.command("DROP VIEW ohlcv_check_mv SYNC")
    with pytest.raises(VerifyError, match="ohlcv_check_mv"):
        verify(database)


@given(FILLS)
@examples(6)
def test_verify_agrees_with_the_oracle(database: Client, fills: list[Fill]) -> None:
    """Ties, conditions, midnight and trades without numbers included."""
    # A trade has one id, and a number that no other has.
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
    found = verify(database)
    assert found.equal, report(found)


def store_gaps(client: Client, fills: Sequence[Fill]) -> None:
    """A gap for each hole."""
    names = ("exchange", "symbol", "first_sequence", "last_sequence", "missing", "before", "after")
    rows = [
        [*market, hole.first, hole.last, hole.count, moment(hole.before), moment(hole.after)]
        for market, found in evidence.holes(fills).items()
        for hole in found
    ]
    if rows:
        client.insert("gaps", rows, column_names=names)


FRAME = {
    "exchange": "x", "connection": "c", "source": "c", "source_offset": 0,
    "received_at": moment(DAY), "frame": "f", "kind": "trade", "trades": 5, "duplicates": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "letters", "says"),
    [
        (FRAME, 0, []),
        ({**FRAME, "duplicates": 1}, 0, ["x: frames hold 4 trades, silver_trades 5"]),
        ({**FRAME, "trades": 6}, 0, ["x: frames hold 6 trades, silver_trades 5"]),
        (FRAME, 1, ["x: 0 dead frames, dead_letters holds 1"]),
    ],
)
def test_check_totals_names_what_does_not_add_up(
    database: Client, frame: dict[str, Any], letters: int, says: list[str]
) -> None:
    """Trades of frames against trades stored, dead frames against letters."""
    store_trades(database, [replace(fill, conditions=()) for fill in TRADES])
    database.insert("bronze_frames", [list(frame.values())], column_names=list(frame))
    letter = {
        "exchange": "x", "source_offset": 0, "received_at": moment(DAY), "scope": "frame",
        "reason": "bad_json", "frame": "f",
    }  # fmt: skip
    for _ in range(letters):
        database.insert("dead_letters", [list(letter.values())], column_names=list(letter))
    assert check_totals(database) == says
