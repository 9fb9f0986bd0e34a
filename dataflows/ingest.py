"""Feed → frames → the exchanges' raw topics.

Without a broker nothing lies downstream: the frames are read and counted only.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from candlewax.core.frames import SourceItem
from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components


def frames(flow: Dataflow, parts: Components) -> Stream[SourceItem]:
    """Frames as the exchanges sent them, by websocket and by REST."""
    feed = op.input("feed", flow, parts.feed)
    beside = {"leftover": parts.unprocessed, "repairs": parts.repairs}
    others = [op.input(name, flow, source) for name, source in beside.items() if source]
    return op.merge("frames_of_all", feed, *others) if others else feed


def build(parts: Components) -> Dataflow:
    """The feed by itself."""
    flow = Dataflow("ingest")
    received = frames(flow, parts)
    if parts.topics is None:
        op.output("count", received, parts.count)
    else:
        op.output("topics", op.flat_map("route", received, parts.route), parts.topics)
    return flow


__getattr__ = lazy_flow(build)
