"""The embedded engine, loaded when it is first used: its library takes some 200 MB of memory,
which a process that has a server, or none, does without.
"""

from typing import Any


def connect(path: str) -> Any:  # noqa: ANN401 - chDB has no types
    """A connection to the engine of this process, with its data in this directory."""
    from chdb.state.sqlitelike import Connection  # noqa: PLC0415 - not before it is needed

    return Connection(path)
