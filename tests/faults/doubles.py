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
    """One more beside the one that runs. Once the new one goes, once it takes over; and at
    last whoever stays is killed.
    """

    def play(stage: Stage) -> Outcome:
        second = f"{flow}-second"
        _beside(stage, second)
        stage.stop(second)
        stage.recover()
        _beside(stage, second)
        stage.running.pop(flow).end(signal.SIGKILL)
        recovery = stage.recover()
        _beside(stage, flow)
        stage.stop(second)
        stage.recover()
        stage.kill(flow)
        return Outcome(recovery=max(recovery, stage.recover()))

    return play


def _beside(stage: Stage, name: str) -> None:
    """Start one more, and let them run for a while."""
    process = stage.start(name)
    # Who begins says what is its part.
    stage.until(lambda: f"INFO {name.partition('-')[0]}: " in process.said_now())
    stage.recover()
    stage.calm()


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
