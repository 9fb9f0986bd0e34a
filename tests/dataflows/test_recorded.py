"""Candles of recorded frames equal the candles that the exchanges publish."""

import csv
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from candlewax.verification.verify import check_totals, verify
from dataflows import ohlcv
from tests.support import recorded
from tests.support.oracle import Fill
from tests.support.playing import INSTRUMENTS, Frame
from tests.support.stored import check

pytestmark = recorded.needed


def replay(logs: Sequence[Path], tables: Database) -> None:
    counters = Counters()
    feed = FrameLogSource(logs, counters)
    run_main(
        ohlcv.build(
            builder.build_components(feed, INSTRUMENTS, INSTRUMENTS.exchanges, tables, counters)
        )
    )


def minutes(tables: Database, symbol: str) -> dict[int, dict[str, Any]]:
    rows = tables.query(
        """
        SELECT toUnixTimestamp(window_start) AS start, open, high, low, close, volume,
            quote_volume, trade_count, buy_volume, buy_quote_volume, vwap,
            toString(status) AS status
        FROM ohlcv_1m WHERE symbol = {symbol:String}
        """,
        {"symbol": symbol},
    ).rows(named=True)
    return {row["start"]: row for row in rows}


@pytest.mark.parametrize("asset", ["BTC", "ETH"])
def test_minutes_of_recorded_binance_equal_its_klines(
    tables: Database, tmp_path: Path, asset: str
) -> None:
    """In each field of each whole minute, across midnight and two recordings."""
    logs = [
        recorded.log(
            tmp_path / f"{day}.tsv",
            "binance_usdm",
            recorded.binance(f"binance_usdm_{asset.lower()}usdt_{day}.raw.gz"),
            "c",
        )
        for day in ("20240718", "20240719")
    ]
    replay(logs, tables)
    minutes_ = minutes(tables, f"{asset}/USDT:USDT")
    path = recorded.DATA / "klines" / f"binance_usdm_{asset}USDT_1m_20240718T2357Z.csv"
    published = list(csv.DictReader(path.read_text().splitlines()))[1:-1]
    names = {
        "open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume",
        "quote_volume": "quote_volume", "trade_count": "count",
        "buy_volume": "taker_buy_volume", "buy_quote_volume": "taker_buy_quote_volume",
    }  # fmt: skip
    assert len(published) == 7
    for kline in published:
        ours = minutes_[int(kline["open_time"]) // 1000]
        assert {name: ours[name] for name in names} == {
            name: Decimal(kline[theirs]) for name, theirs in names.items()
        }
        # Binance counts all its trades in them, those too that it leaves out of candles.
        assert ours["status"] == "complete"
    assert minutes_[min(minutes_)]["status"] == "partial"
    assert verify(tables.client).equal
    assert check_totals(tables.client) == []


def kraken_trades() -> list[list[Any]]:
    path = recorded.DATA / "kraken_rest" / "kraken_xbtusdt_trades_part1.json"
    answer = json.loads(path.read_text(), parse_float=Decimal)
    trades: list[list[Any]] = next(v for k, v in answer["result"].items() if k != "last")
    return trades


def v2(trades: list[list[Any]]) -> str:
    rows = ",".join(
        f'{{"symbol":"BTC/USDT","side":"{SIDES[side]}","price":{price},"qty":{quantity},'
        f'"ord_type":"{KINDS[kind]}","trade_id":{number},"timestamp":"{_iso(time)}"}}'
        for price, quantity, time, side, kind, _, number in trades
    )
    return f'{{"channel":"trade","type":"update","data":[{rows}]}}'


SIDES = {"b": "buy", "s": "sell"}
KINDS = {"l": "limit", "m": "market"}


def _iso(time: Decimal) -> str:
    return f"{datetime.fromtimestamp(int(time), UTC):%Y-%m-%dT%H:%M:%S}{time % 1:.6f}Z".replace(
        "0.", ".", 1
    )


def v1(trades: list[list[Any]]) -> str:
    rows = [
        [price, quantity, f"{time:.6f}", side, kind, misc]
        for price, quantity, time, side, kind, misc, _ in trades
    ]
    return json.dumps([337, rows, "trade", "XBT/USDT"], separators=(",", ":"))


@pytest.mark.parametrize("write", [v1, v2])
def test_minutes_of_recorded_kraken_equal_its_ohlc(
    tables: Database, tmp_path: Path, write: Any
) -> None:
    """In each field of each minute with trades; Kraken truncates vwap to a tenth."""
    # The fills of one moment come in one frame.
    frames = [
        (int(time * 10**9) + 40_000_000, write(list(fills)))
        for time, fills in groupby(kraken_trades(), key=lambda trade: trade[2])
    ]
    replay([recorded.log(tmp_path / "k.tsv", "kraken", frames, "k")], tables)
    minutes_ = minutes(tables, "BTC/USDT")
    path = recorded.DATA / "kraken_rest" / "kraken_xbtusdt_ohlc_1m_part1.json"
    answer = json.loads(path.read_text())
    compared = 0
    for start, *prices, vwap, volume, count in answer["result"]["XBTUSDT"]:
        # The recording of trades begins within the minute before.
        if not count or start < 1_762_795_440:
            continue
        ours = minutes_[start]
        theirs = dict(zip(("open", "high", "low", "close"), map(Decimal, prices), strict=True))
        assert {name: ours[name] for name in theirs} == theirs
        assert (ours["volume"], ours["trade_count"]) == (Decimal(volume), count)
        assert ours["vwap"].quantize(Decimal("0.1"), ROUND_DOWN) == Decimal(vwap)
        compared += 1
    assert compared == 139
    assert verify(tables.client).equal


def test_recorded_session_of_each_exchange_adds_up(tables: Database, tmp_path: Path) -> None:
    """Sessions with all their other frames give exactly their trades."""
    sessions = {
        "binance": ("BINANCE.ws.1.0.gz", 0),
        "coinbase": ("COINBASE.ws.28.0.part-a.gz", 37),
        "kraken": ("KRAKEN.ws.48.0.part-a.txt", 4),
    }
    logs = []
    expected: defaultdict[str, int] = defaultdict(int)
    for exchange, (name, _) in sessions.items():
        frames = recorded.session(name)
        expected[exchange] += len(frames)
        logs.append(recorded.log(tmp_path / f"{exchange}.tsv", exchange, frames, exchange))
    replay(logs, tables)
    rows = tables.query(
        """
        SELECT exchange, count() AS frames, sum(trades) AS trades, countIf(kind = 'dead') AS dead
        FROM bronze_frames FINAL GROUP BY exchange
        """
    ).rows()
    assert {exchange: (frames, trades, dead) for exchange, frames, trades, dead in rows} == {
        exchange: (expected[exchange], trades, 0) for exchange, (_, trades) in sessions.items()
    }
    assert check_totals(tables.client) == []


def test_recorded_day_of_spot_equals_the_oracle(tables: Database, tmp_path: Path) -> None:
    """Thousands of real trades, some of which were received in a later minute."""
    frames = recorded.binance("binance_spot_btcusdt_20230405.raw.gz")
    replay([recorded.log(tmp_path / "s.tsv", "binance", frames, "b0")], tables)
    expected = []
    for seq, (recv_ns, text) in enumerate(frames):
        data = json.loads(text, parse_float=Decimal).get("data", {})
        fills: tuple[Fill, ...] = ()
        if data.get("e") == "trade":
            fill = Fill(
                "binance", "BTC/USDT", str(data["t"]), data["t"], data["T"] * 1000,
                not data["m"], Decimal(data["p"]), Decimal(data["q"]), offset=seq,
            )  # fmt: skip
            fills = (fill,)
        expected.append(Frame("binance", "b0", seq, recv_ns // 1000, text, fills))
    assert sum(len(frame.fills) for frame in expected) == 3144
    check(expected, tables)
