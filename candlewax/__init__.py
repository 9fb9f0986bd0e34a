"""Candlewax: market data whose candles can be trusted."""

import os
from typing import Final

from candlewax.runtime.cpu import count_cores

__version__: Final = "0.1.0"
"""The version: pyproject.toml and `candlewax --version` read it here."""

# One core is left to the writer. Polars reads this once, when it is imported.
os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, count_cores() - 1)))
