"""From a frame that an exchange sends until its trade's candle can be read."""

import threading
import time
from collections.abc import Iterator
from typing import Final

from bench.live import polls
from bench.live.processes import ROOT, Meter, Piece, Result, Stage, wait
from candlewax import instruments

RATES: Final = (55, 550, 5_000)
"""Trades a second of all exchanges together; a few of them are on a market that nobody
listens to."""

EXCHANGES: Final = ("binance", "kraken", "coinbase")

_WARM: Final = 5.0
"""Seconds of trades that are not counted at the beginning."""

_LAST: Final = 5.0
"""Seconds to wait for the last trades."""


def run(seconds: float, rates: tuple[int, ...] = RATES) -> Iterator[Result]:
    """Both kinds of pipeline, both kinds of epochs, each rate."""
    for rate in rates:
        for snapshots in (False, True):
            yield _embedded(rate, seconds, snapshots=snapshots)
            yield _brokered(rate, seconds, snapshots=snapshots)


def _embedded(rate: int, seconds: float, *, snapshots: bool) -> Result:
    with Stage() as stage:
        journal, held = stage.folder / "journal.tsv", stage.folder / "polls.json"
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={journal}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        options = stage.recovery("ohlcv") if snapshots else ()
        arguments = (str(held), str(_WARM + seconds + _LAST), *options)
        piece = stage.python("pipeline", "-m", "bench.live.embedded", *arguments, **urls)
        piece.begun("Live feeds")
        time.sleep(_WARM)
        meter = Meter(stage.running)
        time.sleep(seconds)
        used = meter.read()
        piece.ended()
        simulator.stop()
        found = polls.Polls.read(held)
        return {
            **_about("one process", rate, snapshots=snapshots),
            **_measured(stage, found, found.began_ns + int(_WARM * 1e9), seconds),
            **used,
        }


def pipeline(stage: Stage, urls: dict[str, str], *, snapshots: bool) -> list[Piece]:
    """The three dataflows, begun."""
    flows = ("ohlcv", "silver", "ingest")
    pieces = [
        stage.flow(name, name, *(stage.recovery(name) if snapshots else ()), **urls)
        for name in flows
    ]
    for piece in pieces:
        piece.begun(f"{piece.name}: ")
    return pieces


def _brokered(rate: int, seconds: float, *, snapshots: bool) -> Result:
    with Stage() as stage:
        stage.broker()
        stage.front()
        journal = stage.folder / "journal.tsv"
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={journal}")
        pipeline(stage, urls, snapshots=snapshots)
        ask = polls.over_http(stage.front_port)
        wait(lambda: bool(ask()), every=0.2)
        poller = polls.Poller(ask)
        thread = threading.Thread(target=poller.run)
        thread.start()
        try:
            time.sleep(_WARM)
            meter = Meter(stage.running)
            time.sleep(seconds)
            used = meter.read()
            time.sleep(_LAST)
        finally:
            poller.stop()
            thread.join()
        simulator.stop()
        found = poller.polls
        return {
            **_about("broker", rate, snapshots=snapshots),
            **_measured(stage, found, found.began_ns + int(_WARM * 1e9), seconds),
            **used,
        }


def _about(where: str, rate: int, *, snapshots: bool) -> Result:
    epochs = "-r DIR -s 1 -b 0" if snapshots else "no option"
    return {"part": "latency", "where": where, "epochs": epochs, "rate": rate}


def _measured(stage: Stage, found: polls.Polls, begin_ns: int, seconds: float) -> Result:
    """Of the trades sent in these seconds."""
    known = instruments.load(ROOT / "instruments.toml")
    sent = polls.journal(stage.folder / "journal.tsv", known, EXCHANGES)
    end_ns = begin_ns + int(seconds * 1e9)
    among = [one for one in sent if begin_ns <= one.sent_ns < end_ns]
    taken, never = polls.latencies(among, found)
    asked = max(1, found.count)
    return {
        "trades": len(among),
        "never": never,
        **polls.summary(taken),
        "polls_per_second": round(found.count / ((found.ended_ns - found.began_ns) / 1e9), 1),
        "poll_ms": round(1000 * found.seconds / asked, 2),
        "poll_cpu_ms": round(1000 * found.cpu / asked, 2),
    }
