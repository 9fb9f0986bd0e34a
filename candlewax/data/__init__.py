"""Bundled recording, written by `candlewax.simulator.recording.sample`."""

from pathlib import Path
from typing import Final

SAMPLE: Final = Path(__file__).with_name("sample.tsv.zst")
"""A frame log of three exchanges over some hours."""

MANIFEST: Final = Path(__file__).with_name("sample.json")
"""Counts of the recording by exchange: frames, trades, duplicates, missing numbers."""
