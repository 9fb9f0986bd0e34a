"""Marks that tell the kind of data: of the sample, of the simulator, or of real markets."""

from typing import Final

SAMPLE_KIND: Final = "sample"
SIMULATED: Final = "simulated"
REAL: Final = "real"

DESCRIBED: Final = {
    SAMPLE_KIND: "the bundled sample",
    SIMULATED: "data of the simulator",
    REAL: "data of real markets",
}

SIMULATOR_HEADER: Final = "X-Candlewax-Simulator"
"""The header by which the simulator says what it is, in each answer."""

MADE: Final = "simulator"
"""What an event of a connection to the simulator says under `made`, in frame logs too."""

ELSEWHERE: Final = (
    "Set CANDLEWAX_CLICKHOUSE to another directory, or CANDLEWAX_DATABASE to another database"
)

CONNECTED: Final = b'{"candlewax":"connected"'
"""What our own event of a connection that was made begins with."""

MADE_BY: Final = b'"made":"%s"' % MADE.encode()
"""What it holds if the simulator was met."""


def is_made(frame: bytes) -> bool:
    """Whether a frame is our own event of a connection to the simulator."""
    return frame.startswith(CONNECTED) and MADE_BY in frame


class WrongKindError(RuntimeError):
    """Data is of another kind than the database it is meant for; the text names both."""


def refuse_exchange(host: str, *, is_simulated: bool) -> WrongKindError:
    """Return the error for an exchange that turned out to be the simulator, or not to be it."""
    brings, stored = (SIMULATED, REAL) if is_simulated else (REAL, SIMULATED)
    return WrongKindError(
        f"{host} brings {DESCRIBED[brings]}, this process was started for {DESCRIBED[stored]}; "
        f"nothing of it is stored. {ELSEWHERE}"
    )
