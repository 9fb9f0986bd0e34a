"""Feed → frames → the exchanges' raw topics.

Without a broker the frames are only counted.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from candlewax.core.frames import SourceItem
from candlewax.pipeline.app import lazy_flow
from candlewax.pipeline.builder import Components


def frames(flow: Dataflow, components: Components) -> Stream[SourceItem]:
    """Return the stream of frames that the exchanges sent, by websocket and REST."""
    feed = op.input("feed", flow, components.feed)
    optional = {"leftover": components.unprocessed, "repairs": components.repairs}
    others = [op.input(name, flow, source) for name, source in optional.items() if source]
    return op.merge("frames_of_all", feed, *others) if others else feed


def build(components: Components) -> Dataflow:
    """Build the dataflow from the feed to the raw topics."""
    flow = Dataflow("ingest")
    received = frames(flow, components)
    if components.topics is None:
        op.output("count", received, components.count)
    else:
        op.output("topics", op.flat_map("route", received, components.route), components.topics)
    return flow


__getattr__ = lazy_flow(build)
