"""verify: the check that longer candles are combined from their minutes."""

from decimal import Decimal
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from candlewax.verification.verify import verify
from tests.support.candles import DAY
from tests.support.certified_candles import SECOND, WINDOW
from tests.support.oracle import Window
from tests.support.stored import FIELDS as CANDLE_FIELDS
from tests.support.verified_tables import store_candles

pytestmark = pytest.mark.slow("each test verifies a database", seconds=5)

FIELDS = (*CANDLE_FIELDS[:-2], "repaired")


def test_verify_finds_a_longer_candle_that_differs_from_its_minutes(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    """By the smallest difference in one field, each of another candle."""
    longer = [window for window in certified if window[0] != "1m"]
    wrong = dict(zip(longer, FIELDS, strict=False))
    assert len(wrong) == len(FIELDS)
    for window, field in wrong.items():
        value = certified[window][field]
        small = Decimal("1e-18") if field.startswith(("quote", "buy_quote")) else Decimal("1e-12")
        changed = value + (small if isinstance(value, Decimal) else 1)
        store_candles(database, {window: {**certified[window], field: changed}})
    part = verify(database).parts["timeframes"]
    assert (part.checked, part.mismatches) == (len(longer), len(FIELDS))
    assert sorted(
        (e["timeframe"], e["symbol"], e["problem"], *e["fields"]) for e in part.examples
    ) == sorted((w[0], w[2], "mismatch", field) for w, field in wrong.items())


def test_verify_finds_longer_candles_without_minutes_and_minutes_without_them(
    database: Client, certified: dict[Window, dict[str, Any]]
) -> None:
    database.command("DELETE FROM ohlcv WHERE timeframe = '5m' AND symbol = 'E/F'")
    candle = certified[WINDOW]
    store_candles(database, {("1h", "x", "G/H", DAY // SECOND): candle})
    part = verify(database).parts["timeframes"]
    assert sorted((e["timeframe"], e["symbol"], e["problem"]) for e in part.examples) == [
        ("1h", "G/H", "no_minutes"),
        ("5m", "E/F", "missing"),
    ]
