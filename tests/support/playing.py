"""Helpers that play frames through the real dataflows into a real database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSource, run_main
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.core import instruments
from candlewax.core.frames import FrameBatch
from candlewax.core.rows.records import Frame as FrameRow
from candlewax.core.schema import FRAMES
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv
from tests.support import oracle
from tests.support.oracle import Fill

INSTRUMENTS = instruments.load(Path(__file__).parents[2] / "instruments.toml")

FIELDS = (
    "open", "high", "low", "close", "volume", "quote_volume", "trade_count", "buy_volume",
    "buy_quote_volume", "open_time", "close_time", "first_sequence", "last_sequence", "closed",
    "version",
)  # fmt: skip

CERTIFICATE = ("missing", "status", "feed_down_ms", "repaired", "revision")

UNSEEN = ("gaps", "outages")
"""Tables of what was not seen."""

EPOCH_ZERO = 1_750_000_000_000_000
"""2025-06-15 15:06:40 UTC, in microseconds."""


@dataclass(frozen=True)
class Frame:
    """A frame and the trades it says."""

    exchange: str
    connection: str
    seq: int
    recv_us: int
    text: str
    fills: tuple[Fill, ...]


def binance(seq: int, recv_us: int, fill: Fill, connection: str = "b0") -> Frame:
    """Binance reports one trade a frame."""
    data = {
        "e": "trade", "E": fill.time // 1000, "s": fill.symbol.replace("/", ""),
        "t": fill.sequence, "p": str(fill.price), "q": str(fill.quantity),
        "T": fill.time // 1000, "m": not fill.bought, "M": True,
    }  # fmt: skip
    text = json.dumps({"stream": "x@trade", "data": data}, separators=(",", ":"))
    return Frame("binance", connection, seq, recv_us, text, (replace(fill, offset=seq),))


def kraken_v1(seq: int, recv_us: int, fills: Sequence[Fill]) -> Frame:
    """Kraken's first protocol reports several trades a frame, without ids: the
    content makes one, and a number tells equal fills of a frame apart.
    """
    rows = [
        [str(f.price), str(f.quantity), f"{f.time // 10**6}.{f.time % 10**6:06}",
         "b" if f.bought else "s", "l", ""]
        for f in fills
    ]  # fmt: skip
    text = json.dumps([0, rows, "trade", "XBT/USD"], separators=(",", ":"))
    ids = ["_".join((time, price, size, *rest)) for price, size, time, *rest in rows]
    again = [ids[:n].count(name) for n, name in enumerate(ids)]
    placed = tuple(
        replace(f, offset=seq, index=n, trade_id=ids[n] + (f"#{again[n]}" if again[n] else ""))
        for n, f in enumerate(fills)
    )
    return Frame("kraken", "k0", seq, recv_us, text, placed)


def received(frames: Sequence[Frame], cuts: Sequence[int] = ()) -> list[FrameBatch]:
    """The frames in batches cut at these places, each batch of one exchange.

    Two of three batches are of rows, the others of columns, so that one follows the other.
    """
    items: list[FrameBatch] = []
    bounds = [0, *sorted(set(cuts)), len(frames)]
    for begin, end in pairwise(bounds):
        part = frames[begin:end]
        for exchange in dict.fromkeys(frame.exchange for frame in part):
            rows = [
                (frame.recv_us * 1000, frame.connection, frame.seq, frame.text)
                for frame in part
                if frame.exchange == exchange
            ]
            if (len(items) + len(frames)) % 3:
                read = [FrameRow(*row, row[1], 0, row[2]) for row in rows]
                items.append(FrameBatch(exchange, rows=read))
            else:
                items.append(FrameBatch(exchange, pl.DataFrame(rows, schema=FRAMES, orient="row")))
    return items


def play(items: Sequence[object], tables: Database, recovery: Path | None = None) -> Counters:
    """Run the whole pipeline over batches; with `recovery`, each batch is an epoch."""
    tally = Counters()
    feed: Any = TestingSource(items, batch_size=1)
    made = builder.build_components(feed, INSTRUMENTS, INSTRUMENTS.exchanges, tables, tally)
    config = RecoveryConfig(str(recovery)) if recovery else None
    run_main(ohlcv.build(made), epoch_interval=timedelta(0), recovery_config=config)
    return tally


def silver(tables: Database) -> dict[tuple[str, str, str], tuple[object, ...]]:
    """The stored trades by identity."""
    rows = tables.query(
        """
        SELECT exchange, symbol, trade_id, sequence, toUnixTimestamp64Micro(timestamp),
            toString(side), price, quantity, price * quantity = quote_volume, conditions
        FROM silver_trades FINAL
        """
    ).rows()
    assert len({row[:3] for row in rows}) == len(rows)
    return {row[:3]: row[3:] for row in rows}


def expected_silver(fills: Sequence[Fill]) -> dict[tuple[str, str, str], tuple[object, ...]]:
    """The trades that must be stored."""
    return {
        fill.identity: (
            fill.sequence,
            fill.time,
            "BUY" if fill.bought else "SELL",
            fill.price,
            fill.quantity,
            True,
            list(fill.conditions),
        )
        for fill in oracle.distinct(fills)
    }


def gold(tables: Database) -> dict[oracle.Window, dict[str, Any]]:
    """The stored candles."""
    rows = tables.query(
        f"""
        SELECT toString(timeframe) AS timeframe, exchange, symbol,
            toUnixTimestamp(window_start) AS window_start,
            {", ".join(FIELDS)}
        FROM ohlcv FINAL
        """
    ).rows(named=True)
    for row in rows:
        for name in ("open_time", "close_time"):
            row[name] = (row[name] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    return {
        (row["timeframe"], row["exchange"], row["symbol"], row["window_start"]): {
            name: row[name] for name in FIELDS
        }
        for row in rows
    }


def certificates(tables: Database) -> dict[oracle.Window, dict[str, Any]]:
    """What the stored candles say of what they miss."""
    rows = tables.query(
        f"""
        SELECT toString(timeframe) AS timeframe, exchange, symbol,
            toUnixTimestamp(window_start) AS window_start,
            {", ".join(CERTIFICATE).replace("status", "toString(status) AS status")}
        FROM ohlcv FINAL
        """
    ).rows()
    return {row[:4]: dict(zip(CERTIFICATE, row[4:], strict=True)) for row in rows}


def check_revisions(tables: Database) -> None:
    """What is known now of closed candles is what is stored of them."""
    names = ", ".join(("timeframe", "exchange", "symbol", "window_start", *FIELDS, *CERTIFICATE))
    sides = (
        f"SELECT {names} FROM ohlcv FINAL WHERE closed",
        f"SELECT {names.replace('closed', 'true')} FROM ohlcv_as_of(t = now64(6))",
    )
    stored, known = (set(tables.query(sql).rows()) for sql in sides)
    assert stored == known


def expected_gold(fills: Sequence[Fill]) -> dict[oracle.Window, dict[str, Any]]:
    """The candles that must be stored."""
    return oracle.candles(oracle.distinct(fills), oracle.watermarks(fills))


def all_fills(frames: Sequence[Frame]) -> list[Fill]:
    """What the frames say, in their order."""
    return [fill for frame in frames for fill in frame.fills]


def check(frames: Sequence[Frame], tables: Database, outages: oracle.Outages | None = None) -> None:
    """The tables hold exactly what these frames say."""
    fills = all_fills(frames)
    assert silver(tables) == expected_silver(fills)
    assert gold(tables) == expected_gold(fills)
    assert certificates(tables) == oracle.certificates(fills, outages)
    check_revisions(tables)
    (stored,) = tables.query(
        "SELECT count(), sum(trades), sum(trades) - sum(duplicates) FROM bronze_frames FINAL"
    ).rows()
    identities = {(f.exchange, f.connection, f.seq, f.recv_us) for f in frames}
    assert stored[0] == len(identities)
    assert stored[2] == len(oracle.distinct(fills))
    check_gaps(fills, tables)
    check_watermarks(fills, tables)


def check_watermarks(fills: Sequence[Fill], tables: Database) -> None:
    """The table says which candles are closed: windows end on whole minutes, so it need not
    be nearer than that.
    """
    rows = tables.query(
        """
        SELECT exchange, toUnixTimestamp64Micro(max(watermark)) FROM watermarks GROUP BY exchange
        """
    ).rows()
    expected = oracle.watermarks(fills)
    assert {name: mark // 60_000_000 for name, mark in rows} == {
        name: mark // 60_000_000 for name, mark in expected.items()
    }


def check_gaps(fills: Sequence[Fill], tables: Database) -> None:
    """The table of gaps tells of each number that is missing, and of none that is not,
    whatever batches it was found in.
    """
    seen = {(fill.exchange, fill.symbol, fill.sequence) for fill in fills if fill.sequence}
    rows = tables.query(
        """
        SELECT exchange, symbol, first_sequence, last_sequence, min(missing) AS missing,
            toString(max(state)) AS state
        FROM gaps
        GROUP BY exchange, symbol, first_sequence, last_sequence
        """
    ).rows()
    told = set()
    for exchange, symbol, first, last, missing, state in rows:
        numbers = {(exchange, symbol, number) for number in range(first, last + 1)}
        assert missing == len(numbers - seen)
        assert state == ("open" if missing else "repaired")
        told |= numbers
    for exchange, symbol in {key[:2] for key in seen}:
        own = {number for *key, number in seen if (exchange, symbol) == tuple(key)}
        inside = {(exchange, symbol, number) for number in range(min(own), max(own) + 1)}
        assert inside - seen <= told
        assert {key for key in told if key[:2] == (exchange, symbol)} <= inside


MORE = ("ohlcv_revisions", *UNSEEN)


def clear(tables: Database) -> None:
    """Empty all tables."""
    for table in ("bronze_frames", "silver_trades", "dead_letters", "ohlcv", "watermarks", *MORE):
        tables.client.command(f"TRUNCATE TABLE {table}")


_PRICES = st.integers(1, 10**7).map(lambda n: Decimal(n).scaleb(-2))
_QUANTITIES = st.integers(1, 10**6).map(lambda n: Decimal(n).scaleb(-4))
_STEPS = st.one_of(
    st.integers(0, 3_000),
    st.integers(0, 200_000_000),
    st.sampled_from([60_000_000, 3_600_000_000, 86_400_000_000]),
)


@st.composite
def markets(draw: st.DrawFn) -> list[Frame]:
    """Frames of two exchanges: ties, late trades, repeats, several trades a frame."""
    frames: list[Frame] = []
    time = EPOCH_ZERO
    ids = {"BTC/USDT": 100, "ETH/USDT": 2**40}
    for seq in range(draw(st.integers(1, 25))):
        time += draw(_STEPS) // 1000 * 1000
        late = draw(st.sampled_from([0, 0, 0, 1_000, 90_000_000, 5_000_000_000]))
        if frames and draw(st.integers(0, 6)) == 0:
            again = draw(st.sampled_from(frames))
            frames.append(replace(again, seq=1000 + seq, recv_us=time))
        elif draw(st.booleans()):
            symbol = draw(st.sampled_from(sorted(ids)))
            ids[symbol] += draw(st.sampled_from([1, 1, 1, 2]))
            fill = Fill(
                "binance", symbol, str(ids[symbol]), ids[symbol], time - late,
                draw(st.booleans()), draw(_PRICES), draw(_QUANTITIES),
            )  # fmt: skip
            frames.append(binance(seq, time, fill, draw(st.sampled_from(["b0", "b1"]))))
        else:
            frames.append(kraken_v1(seq, time, _kraken_fills(draw, time - late)))
    return frames


def _kraken_fills(draw: st.DrawFn, time: int) -> list[Fill]:
    fills = []
    for _ in range(draw(st.integers(1, 3))):
        price, quantity = draw(_PRICES), draw(_QUANTITIES)
        fill = Fill("kraken", "BTC/USD", "", 0, time, draw(st.booleans()), price, quantity)
        fills.append(fill)
    return fills
