"""From a frame that an exchange sends until its trade's candle can be read."""

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
"""Trades a second of all exchanges together; a few of them are on a market that nobody
listens to."""

WHERE: Final = ("embedded", "broker")
"""One process with the database in it; three, with a broker between them and a server."""

EXCHANGES: Final = ("binance", "kraken", "coinbase")

_WARM: Final = 5.0
"""Seconds of trades that are not counted at the beginning."""

_LAST: Final = 5.0
"""Seconds to wait for the last trades."""


def run(
    seconds: float, rates: Sequence[int] = RATES, where: Sequence[str] = WHERE
) -> Iterator[Result]:
    """Some kinds of pipeline, both kinds of epochs, each rate."""
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
        piece = _stamped(stage, "ohlcv", urls, snapshots=snapshots)
        piece.begun("Live feeds")
        used, began_ns = _pass(stage, seconds)
        stage.end(piece)
        simulator.stop()
        return {
            **_about("one process", rate, snapshots=snapshots),
            **_measured(stage, _asked_at_last(stage), began_ns, seconds),
            **used,
        }


def _asked_at_last(stage: Stage) -> polls.Polls:
    """What the directory of a process that has ended answers; it belongs to one."""
    found = polls.Polls()
    with closing(connect(stage.folder / "clickhouse", "market")) as database:
        now_ns = time.time_ns()
        answer = database.client.raw_query(polls.QUESTION, fmt="TabSeparated")
        found.add(answer, now_ns)
    return found


def _journal(stage: Stage) -> Path:
    return stage.folder / "journal.tsv"


def _stamped(stage: Stage, name: str, urls: dict[str, str], *, snapshots: bool) -> Piece:
    """The dataflow that makes candles, begun, with the times of what it stores."""
    options = stage.recovery(name) if snapshots else ()
    stamps = str(stage.folder / "stamps.json")
    module = ("-m", "bench.live.stamped", stamps, f"dataflows.{name}")
    return stage.python(name, *module, *options, **urls)


def _pass(stage: Stage, seconds: float) -> tuple[Result, int]:
    """Let so many seconds of trades pass; what that used, and when it began."""
    time.sleep(_WARM)
    meter, began_ns = Meter(stage.running), time.time_ns()
    time.sleep(seconds)
    used = meter.read()
    time.sleep(_LAST)
    return used, began_ns


def pipeline(
    stage: Stage, urls: dict[str, str], *, snapshots: bool, stamped: bool = False
) -> list[Piece]:
    """The three dataflows, begun; the last with the times of what it stores, if wanted."""
    flows = ("silver", "ingest") if stamped else ("ohlcv", "silver", "ingest")
    pieces = [_stamped(stage, "ohlcv", urls, snapshots=snapshots)] if stamped else []
    pieces += [
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
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={_journal(stage)}")
        pieces = pipeline(stage, urls, snapshots=snapshots, stamped=True)
        ask = polls.over_http(stage.front_port)
        wait(lambda: bool(ask()), every=0.2)
        poller = polls.Poller(ask)
        thread = threading.Thread(target=poller.run)
        thread.start()
        try:
            used, began_ns = _pass(stage, seconds)
        finally:
            poller.stop()
            thread.join()
        stage.end(*pieces)
        simulator.stop()
        return {
            **_about("broker", rate, snapshots=snapshots),
            **_measured(stage, poller.polls, began_ns, seconds),
            **used,
        }


def _about(where: str, rate: int, *, snapshots: bool) -> Result:
    epochs = "-r DIR -s 10 -b 0" if snapshots else "no option"
    return {"part": "latency", "where": where, "epochs": epochs, "rate": rate}


def _measured(stage: Stage, asked: polls.Polls, begin_ns: int, seconds: float) -> Result:
    """Of the trades sent in these seconds."""
    known = instruments.load(ROOT / "instruments.toml")
    sent = polls.journal(_journal(stage), known, EXCHANGES)
    end_ns = begin_ns + int(seconds * 1e9)
    among = [one for one in sent if begin_ns <= one.sent_ns < end_ns]
    stamps = polls.Stamps.read(stage.folder / "stamps.json")
    taken, never = polls.latencies(among, stamps)
    return {
        "trades": len(among),
        "never": never,
        **polls.summary(taken),
        "confirmed": asked.confirm(stamps),
    }
