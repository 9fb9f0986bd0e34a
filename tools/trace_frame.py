"""Path of one live frame through the code: `python tools/trace_frame.py`.

Prints each module the frame passes with the number of calls, then the totals of files, calls and
changes of package. The frame is a trade of Binance, read like one of a websocket and stored in a
temporary embedded database.

With `--broker` the frame goes through the three processes behind a broker, and each has totals of
its own. The clients of the broker are stand-ins; a message counts from where a client returns it.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest import mock

from bytewax.dataflow import Dataflow
from bytewax.testing import TestingSource, run_main
from memory_broker import MemoryBroker, Message

from candlewax.clickhouse.client import Database, open_tables
from candlewax.core import instruments
from candlewax.core.frames import FrameBatch
from candlewax.core.rows.records import Frame
from candlewax.kafka import topics
from candlewax.kafka.client import KafkaClient
from candlewax.pipeline import builder
from candlewax.pipeline.builder import Components
from candlewax.pipeline.data_kind import Guard
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.runtime.settings import Brokers
from dataflows import ingest, ohlcv, silver

ROOT: Final = Path(__file__).parents[1]

_FRAME: Final = (
    '{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"100.5","q":"2","T":%d,"m":true,"M":true}'
)

_TRACED: Final = 3
"""Number of the traced frame. Those before it load everything."""


class Trace:
    """Calls of the product's functions, by thread in call order.

    `written` counts what the sink was handed, also while the trace is off.
    The worker's part ends when its sink has the frame: the polls of sources that follow have no
    part in it.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.written = 0
        self.threads: dict[int, list[str]] = {}
        self._prefix = str(ROOT / "candlewax") + "/"
        self._finished: int | None = None

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - as in sys
        path, thread = frame.f_code.co_filename, threading.get_ident()
        is_written = event == "return" and frame.f_code.co_name == "write_batch"
        self.written += is_written
        if not self.is_on or thread == self._finished or not path.startswith(self._prefix):
            return
        if event == "call":
            self.threads.setdefault(thread, []).append(path.removeprefix(self._prefix))
        elif is_written:
            self._finished = thread

    def calls(self) -> Counter[str]:
        """Return how often each module is called, in the order of its first call."""
        return Counter(module for calls in self.threads.values() for module in calls)

    def package_changes(self) -> int:
        """Return how often a call is in another package than the previous one in its thread."""
        packages = ([call.split("/", 1)[0] for call in calls] for calls in self.threads.values())
        return sum(a != b for calls in packages for a, b in pairwise(calls))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Watch this thread, and threads that start from now on."""
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)

    def run_untraced(self, action: Callable[[], object]) -> None:
        """Run an action of this thread without its calls; other threads are traced on."""
        sys.setprofile(None)
        action()
        sys.setprofile(self)


def _begin_ms() -> int:
    """Return a time of trades, about now, at which no candle closes."""
    seconds = int(time.time())
    return (seconds - 20 if seconds % 60 < 20 else seconds) * 1000


def frame(number: int, begin_ms: int) -> FrameBatch:
    """Return a batch of one frame."""
    now_ms = begin_ms + number
    text = _FRAME % (now_ms, number, now_ms)
    row = Frame(now_ms * 1_000_000, "binance-0", number, text, "binance-0", 0, number)
    return FrameBatch("binance", rows=[row])


def trace(folder: Path) -> Trace:
    """Play two frames to load everything, then trace a third one."""
    database = open_tables(folder, "market")
    trace_, begin_ms = Trace(), _begin_ms()

    def frames() -> Any:  # noqa: ANN401 - a generator of batches
        # The feed ends, and steps are closed, only after the traced frame.
        for number in range(1, _TRACED + 2):
            before = trace_.written
            trace_.is_on = number == _TRACED
            yield frame(number, begin_ms)
            while trace_.written == before:
                # Polled again once the frame may have arrived.
                yield TestingSource.PAUSE(timedelta())
            trace_.run_untraced(partial(_store, components))

    source: Any = TestingSource(frames())
    # Before the writer's thread starts. Two cores, so that it has a thread of its own.
    with trace_.installed(), mock.patch("candlewax.clickhouse.writer.count_cores", return_value=2):
        components = builder.build_components(
            source, instruments.load(ROOT / "instruments.toml"), ["binance"], database, Counters()
        )
        run_main(ohlcv.build(components))
    database.close()
    return trace_


def trace_behind_broker(folder: Path) -> dict[str, Trace]:
    """Trace a frame in each process behind a broker, after the two before it."""
    memory = MemoryBroker()
    for topic in (topics.raw("binance"), topics.NORMALIZED, topics.DEAD_LETTERS):
        memory.topics[topic] = []
    with memory.installed():
        broker = KafkaClient(Brokers("memory"))
        traces = {"ingest": _trace_ingest(broker)}
        for name, build_components, build in (
            ("silver", builder.build_silver, silver.build),
            ("ohlcv", builder.build_ohlcv, ohlcv.build),
        ):
            # Tables of its own: `silver` would be whole messages ahead.
            with closing(open_tables(folder, name)) as database:
                guard = Guard(database, folder, name)
                process = _process(should_stop=lambda: memory.is_read)
                components = partial(build_components, process, broker, database, guard)
                traces[name] = _trace_consumer(memory, components, build)
    return traces


def _process(**options: Any) -> ProcessContext:  # noqa: ANN401 - as the class takes them
    loaded_instruments = instruments.load(ROOT / "instruments.toml")
    return ProcessContext(loaded_instruments, ("binance",), Counters(), is_live=True, **options)


def _trace_ingest(broker: KafkaClient) -> Trace:
    """Trace a frame from a source to its raw topic."""
    process, trace_, begin_ms = _process(kind="real"), Trace(), _begin_ms()

    def frames() -> Any:  # noqa: ANN401 - a generator of batches
        for number in range(1, _TRACED + 2):
            trace_.is_on = number == _TRACED
            yield frame(number, begin_ms)
            while process.counters.total("frames") < number:
                # Polled again once the frame may have arrived.
                yield TestingSource.PAUSE(timedelta())

    source: Any = TestingSource(frames())
    with trace_.installed():
        components = builder.build_ingest(process, source, broker, _open_no_tables)
        run_main(ingest.build(components))
    return trace_


def _store(components: Components) -> None:
    """Wait until all that the sink was handed is stored."""
    components.tables.build_part("", "binance", None).snapshot()


def _open_no_tables() -> Database:
    raise AssertionError("a dead letter")


def _trace_consumer(
    memory: MemoryBroker,
    build_components: Callable[[], Components],
    build: Callable[[Components], Dataflow],
) -> Trace:
    """Trace a message of a topic until it is stored."""
    trace_ = Trace()

    def on_wait(message: Message | None) -> None:
        """Store what came before a message, then trace if it is the one."""
        trace_.run_untraced(partial(_store, components))
        trace_.is_on = message is not None and message.offset() == _TRACED - 1

    memory.on_wait = on_wait
    with trace_.installed():
        components = build_components()
        run_main(build(components))
    return trace_


def main() -> None:
    """Trace a frame and print the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--broker", action="store_true", help="trace the processes of a broker")
    is_behind_broker = parser.parse_args().broker
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "clickhouse"
        traces = trace_behind_broker(folder) if is_behind_broker else {"": trace(folder)}
    for process, trace_ in traces.items():
        for module, count in trace_.calls().items():
            print(f"{count:6} {module}")
        print(_totals([trace_], process))
    if is_behind_broker:
        print(_totals(traces.values(), "together"))


def _totals(traces: Iterable[Trace], name: str) -> str:
    """Return the totals of traces in words."""
    calls = sum((trace_.calls() for trace_ in traces), Counter())
    changes = sum(trace_.package_changes() for trace_ in traces)
    totals = f"{len(calls)} files, {calls.total()} calls, {changes} changes of package"
    return f"{name}: {totals}" if name else totals


if __name__ == "__main__":
    main()
