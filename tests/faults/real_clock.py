"""The clock of whole processes stepped: of the engine and of libraries as well as ours.

The library libfaketime (Debian: package faketime) stands before the system's own; clocks that
cannot be set stay as they are.
"""

from pathlib import Path

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage

_LIBRARIES = (
    "/usr/lib/*/faketime/libfaketimeMT.so.1",
    "/usr/local/lib/faketime/libfaketimeMT.so.1",
)


def library() -> Path | None:
    """The library, where it is installed."""
    found = [path for pattern in _LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    return found[0] if found else None


def stepped(stage: Stage) -> Outcome:
    """Step the clock of all processes an hour back, and on again. What comes meanwhile is
    read at once, not when the old time is reached again, and the processes end when asked.
    """
    file = stage.place.folder / "offset"
    file.write_text("+0")
    settings = {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1",
    }
    _restart(stage, settings)
    stage.come(20)
    for offset in ("-3600", "+0"):
        file.write_text(offset)
        stage.come(20)
        stage.calm()
    recovery = stage.recover()
    file.write_text("-3600")
    stage.come(20)
    for kept in stage.settings.values():
        for setting in settings:
            kept.pop(setting, None)
    _restart(stage, {})
    return Outcome(recovery=recovery)


def _restart(stage: Stage, settings: dict[str, str]) -> None:
    """Return when all processes work: one that waits for its broker at the start takes a step
    for the end of its patience.
    """
    names = list(stage.running)
    stage.stop(*names)
    for name in names:
        stage.start(name, **settings)
    stage.recover()


FAULTS = [
    Fault(
        "clock-stepped-for-real",
        "the clock of whole processes stepped an hour back, and on again; ended in between",
        stepped,
        altered=True,
        steady=False,
        needs=lambda: library() is not None,
    )
]
