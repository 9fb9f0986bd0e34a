"""Websocket rules of an exchange: declarations and pure functions, no sockets."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from candlewax.exchanges.protocol.fields import FrameError, parse


class Kind(Enum):
    """Kind of a frame that holds no trade."""

    OTHER = "other"
    HEARTBEAT = "heartbeat"
    ACK = "ack"
    REFUSAL = "refusal"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class ControlMessage:
    """Content of a frame that holds no trade, as far as subscriptions need it.

    `request`: the id of the message that the frame answers. `native_symbols`: the symbols it names.
    Either may be absent. `reason`: the exchange's own text.
    """

    kind: Kind
    request: int | None = None
    native_symbols: tuple[str, ...] = ()
    reason: str = ""


OTHER = ControlMessage(Kind.OTHER)
HEARTBEAT = ControlMessage(Kind.HEARTBEAT)
SHUTDOWN = ControlMessage(Kind.SHUTDOWN)


@dataclass(frozen=True)
class Ping:
    """Message that a client sends every so often, as an exchange closes silent connections.

    It is beside the pings of the websocket protocol, which each connection sends.
    """

    message: str
    every_s: float


@dataclass(frozen=True)
class WebSocketRules:
    """Limits and messages of an exchange's websocket.

    `subscribe` returns a message from at most `symbols_per_message` native symbols and an id;
    `opening_messages` are sent before it. `connect_every_s`: the least time between two attempts to
    connect.

    A connection is dead after `dead_after_s` without any message (None: the exchange need not send
    any), and stalled after `stalled_after_s` with nothing but heartbeats. The exchange closes it
    after `max_age_s`.

    `rejects_whole_message`: if the exchange refuses one symbol of a message, it refuses the
    message. `replies_in_order`: replies without id and symbol come in the order of the messages.
    `is_simulated`: whether the simulator must answer; None accepts both. `is_trade` tells cheaply
    whether a frame holds new trades; `parse_control` reads all other frames, the answer to a `ping`
    as a heartbeat.
    """

    url: str
    symbols_per_connection: int
    symbols_per_message: int
    messages_per_s: float
    connect_every_s: float
    dead_after_s: float | None
    stalled_after_s: float
    max_age_s: float | None
    subscribe: Callable[[Sequence[str], int], str]
    is_trade: Callable[[str], bool]
    parse_control: Callable[[str], ControlMessage]
    opening_messages: tuple[str, ...] = ()
    rejects_whole_message: bool = False
    replies_in_order: bool = False
    ping: Ping | None = None
    is_simulated: bool | None = None


def write_message(message: Mapping[str, Any]) -> str:
    """Return the text of a message to an exchange: JSON without spaces."""
    return json.dumps(message, separators=(",", ":"))


def parse_object(frame: str) -> dict[str, Any]:
    """Return the JSON object of a frame, or an empty one if the frame holds none."""
    try:
        content = parse(frame)
    except FrameError:
        return {}
    return content if isinstance(content, dict) else {}


def parse_request_id(value: Any) -> int | None:  # noqa: ANN401 - JSON may be anything
    """Return the value if it is an integer, as our request ids are; else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
