"""Threads that run beside a dataflow: the live cross-check, and bars."""

from collections.abc import Collection, Sequence

from candlewax.clickhouse.bar_thread import BarThread
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.settings import Settings
from candlewax.verification.monitor import CrossCheckMonitor, watch_beside


class ThreadsBeside:
    """Threads that begin and end with the dataflow."""

    def __init__(self, threads: Sequence[CrossCheckMonitor | BarThread]) -> None:
        self._threads = threads

    def begin(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.begin()

    def end(self) -> None:
        """End the threads, each after what it does."""
        for thread in self._threads:
            thread.end()


def threads_beside(
    settings: Settings, process: ProcessContext, exchanges: Collection[str] | None = None
) -> ThreadsBeside:
    """Return the threads of a process that computes candles, as the settings ask for them.

    In a cluster the first process has them.
    """
    number = process.cluster.number
    monitor = watch_beside(settings, exchanges, process_number=number)
    bars = None if number else bars_beside(settings, process, exchanges)
    return ThreadsBeside([thread for thread in (bars, monitor) if thread])


def bars_beside(
    settings: Settings, process: ProcessContext, exchanges: Collection[str] | None = None
) -> BarThread:
    """Return the thread that makes bars; it follows a changed instruments file."""
    bars = BarThread(settings, process.instruments, exchanges)
    process.instrument_followers.append(bars.follow)
    return bars
