"""Files that an exchange publishes of each day: its trades, and its own one-minute candles."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

CHECKSUM: Final = ".CHECKSUM"
"""Suffix of the file beside each one: its SHA-256 in hexadecimal digits, and its name."""


@dataclass(frozen=True)
class DailyFiles:
    """Address and paths of the daily files of an exchange.

    `trades_path` and `candles_path` return the path of the zip file of a native symbol and a day in
    UTC, with trades as `DumpRules` reads them, and with klines in twelve columns. `unpublished`
    names the fields of `VenueCandle` whose column holds something else.
    """

    url: str
    trades_path: Callable[[str, date], str]
    candles_path: Callable[[str, date], str]
    unpublished: frozenset[str] = frozenset()
