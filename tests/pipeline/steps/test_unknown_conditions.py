"""Unknown conditions of trades are counted, logged once, and listed by a view."""

import logging

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.steps.unknown_conditions import MAX_VALUES, OTHERS, UnknownConditions
from candlewax.runtime.counters import Counters

USDM = EXCHANGES["binance_usdm"]


def conditions(*values: str | None) -> pl.Series:
    """A column of conditions."""
    return pl.Series("condition", values, pl.String)


def test_known_and_absent_conditions_are_not_counted() -> None:
    """Those that the exchange is known to send, and ordinary trades."""
    tally = Counters()
    UnknownConditions(tally).count(USDM, conditions(None, *USDM.known_conditions))
    assert tally.all_counts() == {}


def test_unknown_condition_is_counted_by_value_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """For any number of its trades."""
    tally = Counters()
    unknown = UnknownConditions(tally)
    with caplog.at_level(logging.WARNING):
        unknown.count(USDM, conditions("AUCTION", None, "NA", "AUCTION"))
        unknown.count(USDM, conditions("AUCTION", "BLOCK"))
    assert tally.all_counts() == {
        ("unknown_conditions", "binance_usdm", "AUCTION"): 3,
        ("unknown_conditions", "binance_usdm", "BLOCK"): 1,
    }
    assert [record.args for record in caplog.records] == [
        ("binance_usdm", "AUCTION"),
        ("binance_usdm", "BLOCK"),
    ]


def test_values_beyond_a_limit_share_one_count() -> None:
    """A feed that sends a new value each time does not grow the metrics."""
    tally = Counters()
    unknown = UnknownConditions(tally)
    for n in range(MAX_VALUES + 30):
        unknown.count(USDM, conditions(f"V{n}" + "x" * 1000))
    counts = tally.all_counts()
    assert len(counts) == MAX_VALUES + 1
    assert counts["unknown_conditions", "binance_usdm", OTHERS] == 30
    assert max(len(name[2]) for name in counts) == 60


def test_view_knows_the_conditions_of_the_exchanges(tables: Database) -> None:
    """`trade_conditions` and the exchange modules know the same conditions."""
    known = {(e.id, value) for e in EXCHANGES.values() for value in e.known_conditions}
    for number, (exchange, value) in enumerate(sorted({*known, ("binance_usdm", "AUCTION")})):
        tables.client.command(
            "INSERT INTO silver_trades (exchange, symbol, trade_id, timestamp, side, conditions) "
            f"VALUES ('{exchange}', 'A/B', '{number}', '2026-01-01 00:00:{number:02}', 1, "
            f"['{value}'])"
        )
    told = tables.query("SELECT exchange, condition, known, trades FROM trade_conditions").rows()
    assert sorted(told) == sorted(
        (exchange, value, int((exchange, value) in known), 1)
        for exchange, value in {*known, ("binance_usdm", "AUCTION")}
    )
