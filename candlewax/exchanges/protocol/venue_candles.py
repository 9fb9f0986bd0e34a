"""Rules of an exchange's own one-minute candles over REST: declarations and pure functions."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from candlewax.exchanges.protocol.fields import FrameError, bad_shape, to_text
from candlewax.exchanges.protocol.rest import require_list

MINUTE_S: Final = 60


class VenueCandle(NamedTuple):
    """A one-minute candle of an exchange; `start_s` in seconds since 1970.

    Amounts are texts of exact decimals, as the exchange sent them; `Decimal` reads each. A field
    that the exchange does not publish is None. `vwap` is cut to the digits it has.
    """

    start_s: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str | None = None
    buy_volume: str | None = None
    buy_quote_volume: str | None = None
    vwap: str | None = None
    trade_count: int | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether the minute had no trade: the candle is flat, with volume 0."""
        return not self.trade_count and not self.volume.lower().partition("e")[0].strip("0.")


@dataclass(frozen=True)
class CandleRules:
    """Path, parser and limits of the request for an exchange's own one-minute candles.

    The request goes to the address of `RestRules`, whose `parse_error` reads refusals and whose
    rate limit it shares: it spends `cost` of what a request for trades spends.

    `path` returns path and query for the minutes of a native symbol from `begin_s` until before
    `end_s` (seconds since 1970, whole minutes), at most `page_minutes` of them. `parse` reads a
    decoded response, in any order and with more minutes than were asked for, without candles that
    the exchange marks as not final; it raises FrameError. `has_empty_minutes`: a minute without
    trades has a flat candle with volume 0; otherwise it is left out. `reach_minutes`: how far back
    from now the exchange serves candles; None is without a limit. `quote_decimals`: the exchange
    cuts the quote volume of each trade after so many decimals; None if it cuts none.
    """

    path: Callable[[str, int, int], str]
    page_minutes: int
    parse: Callable[[Any], list[VenueCandle]]
    has_empty_minutes: bool
    cost: float = 1.0
    reach_minutes: int | None = None
    quote_decimals: int | None = None


USUAL_PLACES: Final = {"start_s": 0, "open": 1, "high": 2, "low": 3, "close": 4, "volume": 5}
"""Places of the fields in a row that is a list, at most exchanges."""


def places_by_name(start_name: str) -> dict[str, str]:
    """Return the places of the fields in a row that is an object.

    The start has a name of its own; open, high, low, close and volume are named so.
    """
    return {**{name: name for name in USUAL_PLACES}, "start_s": start_name}


_is_amount: Final = re.compile(r"[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?").fullmatch
_is_whole: Final = re.compile(r"[0-9]{1,18}").fullmatch
_WHOLE: Final = ("start_s", "trade_count")


def read_candles(
    value: Any,  # noqa: ANN401 - JSON may be anything
    places: Mapping[str, int | str] = USUAL_PLACES,
    *,
    units_per_s: int = 1,
) -> list[VenueCandle]:
    """Read the rows of a response.

    `places` gives for each published field of VenueCandle its index in a row that is a list, or its
    name in a row that is an object. `units_per_s`: units of the start, such as 1000 for
    milliseconds. Raises FrameError for a row that lacks a field, for an amount that is no decimal
    and for a start that is no whole minute.
    """
    return [_read_row(row, places, units_per_s) for row in require_list(value, "candles")]


def _read_row(row: Any, places: Mapping[str, int | str], units_per_s: int) -> VenueCandle:  # noqa: ANN401
    fields: dict[str, Any] = {}
    for name, place in places.items():
        try:
            text = to_text(row[place])
        except (KeyError, IndexError, TypeError) as error:
            raise bad_shape(f"a candle with {name} at {place!r}", row) from error
        if name in _WHOLE:
            fields[name] = _parse_whole(name, text)
        elif _is_amount(text):
            fields[name] = text
        else:
            raise FrameError("bad_shape", f"{name} of a candle is {text[:50]!r}, not a decimal")
    start_s, fraction = divmod(fields["start_s"], units_per_s)
    if fraction or start_s % MINUTE_S:
        raise FrameError(
            "bad_shape", f"the start of a candle is {fields['start_s']}, not a whole minute"
        )
    return VenueCandle(**{**fields, "start_s": start_s})


def _parse_whole(name: str, text: str) -> int:
    if not _is_whole(text):
        raise FrameError("bad_shape", f"{name} of a candle is {text[:50]!r}, not a whole number")
    return int(text)
