"""Limits of one query on the embedded engine, which shares process and memory with the pipeline."""

import re
from collections.abc import Mapping
from typing import Any, Final

from candlewax.clickhouse.memory_limit import measure_available
from candlewax.web.sql.http_protocol import RequestError

AT_ONCE: Final = 2
"""Queries that run at a time."""

BOUNDS: Final[Mapping[str, int]] = {
    "max_execution_time": 10,
    "max_memory_usage": 1_000_000_000,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256_000_000,
    "max_threads": 1,
    "max_query_size": 262_144,
    # The time limit is not checked while a query is analysed, and an alias that uses another one
    # twice doubles the tree. So the tree is limited, which ends such queries in under a second.
    "max_ast_elements": 20_000,
    "max_expanded_ast_elements": 20_000,
    "max_subquery_depth": 50,
    "max_bytes_before_external_sort": 0,
    "max_bytes_before_external_group_by": 0,
}
"""Seconds, bytes, rows, elements. A client may lower them, never raise them."""

GRACE_S: Final = 2.0
"""Seconds beyond its time limit after which a query that still runs gets an answer."""

RESERVE: Final = 48 << 20
"""Bytes that are left to the pipeline."""

LEAST: Final = 8 << 20
"""Bytes below which no query starts."""

_FIXED_SETTINGS: Final = {
    "result_overflow_mode": "throw",
    "timeout_overflow_mode": "throw",
    "allow_experimental_eval_table_function": "0",
}

_HARMLESS_SETTINGS: Final = re.compile(
    r"output_format_\w+|date_time_output_format|session_timezone|extremes|limit|offset|final"
)
"""Settings that only change the form of rows, or which of them are returned."""


def choose_settings(requested: Mapping[str, str], memory_bytes: int) -> dict[str, str]:
    """Return the settings of a query: the limits, and the harmless ones of the request.

    Others are dropped, as clients send some with every query. `memory_bytes` limits the memory.
    """
    settings = {
        name: value for name, value in requested.items() if _HARMLESS_SETTINGS.fullmatch(name)
    }
    settings |= _FIXED_SETTINGS
    bounds = dict(BOUNDS)
    bounds["max_memory_usage"] = min(bounds["max_memory_usage"], memory_bytes)
    # The result is copied once more to send it.
    bounds["max_result_bytes"] = min(bounds["max_result_bytes"], bounds["max_memory_usage"] // 2)
    for name, bound in bounds.items():
        settings[name] = str(_least(requested.get(name, ""), bound))
    return settings


def _least(requested: str, bound: int) -> int:
    """Return the requested limit if it is a number below ours, else ours."""
    if not re.fullmatch(r"[0-9]{1,20}", requested) or not 0 < int(requested) < bound:
        return bound
    return int(requested)


def choose_seconds(requested: Mapping[str, str]) -> int:
    """Return the time limit of a query."""
    return _least(requested.get("max_execution_time", ""), BOUNDS["max_execution_time"])


def measure_share(connection: Any) -> int:  # noqa: ANN401 - chDB has no types
    """Return the bytes of memory that one of the concurrent queries may use.

    Raises RequestError if the process has nearly no memory left.
    """
    max_bytes = BOUNDS["max_memory_usage"]
    share = _query_share(measure_available())
    if share < max_bytes:
        # The allocator keeps memory that earlier queries freed.
        connection.query("SYSTEM JEMALLOC PURGE")
        share = min(max_bytes, _query_share(measure_available()))
    if share < LEAST:
        raise RequestError(
            241,
            "(total) memory limit exceeded: this process has nearly no memory left, so no query "
            "starts",
            "MEMORY_LIMIT_EXCEEDED",
        )
    return share


def _query_share(left: int) -> int:
    """Return the share of one query, less a third for the copy of its result."""
    return (left - RESERVE) // AT_ONCE * 2 // 3
