"""Exchanges that begin the numbers of their trades anew."""

from functools import partial

from candlewax.simulator.server import Simulator
from tests.faults.alone import Alone, alone
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.published import compare
from tests.faults.stage import VENUES

STEP = 100_000
"""So much lower than the time before do numbers begin, at least."""

_KNOWN = "SELECT count() FROM numberings FINAL"


def numbers_anew(place: Place) -> Outcome:
    """All three begin anew while they are heard; then trades of the new numbers are missed, and the
    process is killed. From the second time on numbers begin anew while it is away.
    """
    outcome = Outcome()
    with alone(place, "numbers") as stage:
        times = place.size.times
        for number in range(times):
            first = STEP * (times - 1 - number) + 1
            _begin_anew(stage, first, killed=number > 0)
            if number == 0 and stage.simulator.rest_requests:
                outcome.wrong.append(
                    f"{stage.simulator.rest_requests} requests though nothing was missed"
                )
            _miss(stage)
            stage.kill()
            stage.start()
            stage.settle()
        stage.finish()
        outcome.wrong += stage.end()
        outcome.account = compare(stage.tables, stage.simulator.journal)
        markets = sum(len(stage.simulator.subscribed(name)) for name in VENUES)
        known = int(stage.tables.query(_KNOWN).item())
        outcome.seen = (
            f"{known} numberings begun, {stage.simulator.rest_requests:,} requests by REST"
        )
    if known < markets * times:
        outcome.wrong.append(f"{known} numberings, not {markets * times}")
    return outcome


def _begin_anew(stage: Alone, first: int, *, killed: bool) -> None:
    def begin(simulator: Simulator) -> None:
        for exchange in VENUES:
            simulator.player.restart_ids(exchange, first)

    if killed:
        stage.kill()
    stage.at(begin)
    if killed:
        stage.start()
    stage.flow()
    stage.settle()


def _miss(stage: Alone) -> None:
    """Let trades of all exchanges be missed, until REST has told them."""
    seconds = min(max(stage.place.size.absence, 1), 5)
    stage.at(partial(Simulator.stall, exchange=None, seconds=seconds))
    stage.settle()


FAULTS = [
    Fault(
        "numbers-anew",
        "all exchanges begin the numbers of their trades anew, while they are heard and while the "
        "one process for all is away, killed; trades of the new numbers missed after each",
        numbers_anew,
        live=False,
        limit=600,
    )
]
