"""verify: the check of frames finds each trade that is neither stored nor a dead letter."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FrameBatch
from candlewax.core.schema import FRAMES
from candlewax.verification import frame_check
from candlewax.verification.frame_check import find_missing_trades
from candlewax.verification.verify import report, verify
from tests.support.playing import clear, play

TIME_MS = 1_789_473_605_000


def _spot(number: int, price: str = "1.50") -> str:
    return (
        f'{{"e":"trade","E":1,"s":"ETHUSDT","t":{number},"p":"{price}","q":"2","T":{TIME_MS},'
        '"m":false,"M":true}'
    )


def _v2(*trades: tuple[int, str]) -> str:
    rows = ",".join(
        f'{{"symbol":"ETH/EUR","side":"sell","price":{price},"qty":1.00000000,'
        f'"ord_type":"limit","trade_id":{number},"timestamp":"2026-09-15T12:00:05.000001Z"}}'
        for number, price in trades
    )
    return f'{{"channel":"trade","type":"update","data":[{rows}]}}'


FEEDS: dict[str, list[tuple[str, str]]] = {
    "binance": [
        ("b0", _spot(1)),
        ("b0", f'{{"stream":"x","data":{_spot(2)}}}'),
        ("b0", _spot(3, "0")),
        ("b0", '{"result":null,"id":1}'),
        ("b1", _spot(1, "1.5")),
        (
            "rest/ETHUSDT",
            f'[{{"id":3,"price":"1.5","qty":"2.0","quoteQty":"3","time":{TIME_MS},'
            '"isBuyerMaker":false,"isBestMatch":true},'
            f'{{"id":4,"price":"-1","qty":"2.0","quoteQty":"3","time":{TIME_MS},'
            '"isBuyerMaker":true,"isBestMatch":true}]',
        ),
        (
            "dump/ETHUSDT",
            f"id,price,qty,quote_qty,time,is_buyer_maker,is_best_match\n"
            f"1,1.5,2,3,{TIME_MS}777,False,True\n5,1.5,2,3,{TIME_MS}000,True,True\nnone\n",
        ),
    ],
    "binance_usdm": [
        ("u0", _spot(1).replace('"M":true', '"X":"MARKET"')),
        ("u0", _spot(2, "0").replace('"q":"2"', '"q":"0","X":"NA"').replace(',"M":true', "")),
    ],
    "kraken": [
        ("k0", _v2((7, "0.1"), (8, "1e-7"), (9, "0"), (10, "12345678.123456789012"))),
        ("k0", '[0,[["1.0","2.0","1789473605.000001","b","l",""],'
               '["1.0","2.0","1789473605.000001","b","l",""],'
               '["1.0","x","1789473605.000002","s","m","note"]],"trade","XBT/EUR"]'),
        ("k0", '{"channel":"heartbeat"}'),
        (
            "rest/ETH/EUR",
            '{"error":[],"result":{"XETHZEUR":[["0.10","1.0",1789473605.0000021,"s","m","",7],'
            '["0.2","1.0",1789473606.5,"b","m","",11]],"last":"1789473606500000000"}}',
        ),
    ],
    "coinbase": [
        (
            "c0",
            '{"channel":"market_trades","client_id":"","timestamp":"2026-09-15T12:00:20Z",'
            '"sequence_num":0,"events":[{"type":"snapshot","trades":['
            '{"trade_id":"21","product_id":"ETH-USD","price":"2.5","size":"1","side":"BUY",'
            '"time":"2026-09-15T12:00:05.123456789Z"}]},{"type":"update","trades":['
            '{"trade_id":"22","product_id":"ETH-USD","price":"2.5","size":"1","side":"SELL",'
            '"time":"2026-09-15T14:00:05+02:00"}]}]}',
        ),
        (
            "c1",
            '{"type":"match","trade_id":23,"side":"buy","size":"0.1","price":"2.6",'
            '"product_id":"ETH-USD","sequence":1,"time":"2026-09-15T12:00:05.000000Z"}',
        ),
        (
            "rest/ETH-USD",
            '[{"time":"2026-09-15T12:00:05.123456Z","trade_id":21,"price":"2.50","size":"1.0",'
            '"side":"buy"}]',
        ),
    ],
}  # fmt: skip

STORED = {
    ("binance", "1"), ("binance", "2"), ("binance", "3"), ("binance", "5"), ("binance_usdm", "1"),
    ("binance_usdm", "2"), ("kraken", "7"), ("kraken", "8"), ("kraken", "10"),
    ("kraken", "1789473605.000001_1.0_2.0_b_l_"), ("kraken", "1789473605.000001_1.0_2.0_b_l_#1"),
    ("kraken", "11"), ("coinbase", "21"), ("coinbase", "22"), ("coinbase", "23"),
}  # fmt: skip


def _batches() -> list[FrameBatch]:
    items = []
    for exchange, frames in FEEDS.items():
        rows = [
            ((TIME_MS + 60_000 * (n // 3)) * 1_000_000 + n, connection, n, text)
            for n, (connection, text) in enumerate(frames)
        ]
        items.append(FrameBatch(exchange, pl.DataFrame(rows, schema=FRAMES, orient="row")))
    return items


@pytest.fixture
def filled(tables: Database) -> Iterator[Database]:
    """Frames of each kind and source; some trades are dead letters or repeats."""
    clear(tables)
    play(_batches(), tables)
    yield tables
    clear(tables)


def stored_ids(tables: Database) -> set[tuple[str, str]]:
    """Return exchange and id of each stored trade."""
    rows = tables.query("SELECT exchange, trade_id FROM silver_trades FINAL").rows()
    return {(exchange, trade_id) for exchange, trade_id in rows}


@pytest.mark.parametrize(
    ("received", "stored", "missing"),
    [(999, 1_000, 0), (999, 1_001, 1), (1_000, 999, 0), (1_000, 998, 1), (999, 999, 0)],
    ids=["one later", "two later", "one earlier", "two earlier", "equal"],
)
def test_trade_may_be_stored_one_microsecond_off(
    tables: Database, received: int, stored: int, missing: int
) -> None:
    """Also across the edge of a millisecond. Times are microseconds within a second."""
    clear(tables)
    second = datetime(2026, 9, 15, 12, 0, 5, tzinfo=UTC)
    frame = {
        "exchange": "kraken", "connection": "k0", "source": "k0", "source_offset": 1,
        "received_at": second, "kind": "trade", "trades": 1,
        "frame": _v2((7, "0.1")).replace("05.000001Z", f"05.{received:06}Z"),
    }  # fmt: skip
    trade = {
        "exchange": "kraken", "native_symbol": "ETH/EUR", "trade_id": "7", "side": "SELL",
        "price": Decimal("0.1"), "quantity": Decimal(1),
        "timestamp": second + timedelta(microseconds=stored),
    }  # fmt: skip
    for table, row in (("bronze_frames", frame), ("silver_trades", trade)):
        tables.client.insert(table, [list(row.values())], column_names=list(row))
    checked, total, _ = find_missing_trades(tables.client, 100)
    assert (checked, total) == (1, missing)
    clear(tables)


def missing_ids(tables: Database) -> set[tuple[str, str]]:
    """Return exchange and id of each trade that the check reports as missing."""
    _, total, rows = find_missing_trades(tables.client, 100)
    assert total == len(rows)
    return {(row["exchange"], row["trade_id"]) for row in rows}


def test_verify_accepts_frames_of_every_kind(filled: Database) -> None:
    """Websocket, REST and dump; repeats in other units; bad trades beside good ones."""
    assert stored_ids(filled) == STORED
    checked, missing, _ = find_missing_trades(filled.client, 100)
    (trade_count,) = filled.query("SELECT sum(trades) AS n FROM bronze_frames FINAL")["n"].to_list()
    assert (checked, missing) == (trade_count, 0)
    assert verify(filled.client).parts["frames"].mismatches == 0


def test_frame_that_is_stored_twice_counts_once(filled: Database) -> None:
    """A replay stores its frames again; until ClickHouse merges them both rows are there."""
    before = find_missing_trades(filled.client, 100)
    filled.client.command("SYSTEM STOP MERGES bronze_frames")
    filled.client.command("INSERT INTO bronze_frames SELECT * FROM bronze_frames")
    try:
        assert find_missing_trades(filled.client, 100) == before
    finally:
        filled.client.command("SYSTEM START MERGES bronze_frames")


@pytest.mark.parametrize("half", [0, 1])
def test_verify_names_missing_trades_of_a_frame(filled: Database, half: int) -> None:
    """From any source, and no other trade."""
    deleted = set(sorted(STORED)[half::2])
    ids = ", ".join(f"('{exchange}', '{trade_id}')" for exchange, trade_id in deleted)
    filled.client.command(
        f"ALTER TABLE silver_trades DELETE WHERE (exchange, trade_id) IN ({ids}) "
        "SETTINGS mutations_sync = 1"
    )
    assert missing_ids(filled) == deleted


@pytest.mark.parametrize(
    "change",
    ["price = price + 0.000000000001", "quantity = quantity * 2", "side = 3 - toInt8(side)",
     "native_symbol = 'ETHUSDC'"],
)  # fmt: skip
def test_verify_names_a_trade_stored_with_other_content(filled: Database, change: str) -> None:
    """A trade with the same id and other content is no repeat."""
    filled.client.command(
        f"ALTER TABLE silver_trades UPDATE {change} WHERE exchange = 'binance' AND trade_id = '2' "
        "SETTINGS mutations_sync = 1"
    )
    assert missing_ids(filled) == {("binance", "2")}


def test_missing_dead_letter_leaves_its_trade_missing(filled: Database) -> None:
    """For bad trades within frames of good ones."""
    filled.client.command(
        "ALTER TABLE dead_letters DELETE WHERE scope = 'trade' AND exchange = 'kraken' "
        "SETTINGS mutations_sync = 1"
    )
    assert missing_ids(filled) == {
        ("kraken", "9"),
        ("kraken", "1789473605.000002_1.0_x_s_m_note"),
    }


def test_report_names_the_frame_of_a_missing_trade(filled: Database) -> None:
    """By source, partition and offset."""
    filled.client.command(
        "ALTER TABLE silver_trades DELETE WHERE trade_id = '22' SETTINGS mutations_sync = 1"
    )
    result = verify(filled.client)
    assert not result.equal
    assert result.parts["frames"].mismatches == 1
    assert "  coinbase ETH-USD 22 c0 0 0 1: not_stored" in report(result)


def test_check_in_small_spans_covers_every_frame(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result does not depend on the number of trades of a span."""
    everything = find_missing_trades(filled.client, 100)
    monkeypatch.setattr(frame_check, "CHUNK_TRADES", 1)
    assert find_missing_trades(filled.client, 100) == everything


def test_trade_stored_a_moment_later_is_not_missing(filled: Database) -> None:
    """A running process has stored the frame and not yet its trades; the check tries again."""
    clear(filled)
    play(_batches(), filled)
    filled.client.command("CREATE TABLE aside AS silver_trades")
    filled.client.command("INSERT INTO aside SELECT * FROM silver_trades")
    filled.client.command("TRUNCATE TABLE silver_trades")
    try:
        pauses: list[float] = []

        def store(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                filled.client.command("INSERT INTO silver_trades SELECT * FROM aside")

        _, missing, _ = find_missing_trades(filled.client, 100, (1.0, 4.0), store)
        assert (missing, pauses) == (0, [1.0, 4.0])
    finally:
        filled.client.command("DROP TABLE aside")
