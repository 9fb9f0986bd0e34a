"""The report of a run that fills gaps."""

import io

import pytest
from rich.console import Console

from candlewax.clickhouse.client import Database
from candlewax.pipeline.reports import gap_fill
from candlewax.pipeline.reports.gap_fill import GapFillReport
from candlewax.runtime.counters import Counters


def store(tables: Database, numbering: int, missing: int, state: str) -> None:
    tables.client.command(
        "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, state, "
        f"numbering) VALUES ('x', 'A/B', 10, 14, {missing}, '{state}', {numbering})"
    )


@pytest.mark.parametrize("width", [80, 100])
def test_no_number_and_no_reason_is_cut(
    tables: Database, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """The reason may name a setting: it goes on in the next line."""
    monkeypatch.setattr(gap_fill, "has_failed", lambda: False)
    tables.client.command(
        "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, state, "
        "reason) VALUES ('binance_usdm', 'BTC/USDT:USDT', 2894740202735, 2894740202749, 15, "
        "'repairing', 'a key only: CANDLEWAX_BINANCE_USDM_KEY')"
    )
    output = io.StringIO()
    console = Console(file=output, width=width)
    run = GapFillReport("Filling", console, Counters(), tables, lambda: False)
    run.begin()
    run.end()
    text = output.getvalue()
    assert "2894740202735" in text
    assert "2894740202749" in text
    reasons = "".join(line[60:].split()[-1] for line in text.splitlines() if line[60:].strip())
    assert reasons.endswith("CANDLEWAX_BINANCE_USDM_KEY")


def test_gaps_of_two_numberings_are_counted_apart(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though their sequence numbers are the same."""
    monkeypatch.setattr(gap_fill, "has_failed", lambda: False)
    store(tables, 0, 5, "open")
    store(tables, 1, 3, "open")
    output = io.StringIO()
    run = GapFillReport("Filling", Console(file=output), Counters(), tables, lambda: False)
    run.begin()
    store(tables, 0, 0, "repaired")
    run.end()
    assert "2 gaps, 8 trades missing" in output.getvalue()
    assert "1 gaps filled, 5 trades; 0 given up, 1 left" in output.getvalue()
