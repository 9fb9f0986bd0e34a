"""Frames → trades, each once → candles → all tables, in one process.

What silver and ohlcv do behind a broker, without the topic of trades between them: the
fastest way from the raw topics to candles, for whoever needs no stream of trades.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import silver


def build(parts: Components) -> Dataflow:
    """Silver and ohlcv as one."""
    flow = Dataflow("tables")
    candles = op.stateful_batch("candles", silver.trades(flow, parts), parts.candles)
    op.output("tables", candles, parts.tables)
    return flow


__getattr__ = lazy_flow(build, candles=True)
