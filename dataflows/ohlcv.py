"""Trades, each once → candles → ohlcv.

The trades come from their topic; without a broker this carries all that lies upstream
with it, and is the whole pipeline from the feed to all tables.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from candlewax.core.batch import Batch
from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import silver


def trades(flow: Dataflow, parts: Components) -> KeyedStream[Batch]:
    """The trades of each exchange, from the broker where there is one."""
    if parts.normalized_topic is None:
        return silver.trades(flow, parts)
    read = op.flat_map("read", op.input("normalized", flow, parts.normalized_topic), parts.read)
    return op.stateful_batch("deduplicate", read, parts.deduplicate)


def candles(flow: Dataflow, parts: Components) -> KeyedStream[Batch]:
    """The trades of each exchange, and the candles they change."""
    fresh = trades(flow, parts)
    if parts.trades_first is not None:
        fresh = op.map_value("trades_first", fresh, parts.trades_first)
    return op.stateful_batch("candles", fresh, parts.candles)


def build(parts: Components) -> Dataflow:
    """The whole pipeline."""
    flow = Dataflow("ohlcv")
    op.output("tables", candles(flow, parts), parts.tables)
    return flow


__getattr__ = lazy_flow(build, candles=True)
