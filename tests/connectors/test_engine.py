"""When the embedded engine is loaded."""

import subprocess
import sys

LOADED = (
    "import pkgutil, sys\n"
    "import candlewax, dataflows\n"
    "for package in (candlewax, dataflows):\n"
    "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
    "        __import__(found.name)\n"
    "print(*sorted({'chdb', 'polars', 'bytewax'} & sys.modules.keys()))\n"
)


def test_a_process_that_opens_no_directory_does_without_the_engine() -> None:
    """Whatever of the program it has loaded: the engine's library is larger than all that."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["bytewax", "polars"]
