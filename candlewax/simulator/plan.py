"""What a simulator is asked to do: what it plays, and how it behaves."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DAY: Final = 86_400.0
MEBIBYTE: Final = 1 << 20


@dataclass(frozen=True)
class Mischief:
    """What goes wrong, for each exchange on its own; 0 is never.

    Chances are of a trade or of a frame of trades; `_every` is a mean time in seconds.
    """

    skip: float = 0
    """A trade never comes on a socket; REST has it."""
    repeat: float = 0
    """A frame comes twice."""
    swap: float = 0
    """A frame comes behind the next one of its market."""
    truncate: float = 0
    """A frame ends early, so that its trades are as good as skipped."""
    garbage: float = 0
    """An unreadable frame stands behind a good one."""
    drop_every: float = 0
    """A connection is cut without a word."""
    close_every: float = 0
    """A connection is closed with `close_code`."""
    close_code: int = 1012
    stall_every: float = 0
    """For `stall_seconds` no trade comes, while heartbeats go on."""
    freeze_every: float = 0
    """For `stall_seconds` nothing comes at all, and nothing is heard."""
    stall_seconds: float = 20
    refuse: tuple[str, ...] = ()
    """Native symbols the exchanges do not know."""
    limit: float = 0
    """The chance that a request to REST is one too many."""
    fail: float = 0
    """The chance that a request to REST is answered with a status of 503 and no JSON."""
    oldest: int = 0
    """How many trades of each market REST shows; 0 is all."""


@dataclass(frozen=True)
class ExchangeLimits:
    """The exchanges' rules and times, in seconds."""

    ping_every: float = 20
    pong_within: float = 60
    """Who leaves a ping of Binance unanswered for so long is dropped."""
    age: float = DAY
    """How long a connection to Binance lives."""
    notice: float = 600
    """How long before its end it is announced."""
    messages: int = 5
    """The most messages a client may send to Binance within a second."""
    streams: int = 1024
    """The most streams of a connection to Binance."""
    beat: float = 1
    """Between two heartbeats of Kraken and Coinbase."""
    patience: float = 5
    """Who has not subscribed to anything of Coinbase after so long is disconnected."""
    gather: float = 0.1
    """How long Coinbase gathers the trades of a market; 0 is an order at a time."""
    unsent: int = 64 * MEBIBYTE
    """Bytes; a client that lets more of them wait is dropped."""
    retry_after: int = 1
    """What REST tells who asked too often."""


@dataclass(frozen=True)
class Plan:
    """What is played: a synthetic market, or a recording.

    `rate` is how many trades a second all exchanges have together. The same seed
    gives the same trades but for their times.
    """

    rate: float = 50
    seed: int = 1
    mischief: Mischief = field(default_factory=Mischief)
    recording: Path | None = None
    pace: float = 1
    """Of the recording: 1 as it was recorded, 2 twice as fast, 0 as fast as possible."""
    flood: bool = False
    """Send as fast as the clients take, whatever the rate."""
    markets: int = 0
    """So many at least of each spot exchange; some are made up if it has fewer."""
    trades: int | None = None
    """Fall silent after so many."""
    waiting: bool = False
    """Play nothing before `Simulator.begin` is called."""
    ids_from: int = 0
    """Added to all trade ids: who starts again must not give out an id twice."""
    keep: int | None = None
    """How many trades to remember at least, for REST and the journal; None is all."""
    manners: ExchangeLimits = field(default_factory=ExchangeLimits)
