"""Environment of cryptofeed, apart from the project's."""

import subprocess
import sys
from pathlib import Path
from typing import Final

# Its latest version needs Python 3.12; the one before starts with an older uvloop only.
VERSION: Final = "2.5.0" if sys.version_info >= (3, 12) else "2.4.1"
REQUIREMENTS: Final = (
    f"cryptofeed=={VERSION}",
    "aiokafka==0.14.0",
    *(() if sys.version_info >= (3, 12) else ("uvloop<0.22",)),
)


class InstallError(Exception):
    """cryptofeed cannot be installed; the text gives the reason."""


def install(folder: Path) -> str:
    """Create a virtual environment; return its Python. Raises InstallError."""
    python = str(folder / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", *REQUIREMENTS],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            reason = (error.stderr or "").strip().splitlines()[-1:]
            raise InstallError(f"{REQUIREMENTS[0]} does not install: {reason}") from None
    return python
