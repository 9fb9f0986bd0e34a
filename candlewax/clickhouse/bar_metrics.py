"""Metrics of bars."""

from contextlib import suppress
from typing import Final

from prometheus_client import Counter, Gauge

_STORED: Final = Counter(
    "candlewax_bars_stored",
    "Bars stored: new ones, changed ones, and the last one of each changed day.",
    ["exchange"],
)
_NEWEST: Final = Gauge(
    "candlewax_last_bar_timestamp_seconds",
    "Time of the last trade in the newest bar that this process made, in seconds since 1970.",
    ["exchange"],
)
_FAILURES: Final = Counter(
    "candlewax_bar_failures",
    "Rounds in which the bars of a market could not be made, per market.",
    ["exchange"],
)
_LAST_ROUND: Final = Gauge(
    "candlewax_last_bar_round_timestamp_seconds",
    "End of the last round in which all bars of an exchange were made, in seconds since 1970.",
    ["exchange"],
)


def count_stored(exchange: str, rows: int) -> None:
    """Count rows of bars that were stored."""
    _STORED.labels(exchange).inc(rows)


def set_newest(exchange: str, time_us: int) -> None:
    """Set the time of the newest trade in bars, in microseconds since 1970."""
    _NEWEST.labels(exchange).set(time_us / 1_000_000)


def count_failure(exchange: str) -> None:
    """Count a market whose bars could not be made in a round."""
    _FAILURES.labels(exchange).inc()


def end_round(exchange: str, end_s: float) -> None:
    """Set the end of the last round in which all bars of an exchange were made."""
    _LAST_ROUND.labels(exchange).set(end_s)


def end_rounds(exchange: str) -> None:
    """Drop the time of the last round of an exchange that has no bars any more."""
    with suppress(KeyError):
        _LAST_ROUND.remove(exchange)
