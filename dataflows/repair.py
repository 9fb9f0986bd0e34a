"""Gaps → REST → frames → the exchanges' raw topics.

Without a broker this is the whole pipeline to all tables, fed by REST alone, and ends
when there is nothing left to ask.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import ingest, ohlcv


def build(parts: Components) -> Dataflow:
    """What REST says, on the way that all frames go."""
    flow = Dataflow("repair")
    if parts.topics is None:
        op.output("tables", ohlcv.candles(flow, parts), parts.tables)
    else:
        received = ingest.frames(flow, parts)
        op.output("topics", op.flat_map("route", received, parts.route), parts.topics)
    return flow


__getattr__ = lazy_flow(build, candles=True)
