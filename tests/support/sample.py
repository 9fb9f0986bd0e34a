"""The beginning of the bundled recording."""

from itertools import islice
from pathlib import Path
from typing import Final

import zstandard

from candlewax.data import SAMPLE

FRAMES: Final = 12_000
"""So many, a seventh, are enough: every exchange has closed candles."""


def begin_of_sample(path: Path) -> Path:
    """Write the first frames of the sample as a log."""
    with zstandard.open(SAMPLE, "rt", encoding="utf-8", newline="\n") as sample:
        path.write_text("".join(islice(sample, FRAMES)), encoding="utf-8", newline="\n")
    return path
