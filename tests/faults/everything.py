"""One exchange that does several things wrong, one after another."""

from functools import partial

from candlewax.simulator.server import Simulator
from tests.faults.alone import Alone, alone
from tests.faults.fault import Fault, Outcome
from tests.faults.incomplete import LACKING
from tests.faults.published import compare
from tests.faults.refusals import BEHIND, REFUSED, accept, haste, look, refuse
from tests.faults.stage import Place

AHEAD = 50.0
"""Seconds that its clock is ahead for a while."""


def all_at_one_exchange(place: Place) -> Outcome:
    """Its numbers begin anew, it refuses a market, its first answers by REST lack trades, and its
    clock is stepped ahead and back, with trades missed after each; the other two go on.
    """
    outcome = Outcome()
    markets = REFUSED if place.size.thorough else REFUSED[:1]
    with alone(place, "everything", BEHIND, **haste(place)) as stage:
        for market in markets:
            exchange = market[0]
            _begin_anew(stage, exchange)
            stage.flow()
            stage.settle()
            refuse(stage, (market,))
            outcome.wrong += look(stage)
            accept(stage, (market,))
            stage.until_subscribed()
            stage.settle()
            stage.at(lambda simulator: simulator.lack(LACKING))
            _miss(stage, exchange)
            if stage.simulator.lacking:
                outcome.wrong.append("no answer lacked anything")
            for seconds in (AHEAD, 0.0):
                stage.step_clock(exchange, seconds)
                _miss(stage, exchange)
        stage.at(lambda simulator: simulator.pause())
        outcome.wrong += stage.end()
        outcome.account = compare(stage.tables, stage.simulator.journal)
        outcome.seen = f"{', '.join(name for name, *_ in markets)}"
    return outcome


def _begin_anew(stage: Alone, exchange: str) -> None:
    stage.at(lambda simulator: simulator.player.begin_anew(exchange))


def _miss(stage: Alone, exchange: str) -> None:
    """Let trades be missed, until REST has told them."""
    seconds = min(max(stage.place.size.absence, 1), 5)
    stage.come()
    stage.at(partial(Simulator.stall, exchange=exchange, seconds=seconds))
    stage.settle()


FAULTS = [
    Fault(
        "all-at-one-exchange",
        "an exchange begins its numbers anew, refuses a market, answers by REST without some "
        f"trades, and steps its clock {AHEAD:g} s ahead and back, one after another",
        all_at_one_exchange,
        live=False,
        limit=900,
    )
]
