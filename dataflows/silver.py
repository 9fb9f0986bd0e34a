"""Feed → frames → trades, each once → bronze_frames, silver_trades, dead_letters."""

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import KeyedStream

from candlewax.batch import Batch
from candlewax.parts import Parts, lazily
from dataflows.ingest import frames


def trades(flow: Dataflow, parts: Parts) -> KeyedStream[Batch]:
    """The trades of each exchange, with the frames and dead letters they came by."""
    decoded = op.flat_map("decode", frames(flow, parts), parts.decode)
    return op.stateful_batch("deduplicate", decoded, parts.deduplicate)


def build(parts: Parts) -> Dataflow:
    """The pipeline up to the trades."""
    flow = Dataflow("silver")
    op.output("tables", trades(flow, parts), parts.tables)
    return flow


__getattr__ = lazily(build)
