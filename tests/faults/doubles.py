"""Two processes of a kind by mistake."""

import signal
from collections.abc import Callable

from candlewax._readers import Server
from candlewax.connectors.clickhouse import connect
from tests.clickhouse.serving import serving
from tests.dataflows import playing
from tests.faults.account import account
from tests.faults.days import around_midnight
from tests.faults.embedded import listen, play
from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Place, Stage
from tests.kafka.system import record


def doubled(flow: str) -> Callable[[Stage], Outcome]:
    """One more beside the one that runs; first the new one goes again, then the old one."""

    def play(stage: Stage) -> Outcome:
        second = f"{flow}-second"
        recovery = 0.0
        for gone in (second, flow):
            stage.start(second)
            stage.until(lambda: f"INFO {flow}" in stage.running[second].said_now())
            stage.recover()
            stage.calm()
            stage.running.pop(gone).end(signal.SIGKILL)
            recovery = max(recovery, stage.recover())
        # What runs is the second one now: the first one takes its place.
        stage.start(flow)
        stage.stop(second)
        stage.recover()
        return Outcome(recovery=recovery)

    return play


def one_directory(place: Place) -> Outcome:
    """An embedded database belongs to one process: the second says so and ends."""
    folder = place.folder / "embedded-twice"
    frames = around_midnight(500 * place.size.times, seed=12)
    log = record(place.folder / "twice.tsv", frames)
    outcome = Outcome(ended=1)
    first = listen(folder)
    try:
        assert first.stdout is not None
        assert "Live feeds into" in first.stdout.readline()
        second = play(folder, log)
        if not second.returncode or "in use by another process" not in second.stderr:
            outcome.wrong.append(f"the second ended with {second.returncode}: {second.stderr}")
        outcome.seen = second.stderr.strip().rpartition(": ")[2]
    finally:
        first.terminate()
        first.communicate(timeout=60)
    third = play(folder, log)
    if third.returncode:
        outcome.wrong.append(f"the next one ended with {third.returncode}: {third.stderr}")
    with serving(folder) as server:
        tables = connect(Server(server.dsn), "market")
        outcome.account = account(tables, playing.all_fills(frames), live=False)
        tables.close()
    return outcome


FAULTS = [
    *(
        Fault(f"two-{flow}", f"a second `{flow}` of the same exchanges for a while", doubled(flow))
        for flow in ("ingest", "silver", "ohlcv")
    ),
    Fault(
        "two-embedded",
        "a second process on the directory of an embedded database",
        one_directory,
        live=False,
        ends=True,
    ),
]
