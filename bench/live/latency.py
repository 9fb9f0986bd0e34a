"""Latency from the sending of a frame until its trade's candle can be read."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from bench.live import polls
from bench.live.processes import ROOT, Meter, Piece, Result, Stage, wait
from candlewax.clickhouse.client import connect
from candlewax.core import instruments

RATES: Final = (55, 550, 5_000)
"""Trades per second of all exchanges; a few are on a market without a subscriber."""

WHERE: Final = ("embedded", "broker")
"""One process with an embedded database, or three with a broker between them and a server."""

EXCHANGES: Final = ("binance", "kraken", "coinbase")

_WARM: Final = 5.0
"""Seconds of trades at the start that are not counted."""

_LAST: Final = 5.0
"""Seconds to wait for the last trades."""


def run(
    seconds: float, rates: Sequence[int] = RATES, where: Sequence[str] = WHERE
) -> Iterator[Result]:
    """Measure each pipeline, with and without snapshots, at each rate."""
    for rate in rates:
        for snapshots in (False, True):
            if "embedded" in where:
                yield _embedded(rate, seconds, snapshots=snapshots)
            if "broker" in where:
                yield _brokered(rate, seconds, snapshots=snapshots)


def _embedded(rate: int, seconds: float, *, snapshots: bool) -> Result:
    with Stage() as stage:
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={_journal(stage)}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        # Stored at once: what is stored once a second tells nothing of the pipeline.
        urls["CANDLEWAX_LINGER_SECONDS"] = "0.02"
        piece = _start_stamped(stage, "ohlcv", urls, snapshots=snapshots)
        piece.wait_for_output("Live feeds")
        used, began_ns = _run_for(stage, seconds)
        stage.end(piece)
        simulator.stop()
        return {
            **_about("one process", rate, snapshots=snapshots),
            **_summarize(stage, _read_at_end(stage), began_ns, seconds),
            **used,
        }


def _read_at_end(stage: Stage) -> polls.Polls:
    """Return the candles in the directory of a process that has ended."""
    answers = polls.Polls()
    with closing(connect(stage.folder / "clickhouse", "market")) as database:
        now_ns = time.time_ns()
        answer = database.client.raw_query(polls.QUERY, fmt="TabSeparated")
        answers.add(answer, now_ns)
    return answers


def _journal(stage: Stage) -> Path:
    return stage.folder / "journal.tsv"


def _start_stamped(stage: Stage, name: str, urls: dict[str, str], *, snapshots: bool) -> Piece:
    """Start the dataflow that makes candles, with a record of when it stores them."""
    options = stage.recovery(name) if snapshots else ()
    stamps = str(stage.folder / "stamps.json")
    module = ("-m", "bench.live.stamped", stamps, f"dataflows.{name}")
    return stage.python(name, *module, *options, **urls)


def _run_for(stage: Stage, seconds: float) -> tuple[Result, int]:
    """Wait while trades flow; return the resources used, and when measuring began."""
    time.sleep(_WARM)
    meter, began_ns = Meter(stage.running), time.time_ns()
    time.sleep(seconds)
    used = meter.read()
    time.sleep(_LAST)
    return used, began_ns


def pipeline(
    stage: Stage, urls: dict[str, str], *, snapshots: bool, stamped: bool = False
) -> list[Piece]:
    """Start the three dataflows; if `stamped`, the last one records when it stores candles."""
    flows = ("silver", "ingest") if stamped else ("ohlcv", "silver", "ingest")
    pieces = [_start_stamped(stage, "ohlcv", urls, snapshots=snapshots)] if stamped else []
    pieces += [
        stage.flow(name, name, *(stage.recovery(name) if snapshots else ()), **urls)
        for name in flows
    ]
    for piece in pieces:
        piece.wait_for_output(f"{piece.name}: ")
    return pieces


def _brokered(rate: int, seconds: float, *, snapshots: bool) -> Result:
    with Stage() as stage:
        stage.broker()
        stage.front()
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={_journal(stage)}")
        pieces = pipeline(stage, urls, snapshots=snapshots, stamped=True)
        ask = polls.over_http(stage.front_port)
        wait(lambda: bool(ask()), pause_s=0.2)
        poller = polls.Poller(ask)
        thread = threading.Thread(target=poller.run)
        thread.start()
        try:
            used, began_ns = _run_for(stage, seconds)
        finally:
            poller.stop()
            thread.join()
        stage.end(*pieces)
        simulator.stop()
        return {
            **_about("broker", rate, snapshots=snapshots),
            **_summarize(stage, poller.polls, began_ns, seconds),
            **used,
        }


def _about(where: str, rate: int, *, snapshots: bool) -> Result:
    epochs = "-r DIR -s 10 -b 0" if snapshots else "no option"
    return {"part": "latency", "where": where, "epochs": epochs, "rate": rate}


def _summarize(stage: Stage, answers: polls.Polls, begin_ns: int, seconds: float) -> Result:
    """Return the latencies of the trades sent in these seconds."""
    loaded_instruments = instruments.load(ROOT / "instruments.toml")
    sent = polls.journal(_journal(stage), loaded_instruments, EXCHANGES)
    end_ns = begin_ns + int(seconds * 1e9)
    measured = [trade for trade in sent if begin_ns <= trade.sent_ns < end_ns]
    stamps = polls.Stamps.read(stage.folder / "stamps.json")
    latencies_ms, never = polls.latencies(measured, stamps)
    return {
        "trades": len(measured),
        "never": never,
        **polls.summary(latencies_ms),
        "confirmed": answers.confirm(stamps),
    }
