"""Deduplicated trades → candles → ohlcv.

The trades come from the normalized topic. Without a broker this is the whole pipeline, from the
feed to all tables.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from candlewax.core.rows.row_batch import AnyBatch
from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import silver


def trades(flow: Dataflow, components: Components) -> KeyedStream[AnyBatch]:
    """Return the stream of trades by exchange; with a broker they come from its topic."""
    if components.normalized_topic is None:
        return silver.trades(flow, components)
    read = op.flat_map(
        "read", op.input("normalized", flow, components.normalized_topic), components.read
    )
    return op.stateful_batch("deduplicate", read, components.deduplicate)


def candles(flow: Dataflow, components: Components) -> KeyedStream[AnyBatch]:
    """Return the stream of trades by exchange with the candles they change."""
    deduplicated = trades(flow, components)
    if components.trades_first is not None:
        deduplicated = op.map_value("trades_first", deduplicated, components.trades_first)
    return op.stateful_batch("candles", deduplicated, components.candles)


def build(components: Components) -> Dataflow:
    """Build the dataflow up to the candles."""
    flow = Dataflow("ohlcv")
    op.output("tables", candles(flow, components), components.tables)
    return flow


__getattr__ = lazy_flow(build, candles=True)
