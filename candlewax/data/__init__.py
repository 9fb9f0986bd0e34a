"""The bundled recording, made by `candlewax.simulator.recording.sample`."""

from pathlib import Path
from typing import Final

SAMPLE: Final = Path(__file__).with_name("sample.tsv.zst")
"""A frame log of three exchanges over some hours."""

MANIFEST: Final = Path(__file__).with_name("sample.json")
"""What its maker put in."""
