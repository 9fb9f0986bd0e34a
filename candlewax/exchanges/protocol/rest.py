"""REST rules of an exchange: declarations and pure functions, no sockets."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from candlewax.exchanges.protocol.fields import Fields, FrameError, NativeTrade, bad_shape, try_read

NATIVE_SYMBOL: Final = "native symbol"
"""Field of a native trade for the symbol, if its frame does not hold it."""


@dataclass(frozen=True)
class Cursor:
    """Position from which trades are requested: a trade number, and nanoseconds since 1970.

    An exchange pages by one of the two. `now_ns`: time of the request; 0 if it is not known.
    """

    number: int
    time_ns: int = 0
    now_ns: int = 0


@dataclass(frozen=True)
class Page:
    """Content of a response, as far as paging needs it.

    `numbers`: the numbers of its trades, ascending. `times_us`: their times, since 1970.
    `until_ns`: where the next request begins, if the exchange pages by time. `unreadable_rows`:
    rows that could not be read; a page with only such rows is not empty.
    """

    numbers: Sequence[int]
    times_us: Sequence[int]
    until_ns: int = 0
    unreadable_rows: int = 0


class RestErrorKind(Enum):
    """Kind of a response without trades."""

    RATE_LIMITED = "rate limited"
    """Too many requests: every request must wait."""
    PERMANENT = "permanent"
    """The exchange does not have these trades; a retry is useless."""
    KEY_REQUIRED = "key required"
    """The exchange answers requests with an API key only."""
    FAILED = "failed"
    """Any other failure; a retry may succeed."""


@dataclass(frozen=True)
class RestError:
    """A response without trades: its kind, and the exchange's own text."""

    kind: RestErrorKind
    reason: str


@dataclass(frozen=True)
class RestRules:
    """Limits, paths and parsers of an exchange's REST interface.

    `trades_path` returns path and query for trades of a native symbol from a cursor on, at most
    `page_rows` of them; `latest_path` for the last ones, at most `latest_page_rows`. `parse_page`
    reads a decoded response and raises FrameError. `parse_error` returns the error that a status
    and a decoded response (None if it is not JSON) mean, or None.

    A client may send `requests_per_s`, `burst` of them at once. `usage_limit`: a response header
    that counts what was spent, and the most it may count. `pages_by_time`: cursors are times.
    `page_counts_numbers`: a response covers as many numbers as were requested, however few trades
    have them. `key_header`: the header of an API key. `requires_key`: without a key the exchange
    returns the latest trades only. `no_trades_because`: why trades are not requested, if so: they
    could not be told from those of the websocket.

    `shows_gaps`: numbers show which trades are missing. Otherwise trades outside a span may come
    along with those of it, as no gap is made of them. `reach_s`: how far back from now the exchange
    shows trades, in seconds; None is without a known limit.
    """

    url: str
    page_rows: int
    latest_page_rows: int
    requests_per_s: float
    burst: int
    trades_path: Callable[[str, Cursor, int], str]
    latest_path: Callable[[str, int], str]
    parse_page: Callable[[Any], Page]
    parse_error: Callable[[int, Any], RestError | None]
    pages_by_time: bool = False
    page_counts_numbers: bool = False
    key_header: str | None = None
    requires_key: bool = False
    usage_limit: tuple[str, int] | None = None
    shows_gaps: bool = True
    reach_s: float | None = None
    no_trades_because: str | None = None


def error_for_status(status: int, content: Any, message: str) -> RestError | None:  # noqa: ANN401
    """Return the error that a status means at every exchange, or None.

    `message`: the exchange's own text, if any.
    """
    if status == 200 and content is not None:
        return None
    reason = f"status {status}: {message}" if message else f"status {status}"
    if status in (418, 429):
        return RestError(RestErrorKind.RATE_LIMITED, reason)
    if status == 200:
        reason = "the answer is no JSON"
    return RestError(RestErrorKind.FAILED, reason)


def error_of_kind(
    status: int,
    content: Any,  # noqa: ANN401 - JSON may be anything
    message: str,
    kind: RestErrorKind | None,
) -> RestError | None:
    """Return the error that an exchange's own code and text mean, or else its status; or None.

    `kind`: what the code means; None if it is not known. A text with status 200 is a failure then.
    """
    if kind is None and message and status == 200:
        kind = RestErrorKind.FAILED
    if kind is None:
        return error_for_status(status, content, message)
    return RestError(kind, message or f"status {status}")


def require_list(value: Any, noun: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    """Return a list of a response. Raises FrameError for anything else."""
    if not isinstance(value, list):
        raise bad_shape(f"a list of {noun}", value)
    return value


def read_row(row: Any, shape: Fields, native_symbol: str) -> NativeTrade | FrameError:  # noqa: ANN401
    """Read one trade of a response about a native symbol, or return the error."""
    return name_symbol(try_read(row, shape), native_symbol)


def name_symbol(trade: NativeTrade | FrameError, native_symbol: str) -> NativeTrade | FrameError:
    """Return a trade of a response with the symbol that was requested; an error as it is."""
    return trade if isinstance(trade, FrameError) else {**trade, NATIVE_SYMBOL: native_symbol}


def build_page(
    trades: Iterable[NativeTrade | FrameError],
    read_number: Callable[[NativeTrade], int],
    read_time_us: Callable[[NativeTrade], int | None],
    until_ns: int = 0,
) -> Page:
    """Build a page from trades in any order.

    `unreadable_rows` counts trades that could not be read and those without a readable time.
    """
    readable, unreadable_rows = [], 0
    for trade in trades:
        time_us = None if isinstance(trade, FrameError) else read_time_us(trade)
        if isinstance(trade, FrameError) or time_us is None:
            unreadable_rows += 1
        else:
            readable.append((read_number(trade), time_us))
    readable.sort()
    return Page(
        [n for n, _ in readable], [time_us for _, time_us in readable], until_ns, unreadable_rows
    )


def build_time_page(
    trades: Iterable[NativeTrade | FrameError],
    read_number: Callable[[NativeTrade], int],
    read_time_us: Callable[[NativeTrade], int | None],
) -> Page:
    """Build a page as `build_page` does; the next one begins at the time of its last trade."""
    page = build_page(trades, read_number, read_time_us)
    return replace(page, until_ns=page.times_us[-1] * 1000 if page.times_us else 0)


def sort_by_number(
    trades: Iterable[NativeTrade | FrameError], read_number: Callable[[NativeTrade], int]
) -> list[NativeTrade | FrameError]:
    """Return trades in the order of their numbers; one that cannot be read counts as 0."""
    return sorted(
        trades, key=lambda trade: 0 if isinstance(trade, FrameError) else read_number(trade)
    )
