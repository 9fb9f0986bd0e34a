"""Gaps → REST → frames → the exchanges' raw topics.

Without a broker this is the whole pipeline to all tables, fed by REST only. It ends when no gap
is due.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import ingest, ohlcv


def build(components: Components) -> Dataflow:
    """Build the dataflow that sends REST responses the way of all other frames."""
    flow = Dataflow("repair")
    if components.topics is None:
        op.output("tables", ohlcv.candles(flow, components), components.tables)
    else:
        received = ingest.frames(flow, components)
        op.output("topics", op.flat_map("route", received, components.route), components.topics)
    return flow


__getattr__ = lazy_flow(build, candles=True)
