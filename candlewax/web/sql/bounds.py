"""What one query over HTTP may take of the embedded engine, which shares its process and its
memory with the pipeline.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from candlewax.clickhouse.memory_limit import measure_available
from candlewax.web.sql.http_protocol import RequestError

AT_ONCE: Final = 2
"""Queries that are answered at a time."""

BOUNDS: Final[Mapping[str, int]] = {
    "max_execution_time": 10,
    "max_memory_usage": 1_000_000_000,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256_000_000,
    "max_threads": 1,
    "max_query_size": 262_144,
    # The time bound is not looked at while a query is analysed, and aliases that name others
    # twice double its tree with each: so the tree is bounded, after a fraction of a second.
    "max_ast_elements": 20_000,
    "max_expanded_ast_elements": 20_000,
    "max_subquery_depth": 50,
    "max_bytes_before_external_sort": 0,
    "max_bytes_before_external_group_by": 0,
}
"""Seconds, bytes, rows, elements. A client may ask for less, never for more."""

GRACE_S: Final = 2.0
"""Seconds beyond its time after which a query is answered although it still runs."""

RESERVE: Final = 48 << 20
"""Bytes that are left to the pipeline."""

LEAST: Final = 8 << 20
"""Bytes without which no query is begun."""

_FIXED: Final = {
    "result_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "allow_experimental_eval_table_function": "0",
}

_HARMLESS: Final = re.compile(
    r"output_format_\w+|date_time_output_format|session_timezone|extremes|limit|offset|final"
)
"""Settings that only change how rows look, or which of them come."""


def choose_settings(asked: Mapping[str, str], memory_bytes: int) -> dict[str, str]:
    """Return the settings of a query: the bounds, and what is harmless of those asked for.

    All others are left out, as a client may always send some. `memory_bytes` are those that it
    may take at most.
    """
    settings = {name: value for name, value in asked.items() if _HARMLESS.fullmatch(name)}
    settings |= _FIXED
    bounds = dict(BOUNDS)
    bounds["max_memory_usage"] = min(bounds["max_memory_usage"], memory_bytes)
    # An answer is copied on its way out.
    bounds["max_result_bytes"] = min(bounds["max_result_bytes"], bounds["max_memory_usage"] // 2)
    for name, bound in bounds.items():
        settings[name] = str(_least(asked.get(name, ""), bound))
    return settings


def _least(asked: str, bound: int) -> int:
    """Return what is asked for if it is a bound below ours, else ours."""
    if not re.fullmatch(r"[0-9]{1,20}", asked) or not 0 < int(asked) < bound:
        return bound
    return int(asked)


def choose_seconds(asked: Mapping[str, str]) -> int:
    """Return the time that a query has."""
    return _least(asked.get("max_execution_time", ""), BOUNDS["max_execution_time"])


def measure_share(connection: Any) -> int:  # noqa: ANN401 - chDB has no types
    """Return the bytes that one of the queries that run at a time may take of what is left.

    Raises RequestError if nearly nothing is.
    """
    most = BOUNDS["max_memory_usage"]
    share = _share(measure_available())
    if share < most:
        # What queries before this one took and gave back is kept for a while.
        connection.query("SYSTEM JEMALLOC PURGE")
        share = min(most, _share(measure_available()))
    if share < LEAST:
        raise RequestError(
            241,
            "(total) memory limit exceeded: nearly no memory is left to this process, so no query "
            "is begun",
            "MEMORY_LIMIT_EXCEEDED",
        )
    return share


def _share(left: int) -> int:
    """Return one query's part, of which a third is for the answer on its way out."""
    return (left - RESERVE) // AT_ONCE * 2 // 3
