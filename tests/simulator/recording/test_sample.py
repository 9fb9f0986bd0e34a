"""The bundled sample is reproducible and holds every case that it is meant to show."""

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
    """The bundled log, read frame by frame, independently of the product."""
    return simulator_reader.frames(log.decode())


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    """The manifest, written with the log."""
    content: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return content


def fills(frames: list[Frame], exchange: str) -> list[Fill]:
    return [fill for frame in frames if frame.exchange == exchange for fill in frame.fills]


def test_seed_gives_the_bundled_files_byte_by_byte(log: bytes) -> None:
    sent = sample.sample()
    assert "".join(sample.lines(sent)).encode() == log
    manifest = json.dumps(sample.manifest(sent), indent=1) + "\n"
    assert manifest == MANIFEST.read_text(encoding="utf-8")


def test_sample_takes_at_most_three_megabytes() -> None:
    assert SAMPLE.stat().st_size + MANIFEST.stat().st_size < 3_000_000


def test_frames_are_ordered_and_numbered_by_connection(frames: list[Frame]) -> None:
    """Receive times never go back; each connection numbers its frames from zero."""
    assert all(before.recv_us <= after.recv_us for before, after in pairwise(frames))
    seqs = defaultdict(list)
    for frame in frames:
        seqs[frame.connection].append(frame.seq)
    assert all(numbers == list(range(len(numbers))) for numbers in seqs.values())


def test_manifest_has_the_counts_of_each_exchange(
    frames: list[Frame], manifest: dict[str, Any]
) -> None:
    """They equal the counts of an independent reader."""
    assert {frame.exchange for frame in frames} == set(manifest["exchanges"])
    for exchange, counts in manifest["exchanges"].items():
        own_frames = [frame for frame in frames if frame.exchange == exchange]
        kinds = Counter(frame.kind for frame in own_frames)
        delivered = fills(frames, exchange)
        once = distinct(delivered)
        assert counts == {
            "frames": len(own_frames),
            "trade_frames": kinds["trade"],
            "control_frames": kinds["control"],
            "dead_frames": kinds["dead"],
            "bad_trades_in_good_frames": sum(f.bad for f in own_frames if not f.dead),
            "trades": len(delivered),
            "distinct_trades": len(once),
            "duplicates": len(delivered) - len(once),
            "missing_ids": sum(map(missing, by_symbol(once).values())),
            "first_time": iso(min(fill.time for fill in once)),
            "last_time": iso(max(fill.time for fill in once)),
        }


def test_manifest_has_the_trades_and_volume_of_each_market(
    frames: list[Frame], manifest: dict[str, Any]
) -> None:
    """They equal the sums of an independent reader."""
    once = distinct(fill for frame in frames for fill in frame.fills)
    markets = {
        f"{exchange} {symbol}": {
            "trades": len(own_fills),
            "with_conditions": sum(bool(fill.conditions) for fill in own_fills),
            "volume": sum((fill.quantity for fill in own_fills), Decimal(0)),
            "missing_ids": missing(own_fills),
        }
        for exchange in EXCHANGES
        for symbol, own_fills in by_symbol(f for f in once if f.exchange == exchange).items()
    }
    assert markets == {
        name: {**sums, "volume": Decimal(sums["volume"])}
        for name, sums in manifest["markets"].items()
    }


def by_symbol(fills: Any) -> dict[str, list[Fill]]:
    groups = defaultdict(list)
    for fill in fills:
        groups[fill.symbol].append(fill)
    return dict(groups)


def missing(fills: list[Fill]) -> int:
    ids = {fill.sequence for fill in fills}
    return 0 if ids == {0} else max(ids) - min(ids) + 1 - len(ids)


def test_sample_holds_trades_of_every_subscribed_market(
    frames: list[Frame], manifest: dict[str, Any]
) -> None:
    """About 100,000 trades in some hours, on several connections."""
    subscribed = {
        f"{exchange} {symbol}"
        for exchange, natives in simulator_reader.SUBSCRIBED.items()
        for symbol in natives.values()
    }
    assert len(subscribed) == 34
    assert subscribed <= set(manifest["markets"])
    assert 95_000 < sum(market["trades"] for market in manifest["markets"].values()) < 110_000
    assert len({frame.connection for frame in frames}) > 6
    assert 4 * 3600 < (frames[-1].recv_us - frames[0].recv_us) / 1_000_000 < 6 * 3600


def test_sample_has_frames_of_several_trades(frames: list[Frame]) -> None:
    """Kraken's are ordered oldest first, Coinbase's newest first."""
    for exchange, direction in (("kraken", 1), ("coinbase", -1)):
        several = [f for f in frames if f.exchange == exchange and len(f.fills) > 1]
        numbered = [[fill.sequence for fill in f.fills] for f in several if f.fills[0].sequence]
        assert len(numbered) > 1_000
        assert all(ids == sorted(ids)[::direction] for ids in numbered)


def test_sample_has_frames_of_equal_fills_without_ids(frames: list[Frame]) -> None:
    """Kraken's older protocol sends fills that are equal in every field."""
    twins = [
        frame
        for frame in frames
        if frame.connection == "kraken-v1-0"
        and len({(f.time, f.price, f.quantity, f.bought) for f in frame.fills}) < len(frame.fills)
    ]
    assert len(twins) > 10


def test_sample_lacks_ids_of_two_markets(manifest: dict[str, Any]) -> None:
    """One lost trades for no visible reason, the other during an outage."""
    lost = {name: market["missing_ids"] for name, market in manifest["markets"].items()}
    assert {name for name, count in lost.items() if count} == {
        "binance LINK/USDT",
        "coinbase ETH/BTC",
    }


def test_sample_repeats_trades_in_three_ways(frames: list[Frame]) -> None:
    """On the same connection, on another one, and in snapshots."""
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
def test_sample_has_trades_out_of_order(frames: list[Frame], exchange: str) -> None:
    highest: dict[str, int] = {}
    behind = 0
    for fill in distinct(fills(frames, exchange)):
        behind += fill.sequence < highest.get(fill.symbol, 0)
        highest[fill.symbol] = max(fill.sequence, highest.get(fill.symbol, 0))
    assert behind > 10


def test_sample_has_late_trades(frames: list[Frame]) -> None:
    """Some are minutes behind later trades of their market, some more than a quarter of an hour."""
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


def test_sample_has_every_kind_of_control_frame(frames: list[Frame]) -> None:
    """Acknowledgements, heartbeats, status, order books and candles; and no others."""
    marks = (
        '"result":null', "@kline_1m", "@bookTicker", "depthUpdate",
        '"channel":"status"', '"method":"subscribe"', '{"channel":"heartbeat"}',
        '"systemStatus"', '"subscriptionStatus"', '{"event":"heartbeat"}',
        '"channel":"subscriptions"', '"channel":"heartbeats"', '"type":"subscriptions"',
    )  # fmt: skip
    texts = [frame.text for frame in frames if frame.kind == "control"]
    assert all(any(mark in text for text in texts) for mark in marks)
    assert all(any(mark in text for mark in marks) for text in texts)


def test_sample_has_unreadable_frames(frames: list[Frame]) -> None:
    """A few on each exchange; of Kraken and Coinbase some are readable in part."""
    dead = Counter(frame.exchange for frame in frames if frame.dead)
    partly = Counter(frame.exchange for frame in frames if frame.bad and not frame.dead)
    assert set(dead) == {"binance", "kraken", "coinbase"}
    assert set(partly) == {"kraken", "coinbase"}
    assert sum((dead + partly).values()) < 50


@pytest.mark.parametrize("exchange", ["binance", "binance_usdm", "kraken", "coinbase"])
def test_decoded_sample_equals_the_manifest_and_an_independent_reader(
    log: bytes, frames: list[Frame], manifest: dict[str, Any], exchange: str
) -> None:
    """Its counts are those of the manifest; each trade equals that of the independent reader."""
    own_frames = frame_log.read(log, "sample", 0).frames.filter(pl.col("exchange") == exchange)
    decoded = decode(EXCHANGES[exchange], own_frames.drop("line", "exchange"), INSTRUMENTS)
    counts = manifest["exchanges"][exchange]
    kinds = Counter(decoded.bronze["kind"])
    assert kinds[KIND_TRADE] == counts["trade_frames"]
    assert kinds[KIND_CONTROL] == counts["control_frames"]
    assert kinds[KIND_DEAD] == counts["dead_frames"]
    letters = counts["dead_frames"] + counts["bad_trades_in_good_frames"]
    assert decoded.dead_letters.height == letters
    trades = decoded.trades.select(
        pl.col("symbol").cast(pl.String),
        "sequence",
        pl.col("timestamp").cast(pl.Int64),
        pl.col("side") == 1,
        "price",
        "quantity",
        "condition",
    )
    assert trades.rows() == [
        (f.symbol, f.sequence, f.time, f.bought, f.price, f.quantity, (*f.conditions, None)[0])
        for f in fills(frames, exchange)
    ]
    once = decoded.trades.select("symbol", "trade_id").n_unique()
    assert once == counts["distinct_trades"]
