"""Files that Candlewax brings along: the recording, which
`candlewax.simulator.recording.sample` writes, the tables' DDL and the default instruments.

A checkout holds the last two at its top level. The build copies them into the wheel, at the same
paths below this folder; see `setup.py`.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent

CHECKOUT: Final = FOLDER.parents[1]
"""Top level of the checkout, if this is one."""


def find_bundled(path: str) -> Path:
    """Return a file or folder by its path in the checkout, from the wheel or from the checkout."""
    inside = FOLDER / path
    return inside if inside.exists() else CHECKOUT / path


DDL: Final = find_bundled("clickhouse/ddl")
"""Folder of the files `NN_name.sql`."""

INSTRUMENTS: Final = find_bundled("instruments.toml")
"""The instruments file that is read where no other is named or found."""

SAMPLE: Final = FOLDER / "sample.tsv.zst"
"""A frame log of three exchanges over some hours."""

MANIFEST: Final = FOLDER / "sample.json"
"""Counts of the recording by exchange: frames, trades, duplicates, missing numbers."""
