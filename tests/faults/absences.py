"""What is away for a while: the broker, the database."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.request import urlopen

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage
from tests.support.ports import free_port

SMALL = {
    "CANDLEWAX_TEST_BUFFER_BYTES": "48000",
    "CANDLEWAX_KAFKA_QUEUE_BUFFERING_MAX_KBYTES": "24",
    # Nothing is to be lost before the broker is away.
    "CANDLEWAX_LINGER_SECONDS": "",
}
"""Much less memory than there is, for a bound that is soon met."""


def broker_restarted(number: signal.Signals) -> Callable[[Stage], Outcome]:
    """Stop the broker and start it at once."""

    def play(stage: Stage) -> Outcome:
        stage.place.broker.stop(number)
        stage.place.broker.start()
        return Outcome(recovery=stage.recover())

    return play


def broker_away(stage: Stage) -> Outcome:
    """Everything received waits in memory."""
    since = time.time_ns()
    stage.place.broker.stop(_end(stage))
    stage.spend(stage.size.absence)
    stage.place.broker.start()
    until = time.time_ns()
    outcome = Outcome(recovery=stage.recover())
    with suppress(AssertionError):
        stage.until(lambda: not any(stage.unheard(since, until).values()), 60, 1)
    if missing := sum(stage.unheard(since, until).values()):
        outcome.wrong.append(f"{missing} trades that were published are in no raw topic")
    return outcome


def _end(stage: Stage) -> signal.Signals:
    """Return how something ends that is away: shortened, as where it is killed."""
    return signal.SIGTERM if stage.size.thorough else signal.SIGKILL


def broker_away_for_long(stage: Stage) -> Outcome:
    """What finds no more room is lost; it is counted as it happens, told by a frame, and
    each trade of it is named.
    """
    port, said = free_port(), stage.overflows()
    stage.stop("ingest")
    stage.start("ingest", **SMALL, CANDLEWAX_METRICS_PORT=str(port))
    stage.recover()
    before, said_then, since = lost(port), stage.overflows(), time.time_ns()
    stage.place.broker.stop()
    stage.until(lambda: lost(port) > before)
    stage.spend(min(stage.size.absence, 20))
    stage.place.broker.start()
    outcome = Outcome(recovery=stage.recover())

    def all_told() -> bool:
        return lost(port) == sum(stage.overflows().values()) - sum(said.values())

    # As long as something comes, what was lost is told before it.
    with suppress(AssertionError):
        stage.until(all_told, 60, 1)
    stage.simulator.pause()

    def agreed() -> bool:
        told = stage.overflows()
        counted, all_told = lost(port), sum(told.values()) - sum(said.values())
        missing, binance = stage.unheard(since)["binance"], told["binance"] - said_then["binance"]
        outcome.seen = f"{counted:,} frames counted as lost, {all_told:,} told by frames"
        # A frame of Binance is a trade.
        outcome.wrong = [f"{outcome.seen}; binance: {binance} told, {missing} trades miss"]
        return counted == all_told and missing == binance

    # What was told last is on its way.
    with suppress(AssertionError):
        stage.until(agreed, 60, 1)
        outcome.wrong = []
    return outcome


def lost(port: int) -> int:
    """What the metric says."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0
    found = [line for line in lines if line.startswith("candlewax_lost_frames_total")]
    return sum(int(float(line.split()[-1])) for line in found)


def database_killed(stage: Stage) -> Outcome:
    """Kill the server and start it at once."""
    server = stage.place.server
    server.end(signal.SIGKILL)
    server.start()
    return Outcome(recovery=stage.recover())


def database_away(stage: Stage) -> Outcome:
    """What is not stored waits in the broker."""
    server, stored = stage.place.server, stage.stored()
    server.end(_end(stage))
    before = stage.reached()
    stage.spend(stage.size.absence)
    stage.until(lambda: all(now > before[name] for name, now in stage.reached().items()))
    behind = sum(stage.reached().values()) - stored
    server.start()
    outcome = Outcome(recovery=stage.recover(), seen=f"{behind:,} frames waited at most")
    if behind <= 0:
        outcome.wrong.append("nothing waited")
    return outcome


FAULTS = [
    Fault(
        "broker-restart",
        "the broker stopped and started",
        broker_restarted(signal.SIGTERM),
        shortened="broker-away",
    ),
    Fault(
        "broker-kill",
        "the broker killed and started",
        broker_restarted(signal.SIGKILL),
        shortened="broker-away",
    ),
    Fault("broker-away", "no broker for {absence:g} s", broker_away, limit=420),
    Fault(
        "broker-away-beyond-memory",
        "no broker until the memory for frames is full (set to 72 kB) and for a while more",
        broker_away_for_long,
        altered=True,
        limit=420,
    ),
    Fault(
        "clickhouse-kill",
        "ClickHouse killed and started",
        database_killed,
        shortened="clickhouse-away",
    ),
    Fault("clickhouse-away", "no ClickHouse for {absence:g} s", database_away, limit=420),
]
