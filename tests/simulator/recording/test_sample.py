"""The bundled sample: what it is made of, and that it shows all it is meant to show."""

import json
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
import zstandard

from candlewax.core import frame_log
from candlewax.core.schema import KIND_CONTROL, KIND_DEAD, KIND_TRADE
from candlewax.core.trades.decode import decode
from candlewax.data import MANIFEST, SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.simulator.frames.trades import iso
from candlewax.simulator.recording import sample
from tests.support import simulator_reader
from tests.support.decoding import INSTRUMENTS
from tests.support.oracle import Fill, distinct
from tests.support.simulator_reader import Frame

MINUTE_US = 60_000_000


@pytest.fixture(scope="module")
def log() -> bytes:
    """The bundled log, unpacked."""
    return zstandard.ZstdDecompressor().decompress(SAMPLE.read_bytes())


@pytest.fixture(scope="module")
def frames(log: bytes) -> list[Frame]:
    """The bundled log, read the slow way."""
    return simulator_reader.frames(log.decode())


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """What the maker of the log says is in it."""
    found: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return found


def fills(frames: list[Frame], exchange: str) -> list[Fill]:
    return [fill for frame in frames if frame.exchange == exchange for fill in frame.fills]


def test_the_seed_makes_the_bundled_files(log: bytes) -> None:
    """The log and its manifest are what the seed gives, to the byte."""
    sent = sample.sample()
    assert "".join(sample.lines(sent)).encode() == log
    told = json.dumps(sample.manifest(sent), indent=1) + "\n"
    assert told == MANIFEST.read_text(encoding="utf-8")


def test_the_sample_is_small() -> None:
    """The sample takes at most three megabytes."""
    assert SAMPLE.stat().st_size + MANIFEST.stat().st_size < 3_000_000


def test_frames_come_in_order(frames: list[Frame]) -> None:
    """Receive times never go back and each connection counts its frames from zero."""
    assert all(before.recv_us <= after.recv_us for before, after in pairwise(frames))
    seqs = defaultdict(list)
    for frame in frames:
        seqs[frame.connection].append(frame.seq)
    assert all(found == list(range(len(found))) for found in seqs.values())


def test_the_manifest_counts_what_came(frames: list[Frame], manifest: dict[str, Any]) -> None:
    """Reading the frames one by one gives the counts of the manifest by exchange."""
    assert {frame.exchange for frame in frames} == set(manifest["exchanges"])
    for exchange, told in manifest["exchanges"].items():
        there = [frame for frame in frames if frame.exchange == exchange]
        kinds = Counter(frame.kind for frame in there)
        delivered = fills(frames, exchange)
        once = distinct(delivered)
        assert told == {
            "frames": len(there),
            "trade_frames": kinds["trade"],
            "control_frames": kinds["control"],
            "dead_frames": kinds["dead"],
            "bad_trades_in_good_frames": sum(f.bad for f in there if not f.dead),
            "trades": len(delivered),
            "distinct_trades": len(once),
            "duplicates": len(delivered) - len(once),
            "missing_ids": sum(map(missing, by_symbol(once).values())),
            "first_time": iso(min(fill.time for fill in once)),
            "last_time": iso(max(fill.time for fill in once)),
        }


def test_the_manifest_sums_what_was_traded(frames: list[Frame], manifest: dict[str, Any]) -> None:
    """Reading the frames one by one gives the trades and volumes of the manifest."""
    once = distinct(fill for frame in frames for fill in frame.fills)
    found = {
        f"{exchange} {symbol}": {
            "trades": len(some),
            "with_conditions": sum(bool(fill.conditions) for fill in some),
            "volume": sum((fill.quantity for fill in some), Decimal(0)),
            "missing_ids": missing(some),
        }
        for exchange in EXCHANGES
        for symbol, some in by_symbol(f for f in once if f.exchange == exchange).items()
    }
    assert found == {
        name: {**told, "volume": Decimal(told["volume"])}
        for name, told in manifest["markets"].items()
    }


def by_symbol(fills: Any) -> dict[str, list[Fill]]:
    found = defaultdict(list)
    for fill in fills:
        found[fill.symbol].append(fill)
    return dict(found)


def missing(fills: list[Fill]) -> int:
    ids = {fill.sequence for fill in fills}
    return 0 if ids == {0} else max(ids) - min(ids) + 1 - len(ids)


def test_every_market_trades(frames: list[Frame], manifest: dict[str, Any]) -> None:
    """All subscribed markets trade, some hours long and on several connections, about
    100,000 trades together.
    """
    subscribed = {
        f"{exchange} {symbol}"
        for exchange, natives in simulator_reader.SUBSCRIBED.items()
        for symbol in natives.values()
    }
    assert len(subscribed) == 34
    assert subscribed <= set(manifest["markets"])
    assert 95_000 < sum(told["trades"] for told in manifest["markets"].values()) < 110_000
    assert len({frame.connection for frame in frames}) > 6
    assert 4 * 3600 < (frames[-1].recv_us - frames[0].recv_us) / 1_000_000 < 6 * 3600


def test_frames_hold_several_trades(frames: list[Frame]) -> None:
    """On Kraken and Coinbase a frame may hold several trades: oldest first on the one,
    newest first on the other.
    """
    for exchange, direction in (("kraken", 1), ("coinbase", -1)):
        several = [f for f in frames if f.exchange == exchange and len(f.fills) > 1]
        numbered = [[fill.sequence for fill in f.fills] for f in several if f.fills[0].sequence]
        assert len(numbered) > 1_000
        assert all(ids == sorted(ids)[::direction] for ids in numbered)


def test_a_frame_without_ids_holds_equal_fills(frames: list[Frame]) -> None:
    """Kraken's older protocol reports fills that nothing tells apart."""
    twins = [
        frame
        for frame in frames
        if frame.connection == "kraken-v1-0"
        and len({(f.time, f.price, f.quantity, f.bought) for f in frame.fills}) < len(frame.fills)
    ]
    assert len(twins) > 10


def test_some_ids_never_come(manifest: dict[str, Any]) -> None:
    """One market lost trades for no visible reason, another one while it was down."""
    lost = {name: told["missing_ids"] for name, told in manifest["markets"].items()}
    assert {name for name, count in lost.items() if count} == {
        "binance LINK/USDT",
        "coinbase ETH/BTC",
    }


def test_trades_are_repeated(frames: list[Frame]) -> None:
    """Repeats come on the same connection, on another one, and in snapshots."""
    first: dict[tuple[str, str, str], str] = {}
    ways = set()
    for frame in frames:
        for fill in frame.fills:
            if fill.identity in first:
                same = first[fill.identity] == frame.connection
                ways.add((same, '"snapshot"' in frame.text))
            first.setdefault(fill.identity, frame.connection)
    assert ways == {(True, False), (False, False), (True, True)}


@pytest.mark.parametrize("exchange", ["binance", "kraken", "coinbase"])
def test_trades_are_out_of_order(frames: list[Frame], exchange: str) -> None:
    """A market's trades do not always come in the order of their ids."""
    highest: dict[str, int] = {}
    behind = 0
    for fill in distinct(fills(frames, exchange)):
        behind += fill.sequence < highest.get(fill.symbol, 0)
        highest[fill.symbol] = max(fill.sequence, highest.get(fill.symbol, 0))
    assert behind > 10


def test_trades_are_late(frames: list[Frame]) -> None:
    """Some trades come minutes after their minute, and some after a quarter of an hour,
    with later trades of their market before them.
    """
    minutes_late = []
    newest: dict[tuple[str, str], int] = {}
    seen: set[tuple[str, str, str]] = set()
    for frame in frames:
        for fill in frame.fills:
            market = (fill.exchange, fill.symbol)
            if fill.identity not in seen and '"snapshot"' not in frame.text:
                closed_us = fill.time // MINUTE_US * MINUTE_US + MINUTE_US
                minutes_late.append((newest.get(market, 0) - closed_us) / MINUTE_US)
            seen.add(fill.identity)
            newest[market] = max(fill.time, newest.get(market, 0))
    assert sum(1 < late < 15 for late in minutes_late) > 5
    assert sum(late > 15 for late in minutes_late) > 2


def test_control_frames_are_of_many_kinds(frames: list[Frame]) -> None:
    """Acks, heartbeats, status, order books and candles come between the trades."""
    marks = (
        '"result":null', "@kline_1m", "@bookTicker", "depthUpdate",
        '"channel":"status"', '"method":"subscribe"', '{"channel":"heartbeat"}',
        '"systemStatus"', '"subscriptionStatus"', '{"event":"heartbeat"}',
        '"channel":"subscriptions"', '"channel":"heartbeats"', '"type":"subscriptions"',
    )  # fmt: skip
    texts = [frame.text for frame in frames if frame.kind == "control"]
    assert all(any(mark in text for text in texts) for mark in marks)
    assert all(any(mark in text for mark in marks) for text in texts)


def test_some_frames_are_broken(frames: list[Frame]) -> None:
    """A handful of frames cannot be read on each exchange, or in part only."""
    dead = Counter(frame.exchange for frame in frames if frame.dead)
    partly = Counter(frame.exchange for frame in frames if frame.bad and not frame.dead)
    assert set(dead) == {"binance", "kraken", "coinbase"}
    assert set(partly) == {"kraken", "coinbase"}
    assert sum((dead + partly).values()) < 50


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm", "kraken", "coinbase"])
def test_the_program_reads_what_was_put_in(
    log: bytes, frames: list[Frame], manifest: dict[str, Any], exchange: str
) -> None:
    """Decoding gives the counts of the manifest, and trade for trade what reading the
    frames one by one gives.
    """
    some = frame_log.read(log, "sample", 0).frames.filter(pl.col("exchange") == exchange)
    decoded = decode(EXCHANGES[exchange], some.drop("line", "exchange"), INSTRUMENTS)
    told = manifest["exchanges"][exchange]
    kinds = Counter(decoded.bronze["kind"])
    assert kinds[KIND_TRADE] == told["trade_frames"]
    assert kinds[KIND_CONTROL] == told["control_frames"]
    assert kinds[KIND_DEAD] == told["dead_frames"]
    letters = told["dead_frames"] + told["bad_trades_in_good_frames"]
    assert decoded.dead_letters.height == letters
    got = decoded.trades.select(
        pl.col("symbol").cast(pl.String),
        "sequence",
        pl.col("timestamp").cast(pl.Int64),
        pl.col("side") == 1,
        "price",
        "quantity",
        "condition",
    )
    assert got.rows() == [
        (f.symbol, f.sequence, f.time, f.bought, f.price, f.quantity, (*f.conditions, None)[0])
        for f in fills(frames, exchange)
    ]
    once = decoded.trades.select("symbol", "trade_id").n_unique()
    assert once == told["distinct_trades"]
