"""Made frames of all exchanges, calm and rough in turns: the same for the same seed.

In rough stretches frames come twice, late, in another order, contradicting, unreadable or odd;
numbers are skipped, shown later or begin anew; connections and markets come and go.
"""

import heapq
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final, NamedTuple

from candlewax.core.frames import FROM_REST
from candlewax.simulator.frames import trades as written
from candlewax.simulator.market import catalog
from candlewax.simulator.market.market import Market, Trade
from tests.both_paths import made_markets, odd_frames

BEGIN_US: Final = 1_780_000_000_000_000
MINUTE_US: Final = 60_000_000
ROUGHNESS: Final = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0003, 0.003, 0.03)
"""Chances of an odd event at each frame; one of them is drawn for each stretch."""


class MadeFrame(NamedTuple):
    """A frame as it is received, and how many trades it was made of."""

    exchange: str
    recv_ns: int
    connection: str
    seq: int
    text: str
    trades: int


@dataclass
class _Trading:
    """A market and its next trade."""

    market: Market
    number: int
    time_us: int = 0
    skipped: list[Trade] = field(default_factory=list)


class FrameMaker:
    """Makes frames one after another, in the order in which they are emitted."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)
        self._now_us = BEGIN_US
        self._tradings: dict[str, list[_Trading]] = {}
        for market in made_markets.markets():
            trading = _Trading(market, market.first_id)
            self._tradings.setdefault(market.exchange, []).append(trading)
        self._exchanges = list(self._tradings)
        self._seqs: dict[str, int] = {}
        self._processes = dict.fromkeys(self._exchanges, 0)
        self._recent: deque[MadeFrame] = deque(maxlen=3_000)
        self._held: list[tuple[int, int, str, str, int]] = []
        self._made = 0
        self._events: tuple[Callable[[_Trading], Iterator[MadeFrame]], ...] = (
            self._repeat_text, self._repeat_frame, self._contradict, self._skip_numbers,
            self._show_skipped, self._ask_skipped, self._hold_back, self._hold_back,
            self._change_text, self._change_text, self._change_text, self._spoil,
            self._send_control, self._send_control, self._begin_anew, self._reconnect,
            self._refuse, self._send_unknown, self._step_clock, self._send_snapshot,
        )  # fmt: skip

    def frames(self, trades: int) -> Iterator[MadeFrame]:
        """Return frames of about so many trades."""
        for exchange in self._exchanges:
            yield from self._connect(exchange)
        made = 0
        while made < trades:
            roughness, together = self._rng.choice(ROUGHNESS), self._rng.choice((1, 1, 1, 5, 40))
            stretch: list[MadeFrame] = []
            for _ in range(self._rng.choice((50, 500, 3_000))):
                stretch += self._step(roughness)
                if len(stretch) >= together:
                    self._rng.shuffle(stretch)
                    yield from stretch
                    made += sum(frame.trades for frame in stretch)
                    stretch = []
            yield from stretch
            made += sum(frame.trades for frame in stretch)
            self._now_us += self._pause()

    def _pause(self) -> int:
        """Return how long nothing is received after a stretch."""
        if self._rng.random() < 0.003:
            return self._rng.choice((20 * MINUTE_US, 1_500 * MINUTE_US))
        return self._rng.choice((0, 0, 0, 200_000, 7_000_000, 90_000_000))

    def _step(self, roughness: float) -> Iterator[MadeFrame]:
        rng = self._rng
        self._now_us += int(rng.expovariate(1 / 3_000))
        while self._held and self._held[0][0] <= self._now_us:
            _, _, exchange, text, count = heapq.heappop(self._held)
            yield self._receive(exchange, text, count)
        trading = rng.choice(self._tradings[rng.choice(self._exchanges)])
        if rng.random() < roughness:
            yield from rng.choice(self._events)(trading)
        else:
            yield self._send(trading)

    def _receive(
        self, exchange: str, text: str, count: int, connection: str | None = None
    ) -> MadeFrame:
        """Return a text as a frame that is received now."""
        connection = connection or f"{exchange}-{int(self._rng.random() < 0.3)}"
        seq = self._seqs[connection] = self._seqs.get(connection, 0) + 1
        recv_ns = self._now_us * 1_000 + self._rng.randrange(1_000)
        frame = MadeFrame(exchange, recv_ns, connection, seq, text, count)
        self._recent.append(frame)
        self._made += 1
        return frame

    def _trades(self, trading: _Trading) -> list[Trade]:
        rng, market = self._rng, trading.market
        several = market.exchange in ("kraken", "coinbase") and market is not catalog.COINBASE_CROSS
        if rng.random() > 0.3:
            latest = self._now_us - rng.randrange(1_000, 80_000)
            trading.time_us = max(trading.time_us, latest) if rng.random() < 0.8 else latest
        result = []
        for _ in range(rng.randint(1, 4) if several else 1):
            price = max(1, market.price + rng.randrange(-500, 500))
            quantity = market.dust or rng.randrange(1, 4 * market.lots + 1)
            bought, limit = rng.random() < 0.5, rng.random() < 0.5
            result.append(
                Trade(market, trading.number, trading.time_us, price, quantity, bought, limit, 0)
            )
            trading.number += 1
        return result

    def _text(self, trades: list[Trade], kind: str = "update") -> str:
        unit_us = 1 if self._rng.random() < 0.1 else 1_000
        return made_markets.text(trades, self._now_us, unit_us, self._made, kind)

    def _send(self, trading: _Trading) -> MadeFrame:
        trades = self._trades(trading)
        return self._receive(trading.market.exchange, self._text(trades), len(trades))

    def _repeat_text(self, _: _Trading) -> Iterator[MadeFrame]:
        if self._recent:
            frame = self._rng.choice(self._recent)
            yield self._receive(frame.exchange, frame.text, frame.trades)

    def _repeat_frame(self, _: _Trading) -> Iterator[MadeFrame]:
        if self._recent:
            yield self._rng.choice(self._recent)

    def _contradict(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send a trade, and then another under its number, now or later."""
        trades = self._trades(trading)
        change = self._rng.choice(({"price": 7}, {"quantity": 3}, {"bought": True}, {"time_us": 1}))
        other = [
            trade._replace(**{name: getattr(trade, name) + by for name, by in change.items()})
            for trade in trades
        ]
        exchange = trading.market.exchange
        yield self._receive(exchange, self._text(trades), len(trades))
        self._hold(exchange, self._text(other), len(trades))

    def _skip_numbers(self, trading: _Trading) -> Iterator[MadeFrame]:
        for _ in range(self._rng.choice((1, 2, 30))):
            trading.skipped += self._trades(trading)
        if self._rng.random() < 0.1:
            trading.number += self._rng.choice((500, 100_000))
        yield self._send(trading)

    def _show_skipped(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send some of the skipped trades at last."""
        while trading.skipped and self._rng.random() < 0.8:
            trade = trading.skipped.pop(self._rng.randrange(len(trading.skipped)))
            yield self._receive(trading.market.exchange, self._text([trade]), 1)

    def _ask_skipped(self, _: _Trading) -> Iterator[MadeFrame]:
        """Send the skipped trades of a market of Binance as a REST response."""
        trading = self._rng.choice(self._tradings["binance"])
        rows = [
            {
                "id": t.trade_id, "price": written.price(t), "qty": written.quantity(t),
                "quoteQty": "0", "time": t.time_us // 1_000, "isBuyerMaker": not t.bought,
                "isBestMatch": True,
            }
            for t in trading.skipped
        ]  # fmt: skip
        trading.skipped.clear()
        text, name = json.dumps(rows, separators=(",", ":")), trading.market.native_symbol
        yield self._receive("binance", text, len(rows), FROM_REST + name)

    def _hold(self, exchange: str, text: str, count: int) -> None:
        late_us = self._rng.choice((1, 50_000, 3_000_000, 40_000_000))
        if self._rng.random() < 0.1:
            # Beyond the allowed lateness: these candles are computed again from the tables.
            late_us = self._rng.choice((17 * MINUTE_US, 90 * MINUTE_US))
        due = self._now_us + self._rng.randrange(late_us)
        heapq.heappush(self._held, (due, self._made, exchange, text, count))
        self._made += 1

    def _hold_back(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send a trade late; the next ones come before it."""
        trades = self._trades(trading)
        self._hold(trading.market.exchange, self._text(trades), len(trades))
        yield self._send(trading)

    def _change_text(self, trading: _Trading) -> Iterator[MadeFrame]:
        trades, rng = self._trades(trading), self._rng
        text = rng.choice(odd_frames.CHANGES)(rng, self._text(trades))
        yield self._receive(trading.market.exchange, text, len(trades))

    def _spoil(self, trading: _Trading) -> Iterator[MadeFrame]:
        exchange, trades = trading.market.exchange, self._trades(trading)
        text = self._rng.choice(odd_frames.SPOILS[exchange])(self._text(trades))
        yield self._receive(exchange, text, 0)

    def _send_control(self, trading: _Trading) -> Iterator[MadeFrame]:
        (trade, *_), exchange = self._trades(trading), trading.market.exchange
        text = odd_frames.control_frame(self._rng, exchange, trade, self._now_us)
        trading.number = trade.trade_id
        yield self._receive(exchange, text, 0)

    def _begin_anew(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send trades whose numbers begin anew, far below the last one."""
        if self._rng.random() < 0.2:
            trading.number = self._rng.choice((1, trading.number // 3, trading.number - 1_500))
            trading.number = max(1, trading.number)
            trading.skipped.clear()
        yield self._send(trading)

    def _event(self, exchange: str, kind: str, **more: object) -> MadeFrame:
        process = f"p{self._processes[exchange]}"
        text = json.dumps({"candlewax": kind, "process": process, **more}, separators=(",", ":"))
        return self._receive(exchange, text, 0, f"{exchange}-0")

    def _reconnect(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send the end of a connection, or none, and the begin of the next one."""
        exchange = trading.market.exchange
        if self._rng.random() < 0.7:
            yield self._event(exchange, "disconnected", why=self._rng.choice(("silent", "stalled")))
        self._now_us += self._rng.choice((1_000, 2_000_000, 70_000_000))
        self._processes[exchange] += self._rng.random() < 0.3
        yield from self._connect(exchange)

    def _connect(self, exchange: str) -> Iterator[MadeFrame]:
        """Send that a connection begins, and most often that it is subscribed to all markets."""
        yield self._event(exchange, "connected")
        if self._rng.random() < 0.8:
            names = [trading.market.native_symbol for trading in self._tradings[exchange]]
            yield self._event(exchange, "subscribed", instruments=names)

    def _refuse(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send that a market is refused, and most often that it is subscribed at last."""
        exchange, markets = trading.market.exchange, [trading.market.native_symbol, "NOTHING"]
        yield self._event(exchange, "refused", instruments=markets)
        for _ in range(self._rng.choice((0, 5, 50))):
            yield self._send(self._rng.choice(self._tradings[exchange]))
        if self._rng.random() < 0.95:
            yield self._event(exchange, "subscribed", instruments=markets)

    def _send_unknown(self, trading: _Trading) -> Iterator[MadeFrame]:
        market = replace(trading.market, native_symbol=self._rng.choice(("QQQ", "", "a/b", "Ü-X")))
        trades = [trade._replace(market=market) for trade in self._trades(trading)]
        yield self._receive(market.exchange, self._text(trades), len(trades))

    def _step_clock(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send trades of a clock that is ahead, believable or not."""
        trading.time_us = self._now_us + self._rng.choice((30_000_000, 59_000_000, 61_000_000))
        trade = Trade(trading.market, trading.number, trading.time_us, 5, 5, True, True, 0)
        trading.number += 1
        trading.time_us = self._now_us
        yield self._receive(trading.market.exchange, self._text([trade]), 1)

    def _send_snapshot(self, trading: _Trading) -> Iterator[MadeFrame]:
        """Send many trades at once; some were sent before."""
        trades = self._trades(trading)
        yield self._receive(trading.market.exchange, self._text(trades), len(trades))
        if trading.market.has_ids and trading.market.exchange in ("kraken", "coinbase"):
            for _ in range(self._rng.randrange(60)):
                trades += self._trades(trading)
            text = self._text(trades, "snapshot")
            yield self._receive(trading.market.exchange, text, len(trades))
