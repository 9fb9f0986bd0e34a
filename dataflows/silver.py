"""Frames → deduplicated trades → bronze_frames, silver_trades, dead_letters and other tables.

With a broker the frames come from the raw topics, and the trades are also sent to the normalized
topic. Without one the dataflow has a feed of its own.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream

from candlewax.core.frames import SourceItem
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import ingest


def frames(flow: Dataflow, components: Components) -> Stream[SourceItem]:
    """Return the stream of frames; with a broker they come from its topics."""
    if components.raw_topics is None:
        return ingest.frames(flow, components)
    return op.input("raw", flow, components.raw_topics)


def trades(flow: Dataflow, components: Components) -> KeyedStream[AnyBatch]:
    """Return the stream of trades by exchange, with their frames and dead letters."""
    decoded = op.flat_map("decode", frames(flow, components), components.decode)
    return op.stateful_batch("deduplicate", decoded, components.deduplicate)


def build(components: Components) -> Dataflow:
    """Build the dataflow up to the trades."""
    flow = Dataflow("silver")
    op.output("tables", trades(flow, components), components.tables)
    return flow


__getattr__ = lazy_flow(build)
