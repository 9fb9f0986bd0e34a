"""Rules of an exchange whose frames name no market, only a channel of their connection.

The answer to a subscription says which market a channel carries. Channels and the numbers of frames
are those of one connection, and begin anew with the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

CHANNEL: Final = "channel"
"""Field of a layout for the channel of its frame."""

FRAME_NUMBER: Final = "frame_number"
"""Field of a layout for the number of its frame."""

NO_TRADES: Final = ""
"""Native symbol of a channel that carries no trades."""


class ChannelChange(NamedTuple):
    """Change that a frame tells of the channels of its connection.

    A channel begins to carry the trades of a native symbol (NO_TRADES: anything else), or ends
    (None). Without a channel the connection begins, with none.
    """

    channel: str | None = None
    native_symbol: str | None = None


CONNECTION_BEGINS: Final = ChannelChange()


@dataclass(frozen=True)
class ChannelRules:
    """Readers of the decoded JSON of a frame.

    `read_change`: the change that it tells, if any. `read_channel`: the channel that it came on, if
    any. `read_number`: its number in its connection, if the connection counts its frames; each is
    one more than the one before.
    """

    read_change: Callable[[Any], ChannelChange | None]
    read_channel: Callable[[Any], str | None]
    read_number: Callable[[Any], int | None]
