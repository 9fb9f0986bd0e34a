"""The parameters of each request: what they take, checked before anything is asked.

The same types make the OpenAPI document, so that it says what is checked.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request

from candlewax.exchanges import EXCHANGES
from candlewax.runtime.times import parse_time
from candlewax.web.problem import Problem, bad_parameter

MOST_ROWS: Final = 10_000
"""Rows of one answer."""

Exchange = Annotated[
    str, Meta(pattern=f"^({'|'.join(EXCHANGES)})$", description="id of an exchange")
]
Symbol = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="unified symbol, as BTC/USDT",
        examples=["BTC/USDT"],
    ),
]
Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "1d"]
Time = Annotated[
    datetime,
    Meta(tz=True, description="ISO 8601 with a zone, or seconds since 1970", examples=[1789430400]),
]
"""`read_time` makes it of the text that was given."""
Limit = Annotated[int, Meta(ge=1, le=MOST_ROWS, description="rows of one answer, at most")]
Format = Annotated[
    Literal["json", "csv", "parquet", "arrow"],
    Meta(description="instead of the Accept header; json if neither says anything"),
]

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""The times a candle can have."""


class Parameters(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What all requests for rows take."""

    format: Format | UnsetType = UNSET


class Market(Parameters, frozen=True, kw_only=True):
    """One market."""

    exchange: Exchange
    symbol: Symbol


class Span(Market, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A market's rows of a time: from (inclusive) to (exclusive)."""

    from_: Time | UnsetType = UNSET
    to: Time | UnsetType = UNSET


class Candles(Span, frozen=True, kw_only=True):
    """The candles of a market. With `from` the first ones from there on, without it the
    last ones before `to`; in either case in the order of time.
    """

    limit: Limit = 1000


class Trades(Span, frozen=True, kw_only=True):
    """The trades of a market, chosen and ordered like candles. `cursor` comes from the
    link to the next page and takes the place of `from` or `to`.
    """

    limit: Limit = 1000
    cursor: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


class Gaps(Parameters, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Holes in the numbers of trades, of all markets or of some."""

    exchange: Exchange | UnsetType = UNSET
    symbol: Symbol | UnsetType = UNSET
    from_: Time | UnsetType = UNSET
    to: Time | UnsetType = UNSET
    limit: Limit = 1000


class Symbols(Parameters, frozen=True, kw_only=True):
    """Markets, of all exchanges or of one."""

    exchange: Exchange | UnsetType = UNSET


class Stream(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a page shows: one market in one timeframe."""

    exchange: Exchange
    symbol: Symbol
    timeframe: Timeframe = "1m"


class Nothing(Struct, forbid_unknown_fields=True, frozen=True):
    """No parameters."""


T = TypeVar("T", bound=Struct)

_WHERE: Final = re.compile(r" - at `\$\.?([^`]*)`$")


def read(kind: type[T], request: Request) -> T:
    """The parameters of a request. Raises Problem."""
    given = request.query_params.multi_items()
    values: dict[str, object] = {}
    for name, text in given:
        if name in values:
            raise bad_parameter(name, "given more than once")
        values[name] = text
    for name, field in _TIMES:
        if name in values and field in kind.__struct_fields__:
            values[name] = read_time(name, str(values[name]))
    try:
        found = msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _told(error) from None
    _check_times(found)
    return found


def read_time(name: str, text: str) -> datetime:
    """Return the time that a parameter's text tells. Raises Problem."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None


def _told(error: msgspec.ValidationError) -> Problem:
    text = str(error)
    where = _WHERE.search(text)
    said = _WHERE.sub("", text)
    if where:
        return bad_parameter(where[1], said)
    named = re.search(r"field `([^`]*)`", said)
    said = said.replace("Object contains unknown field", "there is no parameter")
    said = said.replace("Object missing required field", "there must be the parameter")
    return bad_parameter(named[1] if named else "", said)


def _check_times(found: Struct) -> None:
    times: dict[str, Any] = {name: getattr(found, field, UNSET) for name, field in _TIMES}
    for name, time in times.items():
        if isinstance(time, datetime) and not EARLIEST <= time < LATEST:
            raise bad_parameter(name, "a time from 1970 to 2105")
    begin, end = times["from"], times["to"]
    if isinstance(begin, datetime) and isinstance(end, datetime) and end <= begin:
        raise bad_parameter("to", "must be later than from")


_TIMES: Final = (("from", "from_"), ("to", "to"))
