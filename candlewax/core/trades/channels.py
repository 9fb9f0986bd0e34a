"""Channels of an exchange's connections: which market a frame is about, and which frames are lost.

For exchanges whose frames name no market. The state of a connection follows from its frames alone,
in the order of receipt. Pure state, but for the function that loads the earlier frames of a
connection.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from candlewax.core.frames import EVENT
from candlewax.core.gaps.market_outages import CONNECTED, LOST, SubscriptionEvent
from candlewax.exchanges import Exchange
from candlewax.exchanges.protocol.channels import (
    CONNECTION_BEGINS,
    NO_TRADES,
    ChannelChange,
    ChannelRules,
)
from candlewax.exchanges.protocol.dialect import Reading
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.rest import NATIVE_SYMBOL

UNKNOWN_CHANNEL: Final = "unknown_channel"
"""Reason of the dead letter of trades whose subscription was not acknowledged before them."""


class FramePlace(NamedTuple):
    """Place of a frame: its source and connection, time of receipt and offset in the source."""

    source: str
    connection: str
    recv_ns: int
    offset: int

    @property
    def key(self) -> tuple[str, str]:
        """Source and connection: two frame logs may name their connections alike."""
        return self.source, self.connection

    @property
    def order(self) -> tuple[int, int]:
        """Place among the frames of its connection."""
        return self.recv_ns, self.offset


PLACE_COLUMNS: Final = ("source", "connection", "recv_ns", "source_offset")
"""Columns of FRAMES and SOURCE that are the fields of a `FramePlace`."""

EarlierFrames = Callable[[FramePlace], Iterable[tuple[int, str]]]
"""Returns the frames of the place's connection before it that tell of channels, and the last one:
time of receipt in microseconds since 1970, and text, in the order of receipt."""


def no_earlier_frames(_: FramePlace) -> Iterable[tuple[int, str]]:
    """Return no frames: the first frame at hand is the first of its connection."""
    return ()


@dataclass
class ConnectionChannels:
    """Channels of one connection.

    `native_symbols`: by channel, NO_TRADES if it carries none. `number`: of the last frame that has
    one; `received_us`: when the last frame came, microseconds since 1970.
    """

    native_symbols: dict[str, str] = field(default_factory=dict)
    number: int | None = None
    received_us: int = 0

    def apply(self, change: ChannelChange) -> None:
        """Apply a change of channels."""
        if change.channel is None:
            self.native_symbols.clear()
            self.number = None
        elif change.native_symbol is None:
            self.native_symbols.pop(change.channel, None)
        else:
            self.native_symbols[change.channel] = change.native_symbol

    def advance(self, number: int | None, received_us: int) -> tuple[int, int] | None:
        """Record a frame. Return how many frames before it are lost, and since when, if any.

        A number that is not above the last one is that of a repeated frame.
        """
        last, since_us = self.number, self.received_us
        self.received_us = max(since_us, received_us)
        if number is None or (last is not None and number <= last):
            return None
        self.number = number
        return (number - last - 1, since_us) if last is not None and number > last + 1 else None

    @property
    def markets(self) -> tuple[str, ...]:
        """Native symbols whose trades the connection carries."""
        return tuple(dict.fromkeys(name for name in self.native_symbols.values() if name))

    def copy(self) -> "ConnectionChannels":
        """Return a copy that later changes do not reach."""
        return ConnectionChannels(dict(self.native_symbols), self.number, self.received_us)


class TrackedChannels(NamedTuple):
    """State of a tracker: channels of connections, and processed frames that are not applied."""

    connections: dict[tuple[str, str], ConnectionChannels]
    processed: dict[tuple[str, str], list[tuple[FramePlace, str]]]

    def copy(self) -> "TrackedChannels":
        """Return a copy that later changes do not reach."""
        return TrackedChannels(
            {name: channels.copy() for name, channels in self.connections.items()},
            {name: frames[:] for name, frames in self.processed.items()},
        )


class ChannelTracker:
    """Channels of all connections of an exchange.

    The first frame of a connection that does not begin it makes the tracker load those before it:
    another process, or this one before a restart, read them.
    """

    def __init__(
        self, rules: ChannelRules, earlier_frames: EarlierFrames = no_earlier_frames
    ) -> None:
        self._rules = rules
        self._earlier_frames = earlier_frames
        self._state = TrackedChannels({}, {})

    def add_processed(self, frames: Iterable[tuple[FramePlace, str]]) -> None:
        """Add frames that another process processed, in the order of receipt.

        Each is applied once a later frame of its connection is followed, and tells of no loss.
        """
        for place, text in frames:
            self._state.processed.setdefault(place.key, []).append((place, text))

    def follow(self, row: int, place: FramePlace, content: Any) -> SubscriptionEvent | None:  # noqa: ANN401
        """Follow the decoded JSON of a frame. Return the event of frames lost before it, if any."""
        change = self._read_change(content)
        channels = self._find(place, begins=change == CONNECTION_BEGINS)
        if change:
            channels.apply(change)
        return self._advance(row, place, channels, self._rules.read_number(content))

    def follow_trade(
        self, row: int, place: FramePlace, channel: str, number: str | None
    ) -> tuple[str | None, SubscriptionEvent | None]:
        """Follow a frame of a known layout. Return its native symbol, and the event of a loss."""
        channels = self._find(place, begins=False)
        event = self._advance(row, place, channels, None if number is None else int(number))
        return channels.native_symbols.get(channel), event

    def native_symbol(self, place: FramePlace, content: Any) -> str | None:  # noqa: ANN401 - JSON
        """Return the native symbol that a frame, followed before, is about; None if unknown."""
        channel = self._rules.read_channel(content)
        channels = self._state.connections.get(place.key)
        return channels.native_symbols.get(channel) if channels and channel is not None else None

    def _read_change(self, content: Any) -> ChannelChange | None:  # noqa: ANN401 - JSON
        if isinstance(content, dict) and EVENT in content:
            return CONNECTION_BEGINS if content[EVENT] == CONNECTED else None
        return self._rules.read_change(content)

    def _find(self, place: FramePlace, *, begins: bool) -> ConnectionChannels:
        channels = self._state.connections.get(place.key)
        if channels is None:
            channels = self._state.connections[place.key] = ConnectionChannels()
            if not begins:
                for received_us, text in self._earlier_frames(place):
                    self._restore(channels, received_us, text)
        if self._state.processed:
            self._apply_processed(channels, place)
        return channels

    def _apply_processed(self, channels: ConnectionChannels, place: FramePlace) -> None:
        """Apply the processed frames of a connection that came before a place."""
        frames = self._state.processed.pop(place.key, [])
        for earlier, text in frames:
            if earlier.order < place.order:
                self._restore(channels, earlier.recv_ns // 1000, text)
        if later := [frame for frame in frames if frame[0].order > place.order]:
            self._state.processed[place.key] = later

    def _restore(self, channels: ConnectionChannels, received_us: int, text: str) -> None:
        try:
            content = parse(text)
        except FrameError:
            return
        if change := self._read_change(content):
            channels.apply(change)
        number = self._rules.read_number(content)
        channels.number = channels.number if number is None else number
        channels.received_us = received_us

    def _advance(
        self, row: int, place: FramePlace, channels: ConnectionChannels, number: int | None
    ) -> SubscriptionEvent | None:
        loss = channels.advance(number, place.recv_ns // 1000)
        return SubscriptionEvent(row, LOST, channels.markets, *loss) if loss else None

    def save(self) -> TrackedChannels:
        """Return the state, for `reset`."""
        return self._state.copy()

    def reset(self, saved: TrackedChannels) -> None:
        """Return to a saved state, to follow the same frames again."""
        self._state = saved.copy()


def read_on_channel(exchange: Exchange, native_symbol: str | None, content: Any) -> Reading:  # noqa: ANN401
    """Read a frame that came on the channel of a native symbol, None if the channel is unknown.

    Raises FrameError, `unknown_channel` for trades of an unknown channel.
    """
    reading = exchange.read(content)
    if reading is None or native_symbol == NO_TRADES:
        return None
    if native_symbol is None:
        channel = exchange.channels.read_channel(content) if exchange.channels else None
        raise FrameError(UNKNOWN_CHANNEL, unknown_channel_detail(channel))
    dialect, trades = reading
    return dialect, [
        trade if isinstance(trade, FrameError) else {**trade, NATIVE_SYMBOL: native_symbol}
        for trade in trades
    ]


def unknown_channel_detail(channel: str | None) -> str:
    """Return the detail of the dead letter of trades on an unknown channel."""
    return f"no subscription was acknowledged as channel {channel} of the connection before"
