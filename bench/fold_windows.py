"""Measurement of six Bytewax `fold_window` steps, trade by trade; nothing is stored."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
import msgspec
from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSink, TestingSource, run_main

from bench.stopwatch import Stopwatch, Timing

LENGTHS = (60, 300, 900, 1800, 3600, 86400)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Trade = tuple[datetime, int, Decimal, Decimal, bool]
"""Time, sequence, price, quantity, whether the taker bought."""


def run(log: Path, count: int) -> Timing:
    """Return the time for the first `count` frames of a log."""
    with log.open(encoding="utf-8") as file:
        frames = [
            line.rstrip("\n").split("\t")[4] for line, _ in zip(file, range(count), strict=False)
        ]
    flow = Dataflow("windows")
    keyed = op.flat_map_batch("decode", op.input("in", flow, TestingSource(frames, 1000)), decode)
    candles: list[Any] = []
    for length in LENGTHS:
        windows = win.fold_window(
            f"fold_{length}",
            keyed,
            win.EventClock(lambda trade: trade[0], timedelta(seconds=5), to_system_utc=_never),
            win.TumblingWindower(timedelta(seconds=length), EPOCH),
            list,
            _fold,
            _merge,
        )
        op.output(f"out_{length}", windows.down, TestingSink(candles))
    stopwatch = Stopwatch()
    run_main(flow)
    timing = stopwatch.timing()
    total = sum(candle[4] for _, (_, candle) in candles)
    if total != len(LENGTHS) * count:
        raise RuntimeError(f"the windows counted {total} trades")
    return timing


def _never(_: datetime) -> None:
    return None


_decode: Callable[[str], Any] = msgspec.json.Decoder().decode


def decode(frames: list[str]) -> list[tuple[str, Trade]]:
    """Return the trades of frames, keyed by symbol."""
    trades = []
    for frame in frames:
        data = _decode(frame)["data"]
        at = EPOCH + timedelta(milliseconds=data["T"])
        if data["X"] == "MARKET":
            trade = (at, data["t"], Decimal(data["p"]), Decimal(data["q"]), not data["m"])
            trades.append((data["s"], trade))
    return trades


def _fold(candle: list[Any], trade: Trade) -> list[Any]:
    """Return the candle with one more trade; its first and last trade follow time and sequence."""
    at, number, price, quantity, bought = trade
    place, quote = (at, number), price * quantity
    if not candle:
        buys = [quantity, quote] if bought else [Decimal(0), Decimal(0)]
        return [price, price, price, price, 1, quantity, quote, *buys, place, place]
    if place < candle[9]:
        candle[0], candle[9] = price, place
    if place > candle[10]:
        candle[3], candle[10] = price, place
    candle[1] = max(candle[1], price)
    candle[2] = min(candle[2], price)
    candle[4] += 1
    candle[5] += quantity
    candle[6] += quote
    if bought:
        candle[7] += quantity
        candle[8] += quote
    return candle


def _merge(first: list[Any], other: list[Any]) -> list[Any]:
    return first or other
