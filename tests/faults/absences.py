"""What is away for a while: the broker, the database."""

import signal
import time
from collections.abc import Callable
from urllib.request import urlopen

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage
from tests.kafka.broker import free_port

SMALL = {"CANDLEWAX_TEST_BUFFER_BYTES": "60000", "CANDLEWAX_KAFKA_QUEUE_BUFFERING_MAX_KBYTES": "64"}
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
    stage.place.broker.stop()
    stage.spend(stage.size.absence)
    stage.place.broker.start()
    outcome = Outcome(recovery=stage.recover())
    stage.settle()
    missing = sum(stage.unheard(since).values())
    if missing:
        outcome.wrong.append(f"{missing} trades that were published are in no raw topic")
    return outcome


def broker_away_for_long(stage: Stage) -> Outcome:
    """What finds no more room is lost; it is counted as it happens, told by a frame, and
    each trade of it is named.
    """
    port = free_port()
    stage.stop("ingest")
    stage.modules["ingest"] = "tests.faults.flows.small"
    stage.start("ingest", **SMALL, CANDLEWAX_METRICS_PORT=str(port))
    stage.recover()
    said, since = stage.overflows(), time.time_ns()
    stage.place.broker.stop()
    stage.until(lambda: lost(port) > 0)
    stage.spend(min(stage.size.absence, 20))
    stage.place.broker.start()
    outcome = Outcome(recovery=stage.recover())
    stage.settle()
    counted, missing = lost(port), stage.unheard(since)["binance"]
    told = {name: count - said[name] for name, count in stage.overflows().items()}
    stage.stop("ingest")
    del stage.modules["ingest"]
    stage.settings["ingest"] = {}
    stage.start("ingest")
    stage.resume()
    stage.recover()
    outcome.seen = f"{counted:,} frames counted as lost, {sum(told.values()):,} told by frames"
    # A frame of Binance is a trade.
    if told["binance"] != missing:
        outcome.wrong.append(f"binance: {told} frames were told lost, {missing} trades miss")
    if counted != sum(told.values()):
        outcome.wrong.append(f"{counted} frames are counted as lost, {told} are told")
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
    server = stage.place.server
    server.end()
    before = stage.reached()
    stage.spend(stage.size.absence)
    stage.until(lambda: all(now > before[name] for name, now in stage.reached().items()))
    server.start()
    behind = stage.behind()
    outcome = Outcome(recovery=stage.recover(), seen=f"{behind:,} frames waited at most")
    if behind <= 0:
        outcome.wrong.append("nothing waited")
    return outcome


FAULTS = [
    Fault("broker-restart", "the broker stopped and started", broker_restarted(signal.SIGTERM)),
    Fault("broker-kill", "the broker killed and started", broker_restarted(signal.SIGKILL)),
    Fault("broker-away", "no broker for {absence:g} s", broker_away, limit=420),
    Fault(
        "broker-away-beyond-memory",
        "no broker until the memory for frames is full (set to 120 kB) and for a while more",
        broker_away_for_long,
        limit=420,
    ),
    Fault("clickhouse-kill", "ClickHouse killed and started", database_killed),
    Fault("clickhouse-away", "no ClickHouse for {absence:g} s", database_away, limit=420),
]
