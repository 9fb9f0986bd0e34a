"""Cost of one process at several rates of trades, and how old its answers are; beside cryptofeed.

Each process gets the trades of a simulator of its own, of the same seed and rate:

- `dataflows.ohlcv` with an embedded database, which nobody reads;
- `candlewax up`, while one page's stream is read, then while SQL is queried over HTTP;
- cryptofeed, which makes one-minute candles and stores nothing.

Finally each process of a pipeline behind a broker, at the rate of BROKERED.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.live import polls, rival_environment, staleness
from bench.live.latency import EXCHANGES, pipeline
from bench.live.processes import COMMAND, ROOT, Meter, Result, Stage
from bench.live.staleness import WATCHED, Answer, Market, StreamReader
from candlewax.core import instruments
from tests.support.ports import free_port

RATES: Final = (1, 55, 550, 5_000)
"""Trades per second of all exchanges; a few are on a market without a subscriber."""

BROKERED: Final = 55
"""Trades per second of the pipeline behind a broker."""

SECONDS: Final = 30.0
"""Seconds of each measurement."""

WARM: Final = 20.0
"""Seconds before measuring starts."""

_LAST: Final = 2.0
"""Seconds to wait for the last trades on a stream, which sends something each second."""


class Timing(NamedTuple):
    """Seconds before measuring starts, and of measuring."""

    warm: float
    seconds: float


def run(
    rates: Sequence[int] = RATES, seconds: float = SECONDS, warm: float = WARM
) -> Iterator[Result]:
    """Measure each process at each rate, then a pipeline behind a broker."""
    timing = Timing(warm, seconds)
    with Stage() as stage:
        try:
            python = rival_environment.install(stage.folder / "rival")
        except rival_environment.InstallError as error:
            python = ""
            yield {"part": "footprint", "what": str(error)}
        for rate in rates:
            yield _unread(rate, timing)
            yield from _read(rate, timing)
            if python:
                yield _cryptofeed(rate, timing, python)
    yield from _brokered(timing)


def _unread(rate: int, timing: Timing) -> Result:
    with Stage() as stage:
        _, urls = stage.simulator(f"--rate={rate}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        piece = stage.flow("pipeline", "ohlcv", **urls)
        piece.wait_for_output("Live feeds")
        time.sleep(timing.warm)
        return _result(rate, "dataflows.ohlcv", piece.name, _wait(stage, timing.seconds))


def _read(rate: int, timing: Timing) -> Iterator[Result]:
    """Measure the delay of a stream and the staleness of SQL, one after the other.

    A query has everything stored, which also shortens the delay of a stream.
    """
    with Stage() as stage:
        journal = stage.folder / "journal.tsv"
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={journal}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        port = free_port()
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        for exchange in EXCHANGES:
            up.wait_for_output(f"{exchange}-0: subscribed")
        # The simulator also plays, and records, what nobody has subscribed to yet.
        subscribed_ns = time.time_ns()
        time.sleep(timing.warm)
        reader = StreamReader(port)
        began_ns = time.time_ns()
        watched = _wait(stage, timing.seconds)
        ended_ns = time.time_ns()
        time.sleep(_LAST)
        stamps = reader.end()
        answers: list[Answer] = []
        queried = _measure(stage, lambda: answers.extend(staleness.ask(port, timing.seconds)))
        stage.end(up)
        # Ended, it has written the whole journal.
        simulator.stop()
        trades = [trade for trade in _sent(journal) if trade.sent_ns >= subscribed_ns]
    on_stream = [
        trade
        for trade in trades
        if trade.candle[:2] == WATCHED and began_ns <= trade.sent_ns < ended_ns
    ]
    latencies_ms, never = polls.latencies(on_stream, stamps)
    yield {
        **_result(rate, "candlewax up, a stream", up.name, watched),
        **_quantiles("stream", latencies_ms),
        "never": never,
    }
    yield {
        **_result(rate, "candlewax up, queries", up.name, queried),
        **_quantiles("sql", staleness.staleness_ms(answers, trades)),
        **_quantiles("query", [answer.took_ms for answer in answers]),
    }


def _sent(journal: Path) -> list[polls.Sent]:
    """Return the trades of subscribed markets in the journal."""
    loaded = instruments.load(ROOT / "instruments.toml")
    subscribed: set[Market] = {
        (exchange, instrument.symbol)
        for exchange in EXCHANGES
        for native_symbol in loaded.subscriptions(exchange)
        if (instrument := loaded.resolve(exchange, native_symbol))
    }
    trades = polls.journal(journal, loaded, EXCHANGES)
    return [trade for trade in trades if trade.candle[:2] in subscribed]


def _quantiles(name: str, values: list[float]) -> Result:
    """Return median and 99th percentile in milliseconds, and the number of values."""
    summary = polls.summary(values)
    quantiles = {f"{name}_{key}": summary[key] for key in ("p50_ms", "p99_ms") if key in summary}
    return {f"{name}_count": len(values), **quantiles}


def _cryptofeed(rate: int, timing: Timing, python: str) -> Result:
    with Stage() as stage:
        simulator, urls = stage.simulator(f"--rate={rate}")
        addresses = [urls[f"CANDLEWAX_{name.upper()}_URL"] for name in EXCHANGES]
        piece = stage.run("cryptofeed", python, "-m", "bench.live.rival_candles", *addresses)
        piece.wait_for_output("started")
        time.sleep(timing.warm)
        used = _wait(stage, timing.seconds)
        piece.stop()
        simulator.stop()
        received = json.loads(piece.output().splitlines()[-1])["trades"]
        what = f"cryptofeed {rival_environment.VERSION}"
        return {**_result(rate, what, piece.name, used), "trades": received}


def _brokered(timing: Timing) -> Iterator[Result]:
    with Stage() as stage:
        stage.broker()
        stage.front()
        _, urls = stage.simulator(f"--rate={BROKERED}")
        pipeline(stage, urls, snapshots=True)
        time.sleep(timing.warm)
        used = _wait(stage, timing.seconds)
        for name in used["rss_mb"]:
            if name != "simulator":
                yield _result(BROKERED, f"behind a broker: {name}", name, used)


def _wait(stage: Stage, seconds: float) -> Result:
    """Return the resources that each process used meanwhile."""
    return _measure(stage, lambda: time.sleep(seconds))


def _measure(stage: Stage, work: Callable[[], object]) -> Result:
    """Return the resources that each process used during some work."""
    meter = Meter(stage.running)
    work()
    # First, as it tells which process has ended.
    used = meter.read()
    wakeups = meter.wakeups_per_second()
    rss_mb = {name: running.rss_mb() for name, running in stage.running.items()}
    return {**used, "wakeups": wakeups, "rss_mb": rss_mb}


def _result(rate: int, what: str, name: str, used: Result) -> Result:
    """Return the cost of one process."""
    return {
        "part": "footprint",
        "rate": rate,
        "what": what,
        **used,
        "cores": round(used["cpu"][name] / used["seconds"], 4),
        "rss_mb": used["rss_mb"][name],
        "wakeups": used["wakeups"][name],
    }
