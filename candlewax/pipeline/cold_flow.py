"""Parts of the dataflow of the cold tier, and its start-up."""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from candlewax.clickhouse.client import DatabaseError, open_tables
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.service import ROUND_S, ColdService, StagedItem, WorkItem, require_cold
from candlewax.runtime.cold_settings import reach_archive
from candlewax.runtime.errors import configure_logging, log_failures
from candlewax.runtime.http_status import serve_status
from candlewax.runtime.settings import SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal

_IDLE_S: Final = 0.1
"""Seconds that a poll without work waits, so that the engine does not poll all the time."""


@log_failures
class _WorkPartition(StatefulSourcePartition[WorkItem, None]):
    def __init__(self, service: ColdService, should_stop: Callable[[], bool]) -> None:
        self._service = service
        self._should_stop = should_stop
        self._items: Iterator[WorkItem] = iter(())
        self._next_round_at = time.monotonic()

    def next_batch(self) -> list[WorkItem]:
        if self._should_stop():
            raise StopIteration
        for item in self._items:
            return [item]
        if time.monotonic() < self._next_round_at:
            time.sleep(_IDLE_S)
            return []
        self._next_round_at = time.monotonic() + ROUND_S
        self._items = self._service.items()
        return []

    def snapshot(self) -> None:
        return None


class WorkSource(FixedPartitionedSource[WorkItem, None]):
    """Source of the work of each round. Its state is in the tables and in the archive.

    At least once: after a restart the round begins anew, and what was offloaded is recognised.
    """

    def __init__(self, service: ColdService, should_stop: Callable[[], bool]) -> None:
        self._service = service
        self._should_stop = should_stop

    def list_parts(self) -> list[str]:
        return ["units"]

    def build_part(self, _step: str, _part: str, _state: None) -> _WorkPartition:
        return _WorkPartition(self._service, self._should_stop)


@log_failures
class _ArchivePartition(StatelessSinkPartition[StagedItem]):
    def __init__(self, service: ColdService) -> None:
        self._service = service

    def write_batch(self, items: list[StagedItem]) -> None:
        for item in items:
            self._service.archive(item)

    def close(self) -> None:
        self._service.close()


class ArchiveSink(DynamicSink[StagedItem]):
    """Sink that commits files and reads them back. Exactly once: each commit is one atomic swap."""

    def __init__(self, service: ColdService) -> None:
        self._service = service

    def build(self, _step: str, _worker: int, _count: int) -> _ArchivePartition:
        return _ArchivePartition(self._service)


@dataclass(frozen=True)
class ColdComponents:
    """Parts of the dataflow."""

    work: WorkSource
    write: Callable[[WorkItem], StagedItem]
    archive: ArchiveSink


def build_cold_flow(build: Callable[[ColdComponents], Dataflow]) -> Dataflow:
    """Build the dataflow that the environment configures.

    Ends the process with a message if a setting is wrong or the database cannot be used.
    """
    try:
        configure_logging()
        shutdown = ShutdownSignal()
        shutdown.listen()
        settings = load_settings()
        configure_logging(settings.log)
        reach_archive(require_cold(settings))
        open_tables(settings.clickhouse, settings.database, settings.retention).close()
        service = ColdService(settings, shutdown)
        serve_status(settings, None, service.health)
        return build(
            ColdComponents(WorkSource(service, shutdown), service.write, ArchiveSink(service))
        )
    except (SettingsError, DatabaseError, ArchiveError) as error:
        sys.exit(f"candlewax: {error}")


def lazy_cold_flow(build: Callable[[ColdComponents], Dataflow]) -> Callable[[str], Dataflow]:
    """Return a module's `__getattr__` that builds `flow` on first use."""

    def attribute(name: str) -> Dataflow:
        if name != "flow":
            raise AttributeError(name)
        return build_cold_flow(build)

    return attribute
