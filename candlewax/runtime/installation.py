"""Places that an installation reads, and how its commands are typed."""

import shutil
import sys
from pathlib import Path
from typing import Final

from candlewax.data import CHECKOUT, INSTRUMENTS
from candlewax.runtime.settings import Settings

_COMMAND: Final = "candlewax"


def describe_instruments(settings: Settings) -> str:
    """Return a sentence about which instruments file is read."""
    path = settings.instruments
    if path != INSTRUMENTS:
        return f"Instruments are read from {path.absolute()}."
    return f"Instruments are the bundled ones, {path}; a file {path.name} here replaces them."


def describe_database(settings: Settings) -> str:
    """Return a sentence about where data is stored, without a password."""
    place = settings.clickhouse
    if isinstance(place, Path):
        place = place.absolute()
    return f"Data is stored in {place}, database {settings.database}"


def command() -> str:
    """Return how `candlewax` of this installation is typed in the working directory."""
    program = Path(sys.executable).with_name(_COMMAND)
    on_path = shutil.which(_COMMAND)
    if on_path and Path(on_path).absolute() == program:
        return _COMMAND
    own = program if program.exists() else Path(on_path or _COMMAND)
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def dataflow_command(target: str) -> str:
    """Return how the whole pipeline is run without a page: by this target of make in a checkout."""
    if Path.cwd() == CHECKOUT and (CHECKOUT / "Makefile").exists():
        return f"make {target}"
    python = str(Path(command()).with_name("python")) if "/" in command() else "python"
    return f"{python} -m bytewax.run dataflows.ohlcv"
