"""Candles, bars and trades as frames, read from the database of the settings or a named one."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import polars as pl

from candlewax.clickhouse.client import connect
from candlewax.client.bar_pages import read_bars, read_rule
from candlewax.client.reader import Reader
from candlewax.client.request import BAR, CANDLE, TRADE, Market, RequestError, Span
from candlewax.core.schema import Columns
from candlewax.runtime.cold_settings import reach_archive
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.times import parse_time_or_utc

Time = str | date | datetime | None
"""A time: text (UTC if it names no zone), a date (its midnight in UTC), or a time with a zone."""


def to_floats(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows with the nearest float in place of each decimal."""
    return rows.with_columns(
        pl.col(name).cast(pl.Float64)
        for name, kind in rows.schema.items()
        if isinstance(kind, pl.Decimal)
    )


_FRAMES: Final[dict[str, Callable[[pl.DataFrame], Any]]] = {
    "polars": lambda rows: rows,
    "pandas": lambda rows: rows.to_pandas(),
}

_NUMBERS: Final[dict[str, Callable[[pl.DataFrame], pl.DataFrame]]] = {
    "exact": lambda rows: rows,
    "float": to_floats,
}


def markets(*, database: str | None = None, frame: str = "polars") -> Any:  # noqa: ANN401 - a frame of the chosen kind
    """Return the markets that have candles, as a frame.

    Columns: exchange, symbol, trade_count, first_trade, last_trade.

    Raises RequestError, SettingsError, or DatabaseError if the database cannot be opened.
    """
    finish = _choose("frame", frame, _FRAMES)
    with _open(database) as reader:
        return finish(reader.markets())


def candles(
    symbol: str,
    timeframe: str = "1m",
    *,
    exchange: str | None = None,
    begin: Time = None,
    end: Time = None,
    closed: bool = False,
    complete: bool = False,
    numbers: str = "exact",
    database: str | None = None,
    frame: str = "polars",
) -> Any:  # noqa: ANN401 - a frame of the chosen kind
    """Return the candles of a market that begin from `begin` to before `end`, oldest first.

    `exchange` may be left out if only one has the market. `closed` leaves out the one that is still
    forming, `complete` each that may miss a trade. Columns: `request.CANDLE`; amounts are
    Decimal(38, 12 or 18), or floats if `numbers` is `"float"`.

    Raises RequestError, SettingsError, or DatabaseError if the database cannot be opened.
    """
    finish, convert = _choose("frame", frame, _FRAMES), _choose("numbers", numbers, _NUMBERS)
    span = _read_span(begin, end)
    with _open(database) as reader:
        market = _only_market(reader, exchange, symbol)
        pages = reader.candles(market, timeframe, span, closed=closed, complete=complete)
        return finish(convert(_together(pages, CANDLE)))


def trades(
    symbol: str,
    *,
    exchange: str | None = None,
    begin: Time = None,
    end: Time = None,
    numbers: str = "exact",
    database: str | None = None,
    frame: str = "polars",
) -> Any:  # noqa: ANN401 - a frame of the chosen kind
    """Return the trades of a market from `begin` to before `end`, in order of time and number.

    Columns: `request.TRADE`; `side` is the taker's. See `candles` for the rest.
    """
    finish, convert = _choose("frame", frame, _FRAMES), _choose("numbers", numbers, _NUMBERS)
    span = _read_span(begin, end)
    with _open(database) as reader:
        market = _only_market(reader, exchange, symbol)
        return finish(convert(_together(reader.trades(market, span), TRADE)))


def bars(
    symbol: str,
    rule: str,
    *,
    exchange: str | None = None,
    begin: Time = None,
    end: Time = None,
    closed: bool = False,
    complete: bool = False,
    numbers: str = "exact",
    database: str | None = None,
    frame: str = "polars",
) -> Any:  # noqa: ANN401 - a frame of the chosen kind
    """Return the bars of a market whose first trade is from `begin` to before `end`, in order.

    `rule` is what closes them, as in the instruments file: `tick 1000`, `volume 50` or
    `dollar 1000000`. Columns: `request.BAR`. See `candles` for the rest.
    """
    finish, convert = _choose("frame", frame, _FRAMES), _choose("numbers", numbers, _NUMBERS)
    span, wanted = _read_span(begin, end), read_rule(rule)
    with _open(database) as reader:
        market = _only_market(reader, exchange, symbol)
        pages = read_bars(reader, market, wanted, span, closed=closed, complete=complete)
        return finish(convert(_together(pages, BAR)))


@contextmanager
def _open(location: str | None) -> Iterator[Reader]:
    settings = load_settings()
    if settings.cold:
        reach_archive(settings.cold)
    place: Path | Server = settings.clickhouse
    if location is not None:
        place = _parse_place(location)
    with closing(connect(place, settings.database)) as database:
        yield Reader(database)


def _parse_place(location: str) -> Path | Server:
    parts = urlsplit(location)
    if "://" not in location and location and (":" not in location or Path(location).exists()):
        return Path(location)
    # A bad address is not repeated, as it may hold a password.
    if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
        raise RequestError(
            "database: takes a directory, or an address with its port, as http://127.0.0.1:8000"
        )
    return Server(location)


def _has_port(parts: SplitResult) -> bool:
    try:
        return bool(parts.port)
    except ValueError:
        return False


def _read_span(begin: Time, end: Time) -> Span:
    span = Span(_read_time("begin", begin), _read_time("end", end))
    if span.begin and span.end and span.begin >= span.end:
        raise RequestError(f"end: got {end}, takes a time after begin, which is {begin}")
    return span


def _only_market(reader: Reader, exchange: str | None, symbol: str) -> Market:
    found = reader.select_markets([exchange] if exchange else [], [symbol])
    if len(found) > 1:
        names = ", ".join(market.exchange for market in found)
        raise RequestError(f"exchange: got none, takes one of {names}, which all have {symbol}")
    return found[0]


def _together(pages: Iterable[pl.DataFrame], columns: Columns) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=columns), *pages])


def _choose(name: str, value: str, choices: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    if value not in choices:
        raise RequestError(f"{name}: got {value!r}, takes {' or '.join(map(repr, choices))}")
    return choices[value]


def _read_time(name: str, value: Time) -> datetime | None:
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return parse_time_or_utc(value)
    except ValueError as error:
        raise RequestError(f"{name}: {error}") from None
    if not isinstance(value, date):
        raise RequestError(f"{name}: got {value!r}, takes text, a date, or a time with its zone")
    if not isinstance(value, datetime):
        return datetime.combine(value, time(), UTC)
    if value.tzinfo is None:
        raise RequestError(f"{name}: got {value}, takes a time with its zone")
    return value.astimezone(UTC)
