"""Proof of a candle, in the view of reconciled candles."""

import pytest

from candlewax.clickhouse.client import Database


@pytest.mark.parametrize(
    ("status", "result", "proof"),
    [
        ("complete", None, "numbers"),
        ("complete", "equal", "numbers"),
        ("complete", "differs", "none"),
        ("complete", "unavailable", "numbers"),
        ("unverified", None, "none"),
        ("unverified", "equal", "exchange"),
        ("unverified", "differs", "none"),
        ("unverified", "unavailable", "none"),
        ("partial", "equal", "exchange"),
        ("gaps", "differs", "none"),
    ],
)
def test_candle_is_proven_by_numbers_else_by_the_equal_candle_of_the_exchange(
    tables: Database, status: str, result: str | None, proof: str
) -> None:
    """One that differs has no proof, whatever its numbers say."""
    tables.command(
        "INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, closed, status, version) "
        f"VALUES ('1m', 'x', 'A/B', '2026-01-01 00:00:00', true, '{status}', 7)"
    )
    if result:
        # A result about an earlier version says nothing.
        for version in (5, 7):
            tables.command(
                "INSERT INTO reconciliations (exchange, symbol, window_start, result, version, "
                "compared_at) VALUES ('x', 'A/B', '2026-01-01 00:00:00', "
                f"'{result if version == 7 else 'equal'}', {version}, "
                f"'2026-01-01 00:10:0{version}')"
            )
    found = tables.query("SELECT toString(proof) AS proof FROM ohlcv_1m_reconciled")
    assert found["proof"].to_list() == [proof]
