"""From the stored frames the same comes out; and where it does not, it is told what."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from candlewax.cli.rebuild import build_player
from candlewax.clickhouse.client import Database
from candlewax.feeds.replay import stored_frames as source
from candlewax.runtime import settings as chosen
from candlewax.verification import rebuild as rebuilding
from candlewax.verification.content_hash import Comparison
from candlewax.verification.rebuild import FIRST, LAST, RebuildError, rebuild
from tests.support.command_process import name, run
from tests.support.oracle import Fill
from tests.support.playing import (
    EPOCH_ZERO,
    INSTRUMENTS,
    Frame,
    binance,
    clear,
    kraken_v1,
    markets,
    play,
    received,
)

SECOND = 1_000_000
HOUR = 3600 * SECOND
BEGIN = EPOCH_ZERO // (24 * HOUR) * 24 * HOUR + 10 * HOUR
"""10:00 UTC."""

Again = Callable[..., Comparison]


@pytest.fixture
def again(tables: Database, engine_path: Path) -> Again:
    """Rebuild what a test's tables hold."""
    environment = {
        "CANDLEWAX_CLICKHOUSE": str(engine_path),
        "CANDLEWAX_DATABASE": name(tables),
    }
    wanted = chosen.load(environment, Path("/nowhere"))

    def rebuilt(begin: int = FIRST, end: int = LAST) -> Comparison:
        return rebuild(wanted, build_player(INSTRUMENTS), tables, begin, end).comparison

    return rebuilt


def fill(number: int, time: int, **more: Any) -> Fill:
    plain = Fill(
        "binance", "BTC/USDT", str(number), number, time, number % 2 == 0,
        Decimal(60_000 + number), Decimal("0.5"),
    )  # fmt: skip
    return replace(plain, **more)


def minutely(count: int, begin: int = BEGIN) -> list[Frame]:
    """A trade each 20 seconds, received 50 ms after it happened."""
    times = [begin + n * 20 * SECOND for n in range(count)]
    return [binance(n, time + 50_000, fill(100 + n, time)) for n, time in enumerate(times, 1)]


def differing(found: Comparison) -> list[str]:
    """The tables that differ, each once."""
    return sorted({day.table for day in found.days if not day.same})


def scratches(tables: Database) -> list[str]:
    rows = tables.query("SELECT name FROM system.databases WHERE name LIKE '%rebuild%'").rows()
    return [row[0] for row in rows]


@given(markets())
@settings(max_examples=5)
def test_whatever_came_comes_out_again(tables: Database, again: Again, frames: list[Frame]) -> None:
    """Repeats, ties, late trades, candles that form, two exchanges; and nothing is left."""
    clear(tables)
    play(received(frames, [3, 9]), tables)
    found = again()
    assert found.same, found.examples
    assert sum(d.stored.rows for d in found.days if d.table == "silver_trades") == len(
        {fill.identity for frame in frames for fill in frame.fills}
    )
    assert scratches(tables) == []


def replaced(tables: Database, table: str, change: str, where: str) -> None:
    """Write a changed row over one."""
    tables.client.command(
        f"INSERT INTO {table} SELECT * REPLACE ({change}) FROM {table} FINAL WHERE {where}"
    )


CORRUPTIONS: Sequence[tuple[str, Callable[[Database], object], str, dict[str, Any]]] = [
    (
        "a trade is gone",
        lambda tables: tables.client.command("DELETE FROM silver_trades WHERE sequence = 105"),
        "silver_trades",
        {"problem": "only_rebuilt", "trade_id": "105", "fields": {}},
    ),
    (
        "a trade that never came",
        lambda tables: replaced(tables, "silver_trades", "'9' AS trade_id", "sequence = 105"),
        "silver_trades",
        {"problem": "only_stored", "trade_id": "9", "fields": {}},
    ),
    (
        "a price is another",
        lambda tables: replaced(
            tables, "silver_trades", "toDecimal128('1.000000000001', 12) AS price", "sequence = 105"
        ),
        "silver_trades",
        {
            "problem": "differs",
            "fields": {"price": {"stored": "1.000000000001", "rebuilt": "60105.000000000000"}},
        },
    ),
    (
        "a trade came from elsewhere",
        lambda tables: replaced(tables, "silver_trades", "7 AS source_offset", "sequence = 105"),
        "silver_trades",
        {"problem": "differs", "fields": {"source_offset": {"stored": "7", "rebuilt": "5"}}},
    ),
    (
        "a candle is another",
        lambda tables: replaced(
            tables,
            "ohlcv",
            "high + toDecimal128('0.000000000001', 12) AS high",
            f"timeframe = '1m' AND window_start = toDateTime({BEGIN // SECOND + 60}, 'UTC')",
        ),
        "ohlcv",
        {
            "problem": "differs",
            "timeframe": "1m",
            "fields": {"high": {"stored": "60106.000000000001", "rebuilt": "60106.000000000000"}},
        },
    ),
    (
        "a candle is gone",
        lambda tables: tables.client.command("DELETE FROM ohlcv WHERE timeframe = '1d'"),
        "ohlcv",
        {"problem": "only_rebuilt", "timeframe": "1d"},
    ),
]


@pytest.mark.parametrize(
    ("corrupt", "table", "example"),
    [case[1:] for case in CORRUPTIONS],
    ids=[case[0] for case in CORRUPTIONS],
)
def test_exactly_what_was_changed_is_told(
    tables: Database,
    again: Again,
    corrupt: Callable[[Database], object],
    table: str,
    example: dict[str, Any],
) -> None:
    """The table, the row, the field, and both values."""
    play(received(minutely(20)), tables)
    corrupt(tables)
    found = again()
    assert differing(found) == [table]
    assert len(found.examples) == 1
    assert found.examples[0].items() >= {"table": table, **example}.items()
    corrupted = [day for day in found.days if not day.same]
    assert [day.stored == day.rebuilt for day in corrupted] == [False]


def test_what_began_before_is_known_and_what_came_later_counts(
    tables: Database, again: Again
) -> None:
    """A trade dated ahead of its frame, one that was repeated after the begin, one that
    came an hour late, and a number missed across the begin.
    """
    frames = minutely(180)
    begin, end = BEGIN + 10 * 60 * SECOND, BEGIN + 20 * 60 * SECOND
    ahead = binance(500, begin - 5 * SECOND, fill(900, begin + 30 * SECOND, symbol="ETH/USDT"))
    repeat = replace(frames[28], seq=501, recv_us=begin + SECOND)
    late = binance(502, end + HOUR, fill(901, begin + 90 * SECOND, symbol="ETH/USDT"))
    missed = [frame for frame in frames if frame.fills[0].sequence not in {130, 131, 132}]
    played = sorted([*missed, ahead, repeat, late], key=lambda frame: frame.recv_us)
    play(received(played, range(0, 180, 7)), tables)
    found = again(begin, end)
    assert found.same, found.examples
    trades = [day for day in found.days if day.table == "silver_trades"]
    # Every 20 seconds of ten minutes one, but one that was missed, and the two of ETH.
    assert [day.stored.rows for day in trades] == [30 - 2 + 2]
    candles = [day for day in found.days if day.table == "ohlcv"]
    # Ten minutes and two times five minutes of BTC, two and one of ETH.
    assert [day.stored.rows for day in candles] == [10 + 2 + 2 + 1]


@pytest.mark.parametrize("minute", [19, 30, 42])
def test_numbers_that_began_anew_before_go_on(tables: Database, again: Again, minute: int) -> None:
    """Each numbering stands where it stood; one that begins later begins again."""
    frames = minutely(180)
    firsts = {0: 5_000, 60: 1_000, 120: 1}
    anew = []
    for n, frame in enumerate(frames):
        start = max(begin for begin in firsts if begin <= n)
        number = firsts[start] + n - start
        told = replace(frame.fills[0], sequence=number, trade_id=str(number))
        anew.append(binance(frame.seq, frame.recv_us, told))
    late = anew.pop(58)
    anew.append(replace(late, recv_us=anew[-1].recv_us + SECOND))
    play(received(anew, range(0, 180, 7)), tables)
    found = again(BEGIN + minute * 60 * SECOND)
    assert found.same, found.examples


def test_a_candle_across_the_begin_is_not_compared(tables: Database, again: Again) -> None:
    """Only windows wholly within are: what is wrong before them is nobody's matter."""
    play(received(minutely(60)), tables)
    begin = BEGIN + 7 * 60 * SECOND
    tables.client.command(f"DELETE FROM silver_trades WHERE timestamp < {begin // SECOND}")
    tables.client.command("DELETE FROM ohlcv WHERE timeframe = '1h'")
    found = again(begin)
    assert found.same, found.examples
    assert not again().same


def test_frames_that_are_gone_cannot_be_read(tables: Database, again: Again) -> None:
    """It is told since when they are."""
    play(received(minutely(5)), tables)
    tables.client.command("TRUNCATE TABLE bronze_frames")
    with pytest.raises(RebuildError, match="frames of 2025-06-15"):
        again()
    assert scratches(tables) == []


def test_a_failure_leaves_nothing_behind(
    tables: Database, again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database beside is dropped all the same."""

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    play(received(minutely(5)), tables)
    monkeypatch.setattr(rebuilding, "compare", fail)
    with pytest.raises(RuntimeError, match="no"):
        again()
    assert scratches(tables) == []


def test_little_memory_gives_the_same(
    tables: Database, again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the frames are cut."""
    play(received(minutely(90)), tables)
    monkeypatch.setattr(source, "CHUNK_BYTES", 3_000)
    assert again().same


def test_the_hash_is_that_of_the_documented_query(tables: Database, again: Again) -> None:
    """Users compute it themselves; no order, part or clock of ours is in it."""
    play(received(minutely(30)), tables)
    query = """
        SELECT count() AS rows, lower(leftPad(hex(sum(content)), 32, '0')) AS hash
        FROM silver_content WHERE toDate(timestamp) = '2025-06-15'
    """
    before = tables.query(query).row(0)
    (day,) = [day for day in again().days if day.table == "silver_trades"]
    assert (day.stored.rows, day.stored.hash) == before
    tables.client.command("CREATE TABLE kept AS silver_trades")
    tables.client.command("INSERT INTO kept SELECT * FROM silver_trades")
    tables.client.command("TRUNCATE TABLE silver_trades")
    for odd in (1, 0):
        tables.client.command(
            "INSERT INTO silver_trades SELECT * REPLACE (now64(6) + 1 AS inserted_at) FROM kept "
            f"WHERE sequence % 2 = {odd} ORDER BY sequence DESC"
        )
    assert tables.query(query).row(0) == before


@pytest.mark.parametrize(
    ("table", "view", "clocks"),
    [
        ("silver_trades", "silver_content", {"inserted_at"}),
        ("ohlcv", "ohlcv_content", {"updated_at", "revision"}),
    ],
)
def test_every_column_is_in_the_hash(
    tables: Database, table: str, view: str, clocks: set[str]
) -> None:
    """But what a clock of ours has a part in: what is added to a table must be added there."""
    columns = tables.query(
        f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
    )["name"]
    text = tables.query(f"SELECT create_table_query FROM system.tables WHERE name = '{view}'")
    hashed = re.search(r"sipHash128\((.*)\)\) AS content", text[-1].item(0, 0))
    assert hashed
    names = set(re.findall(r"\w+", hashed[1]))
    assert set(columns) - names == clocks


def test_the_command_tells_it_all(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 the same, 1 not the same, 2 could not."""
    play(
        received([*minutely(9), kraken_v1(1, BEGIN + SECOND, [fill(0, BEGIN, sequence=0)])]), tables
    )
    rebuild_ = ("rebuild", "--from", "2025-06-15T10:00", "--to", "2025-06-15T10:02:00")
    assert run(monkeypatch, engine_path, tables, *rebuild_, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["same"], found["frames"]) == (True, 10)
    assert [(d["table"], d["day"], d["stored"]["rows"], d["same"]) for d in found["days"]] == [
        ("silver_trades", "2025-06-15", 7, True),
        ("ohlcv", "2025-06-15", 3, True),
    ]
    assert run(monkeypatch, engine_path, tables, *rebuild_) == 0
    assert "The same." in capsys.readouterr().out
    tables.client.command("DELETE FROM silver_trades WHERE sequence = 103")
    assert run(monkeypatch, engine_path, tables, *rebuild_) == 1
    shown = capsys.readouterr().out
    assert "differs" in shown
    assert "silver_trades binance BTC/USDT 2025-06-15 10:00:40.000000 103: only_rebuilt" in shown
    tables.client.command("TRUNCATE TABLE bronze_frames")
    assert run(monkeypatch, engine_path, tables, *rebuild_) == 2
    assert "not stored any more" in capsys.readouterr().err
    assert (
        run(
            monkeypatch,
            engine_path,
            tables,
            "rebuild",
            "--from",
            "2026-01-01",
            "--to",
            "2025-01-01",
        )
        == 2
    )
    assert "--from is not before --to" in capsys.readouterr().err
