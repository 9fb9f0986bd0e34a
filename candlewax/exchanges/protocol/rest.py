"""What an exchange module declares for asking by REST: pure rules, no sockets."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from candlewax.exchanges.protocol.fields import Fields, FrameError, NativeTrade, attempt, bad_shape

NATIVE: Final = "native symbol"
"""The field of a native trade that holds the symbol its frame does not."""


@dataclass(frozen=True)
class Cursor:
    """Where trades are asked from: a number, and a time in nanoseconds since 1970. An
    exchange goes by the one or by the other.
    """

    number: int
    time_ns: int = 0


@dataclass(frozen=True)
class Page:
    """What an answer holds: the numbers of its trades, ascending, and their times in
    microseconds since 1970. `until_ns` is from when on an exchange that goes by time is
    asked for what follows. `unread` rows beside them cannot be read: a page that has only
    such rows is not empty.
    """

    numbers: Sequence[int]
    times: Sequence[int]
    until_ns: int = 0
    unread: int = 0


class RestErrorKind(Enum):
    """What an exchange says that gives no trades."""

    SLOWER = "slower"
    """Too many requests: all of them are to wait."""
    NEVER = "never"
    """There is nothing to be had, however often one asks."""
    KEY = "key"
    """Only to who shows a key."""
    FAILED = "failed"
    """Anything else: perhaps next time."""


@dataclass(frozen=True)
class RestError:
    """An answer without trades: what follows from it, and the exchange's own words."""

    verdict: RestErrorKind
    reason: str


@dataclass(frozen=True)
class RestRules:
    """How an exchange is asked for its trades.

    `target` is path and query for trades of a native symbol from a place on, at most so
    many and never more than `page`; `newest` for the last ones, at most `newest_page`.
    `read` gives what a decoded answer holds (raises FrameError), `complaint` what it says
    instead, from the status and the decoded answer (None where it is no JSON).
    Requests may come `requests_s` a second, `burst` of them at once. `by_time` tells that
    places are times, `windowed` that an answer holds the trades with so many numbers from
    a place on, however few they are. `key_header` is where a key goes; if `key_needed`,
    who has none is shown the newest trades only. `used` names a header that counts what
    was spent, and how much of it may be.
    """

    url: str
    page: int
    newest_page: int
    requests_s: float
    burst: int
    target: Callable[[str, Cursor, int], str]
    newest: Callable[[str, int], str]
    read: Callable[[Any], Page]
    complaint: Callable[[int, Any], RestError | None]
    by_time: bool = False
    windowed: bool = False
    key_header: str | None = None
    key_needed: bool = False
    used: tuple[str, int] | None = None


def by_status(status: int, content: Any, said: str) -> RestError | None:  # noqa: ANN401
    """What statuses mean everywhere; `said` are the exchange's words, if any."""
    if status == 200 and content is not None:
        return None
    reason = f"status {status}: {said}" if said else f"status {status}"
    if status in (418, 429):
        return RestError(RestErrorKind.SLOWER, reason)
    if status == 200:
        reason = "the answer is no JSON"
    return RestError(RestErrorKind.FAILED, reason)


def rows(value: Any, what: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    """A list of an answer. Raises FrameError."""
    if not isinstance(value, list):
        raise bad_shape(f"a list of {what}", value)
    return value


def named(row: Any, shape: Fields, native: str) -> NativeTrade | FrameError:  # noqa: ANN401
    """Read one trade of an answer about a native symbol."""
    trade = attempt(row, shape)
    return trade if isinstance(trade, FrameError) else {**trade, NATIVE: native}


def page(
    trades: Iterable[NativeTrade | FrameError],
    number: Callable[[NativeTrade], int],
    time: Callable[[NativeTrade], int | None],
    until_ns: int = 0,
) -> Page:
    """Return the page of trades in any order. Those that cannot be read, or whose time cannot
    (None), are counted only.
    """
    found, unread = [], 0
    for trade in trades:
        at = None if isinstance(trade, FrameError) else time(trade)
        if isinstance(trade, FrameError) or at is None:
            unread += 1
        else:
            found.append((number(trade), at))
    found.sort()
    return Page([n for n, _ in found], [at for _, at in found], until_ns, unread)
