"""Frames → trades, each once → bronze_frames, silver_trades, dead_letters, and with a
broker the topic of trades.

The frames come from the raw topics; without a broker this carries its feed with it.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.operators import KeyedStream

from candlewax.core.batch import Batch
from candlewax.core.frames import SourceItem
from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components
from dataflows import ingest


def frames(flow: Dataflow, parts: Components) -> Stream[SourceItem]:
    """Frames, from the broker where there is one."""
    if parts.raw_topics is None:
        return ingest.frames(flow, parts)
    return op.input("raw", flow, parts.raw_topics)


def trades(flow: Dataflow, parts: Components) -> KeyedStream[Batch]:
    """The trades of each exchange, with the frames and dead letters they came by."""
    decoded = op.flat_map("decode", frames(flow, parts), parts.decode)
    return op.stateful_batch("deduplicate", decoded, parts.deduplicate)


def build(parts: Components) -> Dataflow:
    """The pipeline up to the trades."""
    flow = Dataflow("silver")
    op.output("tables", trades(flow, parts), parts.tables)
    return flow


__getattr__ = lazy_flow(build)
