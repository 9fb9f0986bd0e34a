"""Candlewax: market data whose candles can be trusted."""

import os
from typing import Final

from candlewax.runtime.cpu import cores

__version__: Final = "0.1.0"
"""The only place of the version: pyproject.toml and `candlewax --version` read it here."""

# One core is the writer's. Polars counts its threads once, when it is imported.
os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, cores() - 1)))
