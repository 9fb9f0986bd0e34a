"""What an exchange module declares for its live feed: pure rules, no sockets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from candlewax.exchanges.protocol.fields import FrameError, parse


class Kind(Enum):
    """What a frame that is no trade says to the one who subscribed."""

    OTHER = "other"
    HEARTBEAT = "heartbeat"
    ACK = "ack"
    REFUSAL = "refusal"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True)
class ControlMessage:
    """What a frame says about a subscription.

    `request` is the id of the message it answers, `instruments` are the native symbols
    it names; either may be absent. `reason` is the exchange's own text.
    """

    kind: Kind
    request: int | None = None
    instruments: tuple[str, ...] = ()
    reason: str = ""


OTHER = ControlMessage(Kind.OTHER)
HEARTBEAT = ControlMessage(Kind.HEARTBEAT)
SHUTDOWN = ControlMessage(Kind.SHUTDOWN)


@dataclass(frozen=True)
class WebSocketRules:
    """How an exchange wants to be connected to and subscribed to.

    `instruments` a connection carries at most; `chunk` of them stand in one message,
    made by `subscribe` of native symbols and an id; `opening` are messages sent first.
    `messages_s` messages a second may be sent, and `connect_every_s` is the time between
    two attempts to connect. After `silent_s` seconds without any message a connection is
    dead (None: the exchange need not send anything), after `stalled_s` seconds with
    nothing but heartbeats it is stalled. After `longest_s` seconds the exchange ends it.
    `whole` tells that a message of which one instrument is refused is refused as a whole,
    `in_turn` that answers without an id or a name come in the order of the messages.
    `is_simulated` tells whether it must be the simulator that answers; None if that is open.
    `is_trade` tells cheaply whether a frame holds new trades, `hear` reads any other.
    """

    url: str
    instruments: int
    chunk: int
    messages_s: float
    connect_every_s: float
    silent_s: float | None
    stalled_s: float
    longest_s: float | None
    subscribe: Callable[[Sequence[str], int], str]
    is_trade: Callable[[str], bool]
    hear: Callable[[str], ControlMessage]
    opening: tuple[str, ...] = ()
    whole: bool = False
    in_turn: bool = False
    is_simulated: bool | None = None


def parse_object(frame: str) -> dict[str, Any]:
    """The JSON object of a frame; empty if it is none."""
    try:
        content = parse(frame)
    except FrameError:
        return {}
    return content if isinstance(content, dict) else {}


def number(value: Any) -> int | None:  # noqa: ANN401 - JSON may be anything
    """The value if it is an id as we give them."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
