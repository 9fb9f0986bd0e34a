"""Feed → frames.

Without a broker nothing lies downstream: the frames are read and counted only.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow, Stream

from candlewax.feed import Feed
from candlewax.parts import Parts, lazily


def frames(flow: Dataflow, parts: Parts) -> Stream[Feed]:
    """Frames as the exchanges sent them."""
    return op.input("feed", flow, parts.feed)


def build(parts: Parts) -> Dataflow:
    """The feed by itself."""
    flow = Dataflow("ingest")
    op.output("count", frames(flow, parts), parts.count)
    return flow


__getattr__ = lazily(build)
