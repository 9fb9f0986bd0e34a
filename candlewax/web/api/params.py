"""Parameters of each request, checked before any query runs.

The OpenAPI document is built from the same types.
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
        description="unified symbol, such as BTC/USDT",
        examples=["BTC/USDT"],
    ),
]
Timeframe = Literal["1m", "5m", "15m", "30m", "1h", "1d"]
Time = Annotated[
    datetime,
    Meta(tz=True, description="ISO 8601 with a zone, or seconds since 1970", examples=[1789430400]),
]
"""`read_time` parses it from text."""
Limit = Annotated[int, Meta(ge=1, le=MOST_ROWS, description="rows of one answer, at most")]
Format = Annotated[
    Literal["json", "csv", "parquet", "arrow"],
    Meta(description="takes precedence over the Accept header; json if neither names one"),
]

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""Bound of the times a candle can have, exclusive."""


class Parameters(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Parameters of all requests for rows."""

    format: Format | UnsetType = UNSET


class Market(Parameters, frozen=True, kw_only=True):
    """One market."""

    exchange: Exchange
    symbol: Symbol


class Span(Market, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Rows of a market in a span of time: `from` (inclusive) to `to` (exclusive)."""

    from_: Time | UnsetType = UNSET
    to: Time | UnsetType = UNSET


class Candles(Span, frozen=True, kw_only=True):
    """Candles of a market, oldest first. With `from` the first ones from there on, without it the
    last ones before `to`.
    """

    limit: Limit = 1000


class Trades(Span, frozen=True, kw_only=True):
    """Trades of a market, oldest first, chosen like candles. `cursor` comes from the link to the
    next page and replaces `from` or `to`.
    """

    limit: Limit = 1000
    cursor: Annotated[str, Meta(max_length=200)] | UnsetType = UNSET


class Gaps(Parameters, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Gaps of all markets or of some."""

    exchange: Exchange | UnsetType = UNSET
    symbol: Symbol | UnsetType = UNSET
    from_: Time | UnsetType = UNSET
    to: Time | UnsetType = UNSET
    limit: Limit = 1000


class Symbols(Parameters, frozen=True, kw_only=True):
    """Markets of all exchanges or of one."""

    exchange: Exchange | UnsetType = UNSET


class Stream(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One market in one timeframe."""

    exchange: Exchange
    symbol: Symbol
    timeframe: Timeframe = "1m"


class Nothing(Struct, forbid_unknown_fields=True, frozen=True):
    """No parameters."""


T = TypeVar("T", bound=Struct)

_LOCATION: Final = re.compile(r" - at `\$\.?([^`]*)`$")


def read(parameters_type: type[T], request: Request) -> T:
    """Return the parameters of a request. Raises Problem."""
    items = request.query_params.multi_items()
    values: dict[str, object] = {}
    for name, text in items:
        if name in values:
            raise bad_parameter(name, "given more than once")
        values[name] = text
    for name, field in _TIMES:
        if name in values and field in parameters_type.__struct_fields__:
            values[name] = read_time(name, str(values[name]))
    try:
        parameters = msgspec.convert(values, parameters_type, strict=False)
    except msgspec.ValidationError as error:
        raise _to_problem(error) from None
    _check_times(parameters)
    return parameters


def read_time(name: str, text: str) -> datetime:
    """Return the time that a parameter gives. Raises Problem."""
    try:
        return parse_time(text)
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None


def _to_problem(error: msgspec.ValidationError) -> Problem:
    text = str(error)
    location = _LOCATION.search(text)
    message = _LOCATION.sub("", text)
    if location:
        return bad_parameter(location[1], message)
    field_name = re.search(r"field `([^`]*)`", message)
    message = message.replace("Object contains unknown field", "unknown parameter")
    message = message.replace("Object missing required field", "missing parameter")
    return bad_parameter(field_name[1] if field_name else "", message)


def _check_times(parameters: Struct) -> None:
    times: dict[str, Any] = {name: getattr(parameters, field, UNSET) for name, field in _TIMES}
    for name, time in times.items():
        if isinstance(time, datetime) and not EARLIEST <= time < LATEST:
            raise bad_parameter(name, "a time from 1970 to 2105")
    begin, end = times["from"], times["to"]
    if isinstance(begin, datetime) and isinstance(end, datetime) and end <= begin:
        raise bad_parameter("to", "must be later than from")


_TIMES: Final = (("from", "from_"), ("to", "to"))
