"""The bundled recording."""

from pathlib import Path
from typing import Final

SAMPLE: Final = Path(__file__).with_name("sample.tsv.zst")
"""A frame log of three exchanges over some hours."""
