"""Frames that name only a channel of their connection: read alike after any cut and restart."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from bytewax.recovery import init_db_dir
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.verification.verify import verify
from tests.support.crashing import crashing, stores
from tests.support.examples import examples
from tests.support.live_run import run_live
from tests.support.playing import EPOCH_ZERO, Frame, clear, play, received

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=22)

MS = EPOCH_ZERO // 1000
Row = tuple[str, str, int, str]
"""Symbol, id, time in milliseconds and side of a trade."""


class Feed:
    """Frames of one connection after another, and what they say."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.trades: list[Row] = []
        self.dead: list[str] = []
        self._ids = count(1_788_348_473, 3)
        self._seq: dict[str, Iterator[int]] = {}
        self._numbers: dict[str, Iterator[int]] = {}

    @property
    def now(self) -> int:
        """Return the time of the next frame, in microseconds since 1970."""
        return EPOCH_ZERO + 5_000_000 * len(self.frames)

    def add(self, connection: str, content: Any) -> None:
        """Add a frame."""
        text = content if isinstance(content, str) else json.dumps(content, separators=(",", ":"))
        seq = next(self._seq.setdefault(connection, count()))
        self.frames.append(Frame("bitfinex", connection, seq, self.now, text, ()))

    def connect(self, connection: str, **channels: int) -> None:
        """Add the begin of a connection, and the answers to its subscriptions."""
        self._numbers[connection] = count(1)
        self.add(connection, {"candlewax": "connected", "process": "p"})
        self.add(connection, {"event": "info", "version": 2})
        for symbol, channel in channels.items():
            answer = {"event": "subscribed", "channel": "trades", "chanId": channel}
            self.add(connection, {**answer, "symbol": symbol})

    def trade(
        self, connection: str, channel: int, symbol: str | None, *, sold: bool = False
    ) -> None:
        """Add a trade and its repetition; without a symbol its channel is unknown."""
        time, trade_id = self.now // 1000, next(self._ids)
        amount = "-0.5" if sold else "0.5"
        row = f"[{trade_id},{time},{amount},100.25]"
        te = f'[{channel},"te",{row},{next(self._numbers[connection])}]'
        self.add(connection, te)
        self.add(
            connection,
            te.replace('"te"', '"tu"').replace(
                te[te.rindex(",") :], f",{next(self._numbers[connection])}]"
            ),
        )
        if symbol:
            self.trades.append((symbol, str(trade_id), time, "SELL" if sold else "BUY"))
        else:
            self.dead.append(te)

    def lose(self, connection: str, frames: int) -> None:
        """Leave out numbers of a connection."""
        for _ in range(frames):
            next(self._numbers[connection])

    def heartbeat(self, connection: str, channel: int) -> None:
        """Add a heartbeat of a channel."""
        self.add(connection, f'[{channel},"hb",{next(self._numbers[connection])}]')


def scenario() -> tuple[Feed, list[tuple[str, int, int]]]:
    """Two connections; one is opened again with its channels exchanged, and loses frames.

    Return also the outages of markets.
    """
    feed = Feed()
    feed.connect("x0", tBTCUSD=17, tETHUSD=18)
    feed.connect("x1", tSOLUSD=17)
    feed.trade("x0", 17, "BTC/USD")
    feed.trade("x1", 17, "SOL/USD", sold=True)
    feed.trade("x0", 18, "ETH/USD")
    feed.trade("x0", 19, None)
    feed.heartbeat("x0", 17)
    feed.add("x0", {"candlewax": "disconnected", "process": "p"})
    feed.connect("x0", tBTCUSD=18)
    feed.trade("x0", 17, None)
    feed.add("x0", {"event": "subscribed", "channel": "trades", "chanId": 17, "symbol": "tETHUSD"})
    feed.trade("x0", 17, "ETH/USD", sold=True)
    feed.trade("x0", 18, "BTC/USD")
    began = feed.frames[-1].recv_us
    feed.trade("x1", 17, "SOL/USD")
    feed.lose("x0", 3)
    ended = feed.now
    feed.trade("x0", 18, "BTC/USD", sold=True)
    feed.add("x0", {"event": "unsubscribed", "status": "OK", "chanId": 18})
    feed.trade("x0", 18, None)
    feed.trade("x1", 17, "SOL/USD")
    return feed, [("BTC/USD", began, ended), ("ETH/USD", began, ended)]


def of_frames(feed: Feed, frames: list[Frame]) -> Feed:
    """Return a feed of some frames of another one, and what they say."""
    part = Feed()
    part.frames = frames
    texts = [frame.text for frame in frames]
    part.trades = [row for row in feed.trades if any(f'"te",[{row[1]},' in text for text in texts)]
    part.dead = [text for text in feed.dead if text in texts]
    return part


def stored(tables: Database) -> dict[str, list[Any]]:
    """Return what the tables hold."""
    queries = {
        "trades": "SELECT symbol, trade_id, toUnixTimestamp64Milli(timestamp), toString(side) "
        "FROM silver_trades FINAL WHERE quantity = 0.5 AND sequence = 0 ORDER BY trade_id",
        "dead": "SELECT frame FROM dead_letters FINAL WHERE reason = 'unknown_channel' ORDER BY 1",
        "all dead": "SELECT frame FROM dead_letters FINAL ORDER BY 1",
        "outages": "SELECT symbol, toUnixTimestamp64Micro(began), toUnixTimestamp64Micro(ended) "
        "FROM market_outages FINAL ORDER BY symbol",
        "kinds": "SELECT connection, source_offset, toString(kind), trades, duplicates "
        "FROM bronze_frames FINAL ORDER BY ALL",
    }
    return {name: tables.query(sql).rows() for name, sql in queries.items()}


def expected(feed: Feed, outages: list[tuple[str, int, int]]) -> dict[str, list[Any]]:
    """Return what the tables are to hold."""
    dead = sorted((text,) for text in feed.dead)
    ids = {trade_id for _, trade_id, *_ in feed.trades}
    kinds = []
    for frame in feed.frames:
        is_trade = any(f'"te",[{trade_id},' in frame.text for trade_id in ids)
        is_dead = frame.text in feed.dead
        kind = "trade" if is_trade else "dead" if is_dead else "control"
        kinds.append((frame.connection, frame.seq, kind, int(is_trade), 0))
    return {
        "trades": sorted(feed.trades, key=lambda trade: trade[1]),
        "dead": dead,
        "all dead": dead,
        "outages": outages,
        "kinds": sorted(kinds),
    }


@given(
    cuts=st.lists(st.integers(1, 36), max_size=8),
    stop=st.integers(0, 8),
    recover=st.booleans(),
    shards=st.sampled_from([1, 2]),
)
@example(cuts=[], stop=0, recover=False, shards=1)
@example(cuts=[5, 9, 13, 21, 25, 30], stop=3, recover=True, shards=1)
@example(cuts=[5, 9, 13, 21, 25, 30], stop=4, recover=False, shards=2)
@examples(4)
def test_channels_are_known_after_any_cut_and_restart(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    cuts: list[int],
    stop: int,
    *,
    recover: bool,
    shards: int,
) -> None:
    """From a recovery store or from the tables, in rows and columns, with one shard or two."""
    clear(tables)
    tables.client.command("TRUNCATE TABLE market_outages")
    feed, outages = scenario()
    store: Path | None = None
    if recover:
        store = tmp_path_factory.mktemp("recovery")
        init_db_dir(store, 1)
    plan = ShardPlan({"bitfinex": shards}) if shards > 1 else WHOLE_EXCHANGES
    parts = received(feed.frames, cuts)
    stop = min(stop, len(parts) - 1)
    if stop:
        play(parts[:stop], tables, store, plan)
    tally = play(parts if recover else parts[stop:], tables, store, plan)
    assert stored(tables) == expected(feed, outages)
    if not stop:
        assert tally.all_counts()["missing_frames", "bitfinex"] == 3
    assert verify(tables.client).equal


@pytest.mark.parametrize("begin", [6, 22])
def test_killed_process_leaves_no_frame_on_a_wrong_channel(
    tables: Database, tmp_path_factory: pytest.TempPathFactory, begin: int
) -> None:
    """The next process knows the channels of frames that were stored without their trades, even if
    a connection was opened again between them, and finds no hole where control frames were.
    """
    feed, outages = scenario()
    until = len(feed.frames)
    feed.connect("x2", tBTCUSD=17)
    feed.trade("x2", 17, "BTC/USD")
    parts, later = received(feed.frames[:until], [begin]), feed.frames[until:]
    last = 1
    while True:
        clear(tables)
        tables.client.command("TRUNCATE TABLE market_outages")
        folder = stores(tmp_path_factory)
        with crashing(last) as crashed:
            run_live(parts, tables, folder)
        run_live(received(later), tables, folder)
        found = stored(tables)
        count = len(found["kinds"]) - len(later)
        assert count in (begin, until)
        had = of_frames(feed, feed.frames[:count] + later)
        ended = {frame.recv_us for frame in had.frames}
        assert found == expected(had, [outage for outage in outages if outage[2] in ended])
        assert verify(tables.client).equal
        if not crashed:
            break
        last += 1
    assert last > 5
