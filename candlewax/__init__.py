"""Candlewax: market data whose candles can be trusted."""

import os

from candlewax.runtime.cpu import cores

# One core is the writer's. Polars counts its threads once, when it is imported.
os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, cores() - 1)))
