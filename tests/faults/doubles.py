"""Two processes of a kind by mistake."""

import signal
from collections.abc import Callable, Sequence

from candlewax.clickhouse.client import connect
from candlewax.runtime.setting_parsers import Server
from tests.faults.account import account
from tests.faults.days import around_midnight
from tests.faults.embedded import listen, play
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.stage import Stage
from tests.support import playing
from tests.support.clickhouse_process import serving
from tests.support.kafka.system import record


def doubled(*flows: str) -> Callable[[Stage], Outcome]:
    """One more beside each that runs. Once the new one goes, once it takes over; and at
    last whoever stays is killed.
    """

    def play(stage: Stage) -> Outcome:
        seconds = [f"{flow}-second" for flow in flows]
        if stage.size.thorough:
            _beside(stage, seconds)
            stage.stop(*seconds)
            stage.recover()
        _beside(stage, seconds)
        for flow in flows:
            stage.running.pop(flow).end(signal.SIGKILL)
        recovery = stage.recover()
        if not stage.size.thorough:
            for flow, second in zip(flows, seconds, strict=True):
                stage.running[flow] = stage.running.pop(second)
            return Outcome(recovery=recovery)
        _beside(stage, flows)
        stage.stop(*seconds)
        stage.recover()
        for flow in flows:
            stage.kill(flow)
        return Outcome(recovery=max(recovery, stage.recover()))

    return play


def _beside(stage: Stage, names: Sequence[str]) -> None:
    """Start some more, and let them run for a while."""
    for name in names:
        stage.start(name)
    for name in names:
        _await(stage, name)
    stage.recover()
    stage.calm()


def _await(stage: Stage, name: str) -> None:
    # Who begins says what is its part.
    said = f"INFO {name.partition('-')[0]}: "
    stage.until(lambda: said in stage.running[name].said_now())


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


FLOWS = ("ingest", "silver", "ohlcv")

FAULTS = [
    *(
        Fault(
            f"two-{flow}",
            f"a second `{flow}` of the same exchanges for a while",
            doubled(flow),
            shortened="two-of-each",
        )
        for flow in FLOWS
    ),
    Fault("two-of-each", "a second one of all three, for a while", doubled(*FLOWS)),
    Fault(
        "two-embedded",
        "a second process on the directory of an embedded database",
        one_directory,
        live=False,
        ends=True,
        shortened="tests.pipeline.test_process.test_directory_in_use_ends_the_second_process",
    ),
]
