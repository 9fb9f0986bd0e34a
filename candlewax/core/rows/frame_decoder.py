"""Frames into trades, control frames and dead letters, frame by frame: nothing is left over."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST
from candlewax.core.gaps.market_outages import SubscriptionEvent, subscription_event
from candlewax.core.gaps.outages import ConnectionEvent, connection_event
from candlewax.core.instruments import Instruments
from candlewax.core.rows.records import DeadLetter, Fault, Frame, Trade
from candlewax.core.rows.trade_normalizer import normalize
from candlewax.core.schema import (
    KIND_CONTROL,
    KIND_DEAD,
    KIND_TRADE,
    SCOPE_FRAME,
    SCOPE_TRADE,
)
from candlewax.core.shards import WHOLE, Shard
from candlewax.core.trades.channels import ChannelTracker, FramePlace, read_on_channel
from candlewax.exchanges import Exchange
from candlewax.exchanges.protocol.dialect import Dialect, TradeIds
from candlewax.exchanges.protocol.dump_files import NumberedLine, read_piece
from candlewax.exchanges.protocol.fields import FrameError, parse

MOST_TRADES: Final = 65_535
"""The most trades of one frame: its number of trades is counted in 16 bits."""


@dataclass
class DecodedRows:
    """A batch of frames of one exchange, read.

    `kinds` and `counts`: of each frame its kind (as in BRONZE) and its number of trades. `trades`
    and `dead_letters` are in the order of frames, and within a frame by `source_index`. `events`
    are what the frames say of connections, `subscriptions` what they say of single markets.
    `outages`: begin and end of those that another process detected before these trades, in
    microseconds since 1970. Trades that come from a topic have no frames here. `shard`: to which
    all trades belong.
    """

    exchange: str
    frames: Sequence[Frame]
    kinds: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    events: list[ConnectionEvent] = field(default_factory=list)
    subscriptions: list[SubscriptionEvent] = field(default_factory=list)
    outages: Sequence[tuple[int, int]] = ()
    shard: Shard = WHOLE

    @property
    def conditions(self) -> list[str]:
        """Conditions of the trades that have one."""
        return [trade.condition for trade in self.trades if trade.condition is not None]

    def totals(self) -> dict[tuple[str, ...], int]:
        """Return the frames by kind, the trades, and the dead letters by scope and reason."""
        exchange = self.exchange
        totals: dict[tuple[str, ...], int] = {("trades", exchange): len(self.trades)}
        names: list[tuple[str, ...]] = [("frames", exchange, str(kind)) for kind in self.kinds]
        names += [
            ("dead_letters", exchange, str(letter.scope), letter.reason)
            for letter in self.dead_letters
        ]
        for name in names:
            totals[name] = totals.get(name, 0) + 1
        return totals


def decode(
    exchange: Exchange,
    frames: Sequence[Frame],
    instruments: Instruments,
    tracker: ChannelTracker | None = None,
) -> DecodedRows:
    """Read a batch of frames of one exchange, in the order they came.

    `tracker`: the channels of its connections, if its frames name no market; without it the batch
    holds all frames of its connections.
    """
    decoded = DecodedRows(exchange.id, frames)
    if exchange.channels and tracker is None:
        tracker = ChannelTracker(exchange.channels)
    for row, frame in enumerate(frames):
        trades, faults = _read_frame(exchange, frame, row, instruments, decoded, tracker)
        kind = KIND_TRADE if trades else KIND_DEAD if faults else KIND_CONTROL
        decoded.kinds.append(kind)
        decoded.counts.append(len(trades))
        decoded.trades += trades
        if faults:
            decoded.dead_letters += _letters(faults, kind)
    return decoded


def _read_frame(
    exchange: Exchange,
    frame: Frame,
    row: int,
    instruments: Instruments,
    decoded: DecodedRows,
    tracker: ChannelTracker | None,
) -> tuple[list[Trade], list[Fault]]:
    """Read one frame; put its event into what is decoded."""
    trades: list[Trade] = []
    faults: list[Fault] = []
    try:
        reading = _reading(exchange, frame, row, instruments, decoded, tracker)
    except FrameError as error:
        return trades, [Fault(row, 0, error.reason, error.detail)]
    if reading is None:
        return trades, faults
    dialect, natives = reading
    for index, native in natives:
        if isinstance(native, FrameError):
            faults.append(Fault(row, index, native.reason, native.detail))
            continue
        read = normalize(native, index, dialect, frame, row, exchange.id, instruments)
        if isinstance(read, Trade):
            trades.append(read)
        else:
            faults.append(read)
    if dialect.trade_ids is TradeIds.CONTENT:
        trades = _number_equal_fills(trades)
    return trades, faults


def _reading(
    exchange: Exchange,
    frame: Frame,
    row: int,
    instruments: Instruments,
    decoded: DecodedRows,
    tracker: ChannelTracker | None,
) -> tuple[Dialect, Iterable[NumberedLine]] | None:
    """Return the native trades of a frame with their places in it; None if it is a control frame.
    Raises FrameError.
    """
    connection = frame.connection
    if connection.startswith(FROM_DUMP):
        return _dump_piece(exchange, frame)
    asked = connection.startswith(FROM_REST)
    if frame.text in exchange.control_texts and not asked:
        return None
    content = parse(frame.text)
    follows = None if asked else tracker
    if follows and (lost := follows.follow(row, _place(frame), content)):
        decoded.subscriptions.append(_unified(exchange, lost, instruments))
    if isinstance(content, dict) and EVENT in content:
        if not asked:
            _note_event(exchange, row, content, instruments, decoded)
        return None
    if asked:
        reading = exchange.read_response(connection.removeprefix(FROM_REST), content)
    elif follows:
        reading = read_on_channel(exchange, follows.native_symbol(_place(frame), content), content)
    else:
        reading = exchange.read(content)
    if reading is None:
        return None
    dialect, natives = reading
    if len(natives) > MOST_TRADES:
        raise FrameError("too_many_trades", f"at most {MOST_TRADES}, got {len(natives)}")
    return dialect, enumerate(natives)


def _place(frame: Frame) -> FramePlace:
    return FramePlace(frame.source, frame.connection, frame.recv_ns, frame.source_offset)


def _dump_piece(exchange: Exchange, frame: Frame) -> tuple[Dialect, list[NumberedLine]]:
    dump = exchange.dump
    if dump is None:
        raise FrameError("bad_shape", f"{exchange.id} publishes no dumps")
    if frame.text.count("\n") >= MOST_TRADES:
        raise FrameError("too_many_trades", f"at most {MOST_TRADES} lines")
    return dump.dialect, read_piece(dump, frame.connection.removeprefix(FROM_DUMP), frame.text)


def _note_event(
    exchange: Exchange,
    row: int,
    content: dict[str, Any],
    instruments: Instruments,
    decoded: DecodedRows,
) -> None:
    """Put what a frame of ours says of its connection, and of markets, into what is decoded."""
    connected, subscribed = connection_event(row, content), subscription_event(row, content)
    if connected:
        decoded.events.append(connected)
    if subscribed:
        decoded.subscriptions.append(_unified(exchange, subscribed, instruments))


def _unified(
    exchange: Exchange, event: SubscriptionEvent, instruments: Instruments
) -> SubscriptionEvent:
    return event.with_unified_symbols(lambda name: instruments.resolve(exchange.id, name))


def _number_equal_fills(trades: list[Trade]) -> list[Trade]:
    """Keep equal fills of one frame distinct: the second gets `#1`, and so on."""
    seen: dict[tuple[str, str], int] = {}
    numbered = []
    for trade in trades:
        key = trade.native_symbol, trade.trade_id
        again = seen.get(key, 0)
        seen[key] = again + 1
        numbered.append(trade._replace(trade_id=f"{trade.trade_id}#{again}") if again else trade)
    return numbered


def _letters(faults: list[Fault], kind: int) -> list[DeadLetter]:
    """Return one dead letter for a frame without any good trade, else one for each bad trade."""
    if kind == KIND_DEAD:
        row, _, reason, _ = faults[0]
        details = "; ".join(fault.detail for fault in faults)
        return [DeadLetter(row, 0, SCOPE_FRAME, reason, details)]
    return [DeadLetter(row, index, SCOPE_TRADE, why, text) for row, index, why, text in faults]
