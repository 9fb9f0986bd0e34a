"""Candles by six of Bytewax's own `fold_window`, trade by trade. It stores nothing."""

import time
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

LENGTHS = (60, 300, 900, 1800, 3600, 86400)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Trade = tuple[datetime, int, Decimal, Decimal, bool]
"""Time, number, price, quantity, whether the taker bought."""


def run(log: Path, count: int) -> float:
    """Seconds for so many frames of a log."""
    with log.open(encoding="utf-8") as file:
        frames = [
            line.rstrip("\n").split("\t")[4] for line, _ in zip(file, range(count), strict=False)
        ]
    flow = Dataflow("windows")
    keyed = op.flat_map_batch("decode", op.input("in", flow, TestingSource(frames, 1000)), decode)
    counted: list[Any] = []
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
        op.output(f"out_{length}", windows.down, TestingSink(counted))
    began = time.perf_counter()
    run_main(flow)
    seconds = time.perf_counter() - began
    total = sum(candle[4] for _, (_, candle) in counted)
    if total != len(LENGTHS) * count:
        raise RuntimeError(f"the windows counted {total} trades")
    return seconds


def _never(_: datetime) -> None:
    return None


_decode: Callable[[str], Any] = msgspec.json.Decoder().decode


def decode(frames: list[str]) -> list[tuple[str, Trade]]:
    """Frames into trades, keyed by symbol."""
    found = []
    for frame in frames:
        data = _decode(frame)["data"]
        at = EPOCH + timedelta(milliseconds=data["T"])
        if data["X"] == "MARKET":
            trade = (at, data["t"], Decimal(data["p"]), Decimal(data["q"]), not data["m"])
            found.append((data["s"], trade))
    return found


def _fold(candle: list[Any], trade: Trade) -> list[Any]:
    """The fields of a candle of `ohlcv`: the first and last trade by time and number."""
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


def _merge(one: list[Any], other: list[Any]) -> list[Any]:
    return one or other
