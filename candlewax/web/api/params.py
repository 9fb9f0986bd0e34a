"""Parameters of each request, checked before any query runs.

The OpenAPI document is built from the same types.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.exchanges import EXCHANGES
from candlewax.runtime.times import parse_time_of_any_unit
from candlewax.web.api.parameter_schemas import expectation, fields
from candlewax.web.problem import Problem, bad_parameter

MOST_ROWS: Final = 10_000
"""Rows of one answer."""

MOST_SYMBOLS: Final = 20
"""Markets of one answer."""

Exchange = Annotated[
    str,
    Meta(
        description="id of an exchange",
        examples=["binance"],
        extra_json_schema={"enum": list(EXCHANGES)},
    ),
]
Symbol = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="unified symbol, such as BTC/USDT; BTCUSDT, btc-usdt and XBT/USDT are found "
        "too if one market is meant",
        examples=["BTC/USDT"],
    ),
]
Symbols = Annotated[
    tuple[Symbol, ...],
    Meta(
        min_length=1,
        max_length=MOST_SYMBOLS,
        description="unified symbols, such as BTC/USDT,ETH/USDT",
        examples=[["BTC/USDT"], ["BTC/USDT", "ETH/USDT"]],
    ),
]
Timeframe = Annotated[Literal["1m", "5m", "15m", "30m", "1h", "1d"], Meta(examples=["1m"])]
Time = Annotated[
    datetime,
    Meta(
        tz=True,
        description="ISO 8601 with a zone; a date, in UTC; or seconds, milliseconds or "
        "microseconds since 1970, told apart by their size",
        examples=["2026-09-14T00:00:00Z", 1789344000, 1789344000000, "2026-09-14"],
    ),
]
"""`read_time` parses it from text."""
Limit = Annotated[
    int, Meta(ge=1, le=MOST_ROWS, description="rows of one answer, at most", examples=[10])
]
Format = Annotated[
    Literal["json", "csv", "parquet", "arrow"],
    Meta(description="takes precedence over the Accept header; json if neither names one"),
]
Order = Annotated[
    Literal["asc", "desc"],
    Meta(description="desc: newest first, and the newest rows of the span also with `from`"),
]
Closed = Annotated[
    bool, Meta(description="true: only closed candles; false: only those that still form")
]
Status = Literal["forming", "complete", "gaps", "partial", "unverified"]
Statuses = Annotated[
    tuple[Status, ...],
    Meta(min_length=1, max_length=5, description="only candles whose certificate says so"),
]
Reconciled = Annotated[
    tuple[Literal["no", "equal", "differs", "unavailable"], ...],
    Meta(
        min_length=1,
        max_length=4,
        description="only closed candles of 1m whose comparison with the exchange's own said so; "
        "no: not compared since they changed last",
    ),
]
Place = Annotated[
    str,
    Meta(
        max_length=200,
        description="from the link to a next page",
        examples=["2026-09-14T12:00:00.000000~28457~28457"],
    ),
]
State = Literal["open", "repairing", "unrepairable", "repaired"]
States = Annotated[
    tuple[State, ...], Meta(min_length=1, max_length=4, description="only gaps in these states")
]

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""Bound of the times a candle can have, exclusive."""


class Parameters(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Parameters of all requests for rows."""

    format: Format | UnsetType = UNSET


class Span(Parameters, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Rows in a span of time: `from` (inclusive) to `to` (exclusive)."""

    from_: Time | UnsetType = UNSET
    to: Time | UnsetType = UNSET

    @property
    def begin(self) -> datetime:
        """Return the begin of the span, inclusive."""
        return self.from_ if isinstance(self.from_, datetime) else EARLIEST

    @property
    def end(self) -> datetime:
        """Return the end of the span, exclusive."""
        return self.to if isinstance(self.to, datetime) else LATEST


class Candles(Span, frozen=True, kw_only=True):
    """Candles of a market, oldest first. With `from` the first ones from there on, without it the
    last ones before `to`. Of several markets `limit` counts for each, all together have at most
    10,000 rows, and each row names its `exchange` and `symbol`.
    """

    exchange: Exchange
    symbol: Symbols
    closed: Closed | UnsetType = UNSET
    status: Statuses | UnsetType = UNSET
    reconciled: Reconciled | UnsetType = UNSET
    order: Order | UnsetType = UNSET
    limit: Limit = 1000

    @property
    def is_last(self) -> bool:
        """Return whether the last rows of the span are asked for, not the first."""
        return self.from_ is UNSET or self.order == "desc"


class Trades(Span, frozen=True, kw_only=True):
    """Trades of a market, oldest first, chosen like candles. `cursor` comes from the link to the
    next page and replaces `from` or `to`.
    """

    exchange: Exchange
    symbol: Symbol
    order: Order | UnsetType = UNSET
    limit: Limit = 1000
    cursor: Place | UnsetType = UNSET

    @property
    def is_last(self) -> bool:
        """Return whether the last rows of the span are asked for, not the first."""
        return self.from_ is UNSET or self.order == "desc"


class Gaps(Span, frozen=True, kw_only=True):
    """Gaps of all markets or of some, that overlap the span."""

    exchange: Exchange | UnsetType = UNSET
    symbol: Symbols | UnsetType = UNSET
    state: States | UnsetType = UNSET
    order: Order | UnsetType = UNSET
    limit: Limit = 1000


class SymbolList(Parameters, frozen=True, kw_only=True):
    """Markets of all exchanges or of one."""

    exchange: Exchange | UnsetType = UNSET


class Tickers(Parameters, frozen=True, kw_only=True):
    """Latest price and statistics of 24 hours, of all markets or of some. The hours end with the
    newest minute of the exchange, so they are the same for its markets.
    """

    exchange: Exchange | UnsetType = UNSET
    symbol: Symbols | UnsetType = UNSET


class Stream(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One market in one timeframe."""

    exchange: Exchange
    symbol: Symbol
    timeframe: Timeframe = "1m"


class Nothing(Struct, forbid_unknown_fields=True, frozen=True):
    """No parameters."""


def path_timeframe(request: Request) -> str:
    """Return the timeframe in the address of a request. Raises Problem."""
    timeframe = str(request.path_params["timeframe"])
    if timeframe not in TIMEFRAMES:
        text = f"takes one of {', '.join(TIMEFRAMES)}; got {timeframe[:100]!r}"
        raise Problem(404, "unknown_timeframe", text, "timeframe")
    return timeframe


T = TypeVar("T", bound=Struct)


def read(parameters_type: type[T], request: Request) -> T:
    """Return the parameters of a request. Raises Problem."""
    properties, required = fields(parameters_type)
    values: dict[str, object] = {}
    for name, text in request.query_params.multi_items():
        if name in values:
            raise bad_parameter(name, "given more than once")
        if name not in properties:
            known = f"there are {', '.join(properties)}" if properties else "there is none here"
            raise bad_parameter(name, f"unknown parameter; {known}")
        values[name] = _value(name, text, properties[name])
    for name in required:
        if name not in values:
            raise bad_parameter(name, f"missing; {expectation(properties[name])}")
    try:
        parameters = msgspec.convert(values, parameters_type, strict=False)
    except msgspec.ValidationError as error:
        name = _name_of(error)
        text = request.query_params[name][:100]
        raise bad_parameter(name, f"{expectation(properties[name])}; got {text!r}") from None
    _check_times(parameters)
    return parameters


def _value(name: str, text: str, schema: Mapping[str, Any]) -> object:
    if schema.get("format") == "date-time":
        return read_time(name, text)
    if schema.get("type") == "array":
        return text.split(",")
    if text not in schema.get("enum", (text,)):
        raise bad_parameter(name, f"{expectation(schema)}; got {text[:100]!r}")
    return text


def read_time(name: str, text: str) -> datetime:
    """Return the time that a parameter gives. Raises Problem."""
    try:
        return parse_time_of_any_unit(text)
    except ValueError as error:
        raise bad_parameter(name, str(error)) from None


_LOCATION: Final = re.compile(r" - at `\$\.(\w+)")


def _name_of(error: msgspec.ValidationError) -> str:
    """Return the name of the parameter that an error is about."""
    location = _LOCATION.search(str(error))
    if not location:
        raise error  # Names are checked before; only values can be wrong.
    return location[1]


def _check_times(parameters: Struct) -> None:
    times: dict[str, Any] = {name: getattr(parameters, field, UNSET) for name, field in _TIMES}
    for name, time in times.items():
        if isinstance(time, datetime) and not EARLIEST <= time < LATEST:
            raise bad_parameter(
                name, f"takes a time from 1970 to 2105; got {time:%Y-%m-%dT%H:%M:%SZ}"
            )
    begin, end = times["from"], times["to"]
    if isinstance(begin, datetime) and isinstance(end, datetime) and end <= begin:
        raise bad_parameter("to", "must be later than from")


_TIMES: Final = (("from", "from_"), ("to", "to"))
