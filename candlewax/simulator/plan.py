"""Plan of a simulator: its market or recording, its faults and its limits."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DAY: Final = 86_400.0
MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class FaultRates:
    """Rates of faults, drawn separately for each exchange; 0 is never.

    Probabilities are per trade or per frame of trades. Fields ending in `_every` are mean times in
    seconds.
    """

    skip: float = 0
    """A trade is not sent on the websocket; REST returns it."""
    repeat: float = 0
    """A frame is sent twice."""
    swap: float = 0
    """A frame is sent after the next one of its market."""
    truncate: float = 0
    """A frame is cut, so that its trades count as skipped."""
    garbage: float = 0
    """An unreadable frame follows a good one."""
    drop_every: float = 0
    """A connection is cut without a close frame."""
    close_every: float = 0
    """A connection is closed with `close_code`."""
    close_code: int = 1012
    stall_every: float = 0
    """For `stall_seconds` no trades are sent, while heartbeats go on."""
    freeze_every: float = 0
    """For `stall_seconds` nothing is sent or read."""
    stall_seconds: float = 20
    refuse: tuple[str, ...] = ()
    """Native symbols that the exchanges reject."""
    limit: float = 0
    """Probability that a REST request exceeds the rate limit."""
    fail: float = 0
    """Probability that a REST request is answered with status 503 and no JSON."""
    oldest: int = 0
    """Newest trades of each market that REST returns; 0 is all."""


@dataclass(frozen=True)
class ExchangeLimits:
    """Limits and times of the exchanges, in seconds."""

    ping_every: float = 20
    pong_within: float = 60
    """Time after which Binance drops a client that did not answer a ping."""
    age: float = DAY
    """Lifetime of a connection to Binance."""
    notice: float = 600
    """Time before the end of a connection at which Binance announces it."""
    messages: int = 5
    """Messages a client may send to Binance in one second."""
    streams: int = 1024
    """Streams of one connection to Binance."""
    heartbeat_s: float = 1
    """Time between two heartbeats of Kraken and Coinbase."""
    patience: float = 5
    """Time after which Coinbase disconnects a client without a subscription."""
    idle: float = 30
    """Time without a message in either direction after which OKX closes a connection."""
    gather: float = 0.1
    """Time for which Coinbase gathers the trades of a market; 0 sends each order by itself."""
    unsent: int = 64 * MEBIBYTE
    """Bytes; a client with more of them unread is dropped."""
    retry_after: int = 1
    """Retry-After of REST answers over the rate limit."""


@dataclass(frozen=True)
class Plan:
    """Plan of a simulator: a synthetic market or a recording, with faults and limits.

    `rate` is trades per second of all exchanges. The same seed gives the same trades at other
    times.
    """

    rate: float = 50
    exchanges: tuple[str, ...] = ()
    """Exchanges that trade, () for all; the others are open and have no trades."""
    seed: int = 1
    fault_rates: FaultRates = field(default_factory=FaultRates)
    recording: Path | None = None
    pace: float = 1
    """Speed of the recording: 1 as recorded, 2 twice as fast, 0 as fast as possible."""
    flood: bool = False
    """Send as fast as the clients read, whatever the rate."""
    markets: int = 0
    """Least number of markets per spot exchange; made-up ones fill it up."""
    trades: int | None = None
    """Stop after this many trades."""
    starts_paused: bool = False
    """Play nothing before `Simulator.begin` is called."""
    ids_from: int = 0
    """Added to all trade ids, so that a restart never repeats an id."""
    keep: int | None = None
    """Trades to keep at least, for REST and the journal; None keeps all."""
    limits: ExchangeLimits = field(default_factory=ExchangeLimits)
