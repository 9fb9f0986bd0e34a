"""Frames → deduplicated trades → candles → all tables, in one process.

Does the work of silver and ohlcv behind a broker without the normalized topic between them: the
fastest way from the raw topics to candles if no stream of trades is needed.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import silver


def build(components: Components) -> Dataflow:
    """Build the dataflow from the raw topics to all tables."""
    flow = Dataflow("tables")
    candles = op.stateful_batch("candles", silver.trades(flow, components), components.candles)
    op.output("tables", candles, components.tables)
    return flow


__getattr__ = lazy_flow(build, candles=True)
