"""Markets whose connection is lost have an outage where ids do not count trades."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from bytewax.recovery import init_db_dir
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.verification.verify import verify
from tests.support.examples import examples
from tests.support.playing import EPOCH_ZERO, Frame, clear, play, received

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=15)

MARKETS = {"x-0": ("btcusd", "ethusd"), "x-1": ("xrpusd",)}
"""Markets of each connection; its successor has the name with a `b`."""

SYMBOLS = {"btcusd": "BTC/USD", "ethusd": "ETH/USD", "xrpusd": "XRP/USD"}
SECOND = 1_000_000

Outage = tuple[str, int, int]
"""Symbol, begin and end."""


@dataclass
class Socket:
    """A connection as it was, with the times of its last frame, last trade and end."""

    name: str
    markets: tuple[str, ...]
    subscribed: int = 0
    last: int = 0
    traded: int = 0
    until: int = 0


@dataclass
class Feed:
    """Frames of a feed, and the connections that they came on."""

    chance: Random
    frames: list[Frame] = field(default_factory=list)
    sockets: list[Socket] = field(default_factory=list)
    open: dict[str, Socket] = field(default_factory=dict)
    seq: int = 0
    process: int = 0
    now: int = EPOCH_ZERO

    def add(self, name: str, text: str) -> None:
        self.now += self.chance.randint(1, 3 * SECOND)
        self.frames.append(Frame("bitstamp", name, self.seq, self.now, text, ()))
        self.seq += 1

    def event(self, name: str, kind: str, **facts: object) -> None:
        content = {"candlewax": kind, "connection": name, "process": f"p{self.process}", **facts}
        self.add(name, json.dumps(content, separators=(",", ":")))

    def frame(self, name: str) -> None:
        """A trade or the answer to a heartbeat."""
        heartbeat = '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}'
        if self.chance.random() < 0.7:
            self.trade(name, self.chance.choice(self.open[name].markets))
        else:
            self.add(name, heartbeat)
            self.open[name].last = self.now

    def trade(self, name: str, native: str) -> None:
        time = self.now
        text = (
            f'{{"data":{{"id":{self.seq + 7},"timestamp":"{time // SECOND}","amount":0.5,'
            f'"amount_str":"0.50000000","price":2.5,"price_str":"2.5","type":0,'
            f'"microtimestamp":"{time}","buy_order_id":3,"sell_order_id":2}},'
            f'"channel":"live_trades_{native}","event":"trade"}}'
        )
        self.add(name, text)
        self.open[name].last = self.open[name].traded = self.now

    def connect(self, name: str, *, is_subscribed: bool = True) -> None:
        """Open a connection; it may die before it is subscribed."""
        markets = MARKETS[name.removesuffix("b")]
        self.event(name, "connected", instruments=markets)
        for native in markets:
            channel = f"live_trades_{native}"
            ack = {"event": "bts:subscription_succeeded", "channel": channel, "data": {}}
            self.add(name, json.dumps(ack, separators=(",", ":")))
        if is_subscribed:
            self.event(name, "subscribed", instruments=markets)
            socket = self.open[name] = Socket(name, markets, *[self.now] * 3)
            self.sockets.append(socket)

    def lose(self, name: str, *, is_told: bool) -> None:
        """End a connection, without an event if it is not told; the watchdog may be the reason.

        The heartbeats of a stalled connection do not count.
        """
        why = self.chance.choice(("silent", "stalled", None, None))
        if why:
            self.event(name, why, limit_s=10)
        if is_told:
            self.event(name, "disconnected", by="us", why=why)
        socket = self.open.pop(name)
        socket.until = self.now
        if is_told and why == "stalled":
            socket.last = socket.traded

    def kill(self) -> None:
        """Kill the process: its connections end without a word."""
        self.now += 1
        for name in list(self.open):
            self.open.pop(name).until = self.now
        self.process += 1

    def step(self) -> None:
        """Do anything that may happen."""
        name = self.chance.choice(list(self.open))
        deed = self.chance.random()
        if deed < 0.75:
            self.frame(name)
        elif deed < 0.85:
            self.lose(name, is_told=self.chance.random() < 0.7)
            if self.chance.random() < 0.4:
                self.connect(name, is_subscribed=False)
                if self.chance.random() < 0.5:
                    self.event(name, "disconnected", by="exchange")
            if self.open and self.chance.random() < 0.5:
                self.frame(next(iter(self.open)))
            self.connect(name)
        elif deed < 0.93:
            self.replace(name)
        else:
            self.kill()
            if self.chance.random() < 0.3:
                self.connect("x-0", is_subscribed=False)
                self.kill()
            for base in MARKETS:
                self.connect(base)

    def replace(self, name: str) -> None:
        """Replace a connection once its successor is subscribed."""
        successor = name.removesuffix("b") if name.endswith("b") else f"{name}b"
        self.connect(successor)
        if self.chance.random() < 0.5:
            self.frame(name)
        self.lose(name, is_told=True)

    def outages(self) -> list[Outage]:
        """Return the spans in which no connection carried a market, between two that did."""
        found = []
        for native, symbol in SYMBOLS.items():
            own = [socket for socket in self.sockets if native in socket.markets]
            for place, socket in enumerate(own[1:], 1):
                before = own[:place]
                if all(0 < other.until <= socket.subscribed for other in before):
                    ended = max(other.until for other in before)
                    last = max(other.last for other in before if other.until == ended)
                    found.append((symbol, last, socket.subscribed))
        return sorted(found)


def played(seed: int, steps: int) -> Feed:
    """Return a feed in which much happens."""
    feed = Feed(Random(seed))
    for name in MARKETS:
        feed.connect(name)
    for _ in range(steps):
        feed.step()
    for socket in feed.open.values():
        for native in socket.markets:
            feed.trade(socket.name, native)
    return feed


def stored(tables: Database) -> list[Outage]:
    return tables.query(
        "SELECT symbol, toUnixTimestamp64Micro(began), toUnixTimestamp64Micro(ended) "
        "FROM market_outages FINAL ORDER BY ALL"
    ).rows()


@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 150), max_size=12),
    stop=st.integers(0, 12),
    recover=st.booleans(),
    shards=st.sampled_from([1, 2]),
)
@example(seed=1, cuts=[], stop=0, recover=False, shards=1)
@example(seed=2, cuts=[9, 20, 21, 40, 55, 80], stop=4, recover=False, shards=1)
@example(seed=3, cuts=[9, 20, 21, 40, 55, 80], stop=5, recover=True, shards=2)
@examples(4)
def test_outages_are_the_spans_in_which_no_connection_carried_a_market(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    cuts: list[int],
    stop: int,
    *,
    recover: bool,
    shards: int,
) -> None:
    """For any batches of rows or columns and any restart, from a recovery store or the tables."""
    clear(tables)
    tables.client.command("TRUNCATE TABLE market_outages")
    feed = played(seed, 40)
    store: Path | None = None
    if recover:
        store = tmp_path_factory.mktemp("recovery")
        init_db_dir(store, 1)
    plan = ShardPlan({"bitstamp": shards}) if shards > 1 else WHOLE_EXCHANGES
    parts = received(feed.frames, [cut for cut in cuts if cut < len(feed.frames)])
    stop = min(stop, len(parts) - 1)
    if stop:
        play(parts[:stop], tables, store, plan)
    counters = play(parts if recover else parts[stop:], tables, store, plan)
    assert stored(tables) == feed.outages()
    if not stop:
        counted = counters.all_counts().get(("market_outages", "bitstamp"), 0)
        assert counted == len(feed.outages())
    assert verify(tables.client).equal
