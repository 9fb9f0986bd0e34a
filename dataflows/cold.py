"""Warm tables → Parquet files → the archive's Iceberg tables.

Runs beside a ClickHouse server. With an embedded database `candlewax up` does the same work.
"""

import bytewax.operators as op
from bytewax.dataflow import Dataflow

from candlewax.pipeline.cold_flow import ColdComponents, lazy_cold_flow


def build(components: ColdComponents) -> Dataflow:
    """Build the dataflow that makes due units cold as they are warm."""
    flow = Dataflow("cold")
    due = op.input("due units", flow, components.work)
    written = op.map("write", due, components.write)
    op.output("archive", written, components.archive)
    return flow


__getattr__ = lazy_cold_flow(build)
