"""Feed → frames → trades, each once → candles → all tables."""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from candlewax.batch import Batch
from candlewax.parts import Parts, lazily
from dataflows.silver import trades


def candles(flow: Dataflow, parts: Parts) -> KeyedStream[Batch]:
    """The trades of each exchange, and the candles they change."""
    return op.stateful_batch("candles", trades(flow, parts), parts.candles)


def build(parts: Parts) -> Dataflow:
    """The whole pipeline."""
    flow = Dataflow("ohlcv")
    op.output("tables", candles(flow, parts), parts.tables)
    return flow


__getattr__ = lazily(build, candles=True)
