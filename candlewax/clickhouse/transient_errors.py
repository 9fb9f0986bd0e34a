"""Database errors after which the same request is worth a retry."""

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, Error, OperationalError

_CODES: Final = frozenset(
    {
        159,  # TIMEOUT_EXCEEDED
        198,  # DNS_ERROR
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        364,  # IMPORTED_TOO_MANY_PARTS
        394,  # QUERY_WAS_CANCELLED
        439,  # CANNOT_SCHEDULE_TASK
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
    }
)
"""Error codes of a server that is busy, short of a resource, starting or stopping."""


def is_transient(error: ClickHouseError, *, embedded: bool) -> bool:
    """Return True if the same request may succeed a little later."""
    if isinstance(error, OperationalError):
        return True
    if embedded or not isinstance(error, Error):
        return False
    # A proxy in front of a server answers with a 5xx status and no error code.
    return error.code in _CODES or (error.code is None and "HTTP status 5" in str(error))
