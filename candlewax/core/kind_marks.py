"""Marks of the kind of data: sample, simulated or real."""

from typing import Final

SAMPLE_KIND: Final = "sample"
SIMULATED: Final = "simulated"
REAL: Final = "real"

KIND_TEXTS: Final = {
    SAMPLE_KIND: "the bundled sample",
    SIMULATED: "data of the simulator",
    REAL: "data of real markets",
}

SIMULATOR_HEADER: Final = "X-Candlewax-Simulator"
"""Header in each response of the simulator."""

SIMULATOR_MARK: Final = "simulator"
"""Value of `made` in the event of a connection to the simulator, in frame logs too."""

OTHER_DATABASE_HINT: Final = (
    "Set CANDLEWAX_CLICKHOUSE to another directory, or CANDLEWAX_DATABASE to another database"
)

CONNECTED_PREFIX: Final = b'{"candlewax":"connected"'
"""First bytes of the event of a connection that opened."""

SIMULATOR_FIELD: Final = b'"made":"%s"' % SIMULATOR_MARK.encode()
"""Bytes of that event if the connection is one to the simulator."""


def is_from_simulator(frame: bytes) -> bool:
    """Return whether a frame is the event of a connection to the simulator."""
    return frame.startswith(CONNECTED_PREFIX) and SIMULATOR_FIELD in frame


class WrongKindError(RuntimeError):
    """Error of data of another kind than its database; the text names both."""


def wrong_exchange_error(host: str, *, is_simulated: bool) -> WrongKindError:
    """Return the error for an exchange that is the simulator, or is not, against expectation."""
    actual, expected = (SIMULATED, REAL) if is_simulated else (REAL, SIMULATED)
    return WrongKindError(
        f"{host} sends {KIND_TEXTS[actual]}, but this process was started for "
        f"{KIND_TEXTS[expected]}; none of it is stored. {OTHER_DATABASE_HINT}"
    )
