"""Runs of the whole pipeline as behind websockets."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.recovery import RecoveryConfig
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.pipeline import builder
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from dataflows import ohlcv
from tests.support.playing import INSTRUMENTS


class Once(FixedPartitionedSource[Any, None]):
    """A source that emits each item once, whatever its snapshot."""

    def __init__(self, items: Sequence[object]) -> None:
        self._items = items

    def list_parts(self) -> list[str]:
        return ["once"]

    # The interface of Bytewax names the arguments.
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "_Part":  # noqa: ARG002
        return _Part(self._items)


class _Part(StatefulSourcePartition[Any, None]):
    def __init__(self, items: Iterable[object]) -> None:
        self._items = iter(items)

    def next_batch(self) -> list[object]:
        return [next(self._items)]

    def snapshot(self) -> None:
        return None


def run_live(items: Sequence[object], tables: Database, recovery: Path) -> None:
    """Run the whole pipeline as behind websockets; each batch is an epoch."""
    exchanges = INSTRUMENTS.exchanges
    process = ProcessContext(INSTRUMENTS, exchanges, Counters(), is_live=True, is_replayable=False)
    flow = ohlcv.build(builder.build_embedded(process, Once(items), tables))
    run_main(flow, epoch_interval=timedelta(0), recovery_config=RecoveryConfig(str(recovery)))
