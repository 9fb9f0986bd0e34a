"""`candlewax gaps` lists the gaps of the table."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from tests.support.command_process import run


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 9, 14, hour, minute, tzinfo=UTC)


GAP = {
    "exchange": "binance", "symbol": "BTC/USDT", "first_sequence": 11, "last_sequence": 15,
    "missing": 5, "before": at(1), "after": at(2), "connection": "b0", "detected_at": at(2),
    "state": "open", "attempts": 0,
}  # fmt: skip


def store(tables: Database, *gaps: dict[str, Any]) -> None:
    """Insert rows of gaps one by one, as the pipeline does."""
    for gap in gaps:
        row = {**GAP, **gap}
        tables.client.insert("gaps", [list(row.values())], column_names=list(row))


@pytest.fixture
def gaps(tables: Database) -> Database:
    """One gap of each state, in three markets; the last row of each is valid."""
    store(tables, {}, {"missing": 3})
    market = {"symbol": "ETH/USDT", "before": at(3), "after": at(4)}
    store(tables, market, {**market, "missing": 0, "state": "repaired", "attempts": 1})
    store(tables, {**market, "first_sequence": 21, "last_sequence": 21, "missing": 1,
                   "state": "unrepairable", "attempts": 7, "reason": "too old"})  # fmt: skip
    store(tables, {"exchange": "kraken", "symbol": "BTC/USD", "before": at(5), "after": at(5, 1),
                   "state": "repairing", "attempts": 2})  # fmt: skip
    return tables


def test_json_has_a_line_for_each_gap_and_one_for_the_totals(
    gaps: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rows of a gap are merged: the smallest count of missing trades and the latest state hold."""
    assert run(monkeypatch, engine_path, gaps, "gaps", "--json") == 1
    *lines, totals = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(g["exchange"], g["symbol"], g["first_sequence"], g["state"], g["missing"], g["count"])
            for g in lines] == [
        ("binance", "BTC/USDT", 11, "open", 3, 5),
        ("binance", "ETH/USDT", 11, "repaired", 0, 5),
        ("binance", "ETH/USDT", 21, "unrepairable", 1, 1),
        ("kraken", "BTC/USD", 11, "repairing", 5, 5),
    ]  # fmt: skip
    assert lines[0]["before"] == "2026-09-14T01:00:00+00:00"
    assert lines[2]["reason"] == "too old"
    assert totals == {
        "totals": {
            "open": {"gaps": 1, "numbers": 5, "missing": 3},
            "repairing": {"gaps": 1, "numbers": 5, "missing": 5},
            "unrepairable": {"gaps": 1, "numbers": 1, "missing": 1},
            "repaired": {"gaps": 1, "numbers": 5, "missing": 0},
        }
    }


@pytest.mark.parametrize(
    ("filters", "firsts", "status"),
    [
        (["--exchange", "kraken"], [("BTC/USD", 11)], 1),
        (["--symbol", "ETH/USDT"], [("ETH/USDT", 11), ("ETH/USDT", 21)], 1),
        (["--symbol", "BTC/USD", "--symbol", "BTC/USDT"], [("BTC/USDT", 11), ("BTC/USD", 11)], 1),
        (["--state", "repaired"], [("ETH/USDT", 11)], 0),
        (["--state", "unrepairable"], [("ETH/USDT", 21)], 1),
        (["--since", "2026-09-14T05:00:30"], [("BTC/USD", 11)], 1),
        (["--until", "2026-09-14T03:00+02:00"], [], 0),
        (["--until", "2026-09-14T03:01+02:00"], [("BTC/USDT", 11)], 1),
        (["--since", "2026-09-15"], [], 0),
    ],
)
def test_filters_select_gaps_and_the_status_is_1_if_one_is_not_repaired(
    gaps: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    filters: list[str],
    firsts: list[tuple[str, int]],
    status: int,
) -> None:
    """A gap overlaps a span if one of its missing trades may be within it."""
    assert run(monkeypatch, engine_path, gaps, "gaps", "--json", *filters) == status
    *lines, totals = map(json.loads, capsys.readouterr().out.splitlines())
    assert [(gap["symbol"], gap["first_sequence"]) for gap in lines] == firsts
    assert sum(state["gaps"] for state in totals["totals"].values()) == len(firsts)


def test_table_says_how_many_gaps_it_omits(
    gaps: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The totals count all matching gaps, not only those shown."""
    assert run(monkeypatch, engine_path, gaps, "gaps", "--limit", "3") == 1
    output = capsys.readouterr().out
    assert "3 of 5" in output
    assert "too old" in output
    assert "the first 3 of 4" in output
    assert "1 open (3 missing), 1 repairing (5 missing), 1 unrepairable (1 missing)" in output


LACKS = "the exchange does not have 2 of 5 numbers: its answer goes from {} to {} without them"


def test_each_reason_is_printed_once_with_its_count(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It counts all matching gaps, listed or not, and merges reasons that differ in numbers only.
    The advice of an older release to backfill trillions of trades is not repeated.
    """
    given_up = {"state": "unrepairable", "attempts": 2}
    store(
        tables,
        *({**given_up, "first_sequence": 100 * n, "last_sequence": 100 * n + 4,
           "reason": LACKS.format(100 * n - 1, 100 * n + 5)} for n in range(1, 37)),
        {"first_sequence": 5, "last_sequence": 5, "missing": 1, "reason": "status 503",
         "state": "repairing", "attempts": 1},
        {"first_sequence": 6, "last_sequence": 6, "missing": 1, "reason": "status 429",
         "state": "repairing", "attempts": 1},
        {**given_up, "symbol": "ETH/USDT", "first_sequence": 1, "last_sequence": 5 * 10**12,
         "missing": 5 * 10**12,
         "reason": "too long: 5,000,000,000,000 numbers, more than 1,000,000; candlewax backfill "
         "gets them"},
        {"symbol": "LTC/USDT", "missing": 0, "state": "repaired", "reason": "asked for: 5 came"},
    )  # fmt: skip
    assert run(monkeypatch, engine_path, tables, "gaps", "--limit", "2") == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if " not repaired: " in line] == [
        "36 not repaired: the exchange does not have … of … numbers: its answer goes from … to … "
        "without them",
        "1 not repaired: status 429",
        "1 not repaired: status 503",
        "1 not repaired: too long: 5,000,000,000,000 numbers, more than 1,000,000",
    ]
    assert "candlewax repair --again requests the given-up gaps again" in lines
    (advice,) = [line for line in lines if line.startswith("of more than 1,000,000 numbers:")]
    assert "candlewax repair --first NUMBER" in advice
    assert not [line for line in lines if "backfill" in line]


def test_no_advice_is_printed_without_given_up_gaps(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A gap in repair is requested again without a command."""
    store(tables, {"state": "repairing", "reason": "status 503", "attempts": 1})
    assert run(monkeypatch, engine_path, tables, "gaps") == 1
    output = capsys.readouterr().out
    assert "1 not repaired: status 503" in output
    assert "candlewax repair" not in output


def test_database_without_gaps_ends_with_0(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It prints "No gaps."."""
    assert run(monkeypatch, engine_path, tables, "gaps") == 0
    assert capsys.readouterr().out == "No gaps.\n"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--exchange", "mtgox"], "--exchange"),
        (["--state", "closed"], "--state"),
        (["--since", "monday"], "--since: takes a date or a time"),
        (["--limit", "-1"], "--limit"),
        (["--symbol", "BTCUSDT"], "--symbol: nothing is stored of 'BTCUSDT'"),
    ],
)
def test_wrong_filter_is_named(
    gaps: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    named: str,
) -> None:
    """With status 2, as no gap was read."""
    assert run(monkeypatch, engine_path, gaps, "gaps", *arguments) == 2
    assert named in capsys.readouterr().err


def test_database_without_the_table_of_gaps_ends_with_2(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message advises `candlewax init`."""
    tables.client.command("DROP TABLE gaps SYNC")
    assert run(monkeypatch, engine_path, tables, "gaps") == 2
    assert "candlewax init" in capsys.readouterr().err
