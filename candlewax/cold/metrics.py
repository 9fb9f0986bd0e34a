"""Metrics of the cold tier."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from prometheus_client import Counter, Gauge

from candlewax.cold.units import Measure, Unit

_UNITS: Final = Counter(
    "candlewax_cold_units", "Units written into the archive and read back.", ["layer"]
)
_ROWS: Final = Counter(
    "candlewax_cold_rows", "Rows written into the archive and read back.", ["layer"]
)
_ERRORS: Final = Counter("candlewax_cold_errors", "Units that could not be offloaded, per attempt.")
_LAST_ROUND: Final = Gauge(
    "candlewax_cold_last_round_timestamp_seconds",
    "End of the last round of the offload without errors, in seconds since 1970.",
)
_VERIFIED: Final = Gauge(
    "candlewax_cold_verified_timestamp_seconds",
    "End of the newest unit that was read back from the archive, in seconds since 1970.",
    ["layer", "exchange"],
)
_HELD: Final = Gauge(
    "candlewax_cold_held_bytes",
    "Bytes of warm rows past their time that stay, as the archive does not prove them.",
    ["table"],
)
_MISMATCHES: Final = Gauge(
    "candlewax_cold_mismatched_units",
    "Units that were read back from the archive with other content than was written.",
)


def count_written(written: Mapping[Unit, Measure]) -> None:
    """Count units that were written and read back."""
    for unit, measure in written.items():
        _UNITS.labels(unit.layer).inc()
        _ROWS.labels(unit.layer).inc(measure.rows)


def set_verified(units: Iterable[tuple[Unit, datetime]]) -> None:
    """Set the end of the newest verified unit of each layer and exchange."""
    for unit, end in units:
        _VERIFIED.labels(unit.layer, unit.exchange).set(end.timestamp())


def end_round(end_s: float, errors: int) -> None:
    """Count the errors of a round; without any, the round counts as good."""
    if errors:
        _ERRORS.inc(errors)
    else:
        _LAST_ROUND.set(end_s)


def set_held(held: Mapping[str, int]) -> None:
    """Set the bytes of warm rows that stay past their time, by table."""
    for table, size in held.items():
        _HELD.labels(table).set(size)


def set_mismatches(count: int) -> None:
    """Set the number of units whose archived rows are not what was written."""
    _MISMATCHES.set(count)
